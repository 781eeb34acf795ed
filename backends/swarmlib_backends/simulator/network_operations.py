"""The operations of networks."""

from __future__ import annotations

from typing import Any, Final, cast

from swarmlib import NotFound, Request, SwarmError

from ..dockerapi.matching import named
from ..dockerapi.nullable import dict_of
from ..dockerapi.operations import NetworkInspect, NetworkList, NetworkPrune
from ..dockerapi.status import refusal
from ..enginekit.filters import checked, pruned
from ..enginekit.networks import FILTERS, PREDEFINED, fits, shown
from ..enginekit.operations import answers, body_of, ref_of
from ..enginekit.swarmless import NOT_A_MANAGER
from .container import Container, Endpoint
from .engine import Family
from .network_options import check_operator, check_options, check_subnets, config_from
from .networks import Network, aliases_of, check_connection

_BRIDGE_OPTIONS: Final = {
    "com.docker.network.bridge.default_bridge": "true",
    "com.docker.network.bridge.enable_icc": "true",
    "com.docker.network.bridge.enable_ip_masquerade": "true",
    "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
    "com.docker.network.bridge.name": "docker0",
    "com.docker.network.driver.mtu": "1500",
}


class NetworkOperations(Family):
    """Answers what is asked of networks."""

    @answers("NetworkList")
    async def _ls(self, request: Request) -> list[Any]:
        wanted = checked(NetworkList.of(request).filters, FILTERS)
        has_name = named(wanted.get("name", []))
        found = [each for each in self.engine.networks if has_name(each.name)]
        return [_shown(each, {}) for each in found if fits(each, wanted, dangling=_dangling(each))]

    @answers("NetworkInspect")
    async def _get(self, request: Request) -> dict[str, Any]:
        several = "{count} matches found based on {where}: network {ref} is ambiguous"
        network = self.engine.networks.only(ref_of(request), several, NetworkInspect.of(request).scope)
        return _shown(network, {each.id: _member(each, network) for each in network.members.values()})

    @answers("NetworkCreate")
    async def _create(self, request: Request) -> dict[str, Any]:
        body = body_of(request)
        name, driver = str(body.get("Name") or ""), str(body.get("Driver") or "bridge")
        if name in PREDEFINED:
            raise refusal(403, f"operation is not permitted on predefined {name} network ")
        same = next((each for each in self.engine.networks if each.name == name), None)
        if same is not None and body.get("CheckDuplicate"):
            raise refusal(409, f"network with name {name} already exists")
        check_subnets(body)
        if not name.strip():
            raise refusal(500, f"invalid name: {name}")
        if driver in ("host", "null"):
            raise refusal(403, f'only one instance of "{driver}" network is allowed')
        if driver == "overlay":
            raise refusal(500, NOT_A_MANAGER)
        check_operator(body)
        if driver not in ("bridge", "macvlan", "ipvlan"):
            raise NotFound(f'plugin "{driver}" not found')
        config = self._config_of(body)
        if body.get("Scope") not in (None, "", "local"):
            raise refusal(500, NOT_A_MANAGER)
        check_options(dict_of(config.get("Options")))
        if body.get("ConfigOnly"):
            made = self.engine.networks.add(name, "null", None, body)
        else:
            made = self.engine.networks.add_as_asked(name, driver, config, body)
        self.engine.networks.tell("create", made)
        warning = f"Network with name {name} (id : {same.id}) already exists" if same else ""
        return {"Id": made.id, "Warning": warning}

    def _config_of(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return what configures a network: its own body, or that of the network that it depends on."""
        name = config_from(body)
        if not name:
            return {} if body.get("ConfigOnly") else body
        found = next((each for each in self.engine.networks if each.name == name and each.config_only), None)
        if found is None:
            raise NotFound(f'configuration network "{name}" does not exist')
        return found.body

    @answers("NetworkDelete")
    async def _rm(self, request: Request) -> None:
        network = self.engine.networks.only(
            ref_of(request), "network {ref} is ambiguous ({count} matches found based on {where})"
        )
        if network.predefined:
            raise refusal(403, f"{network.name} is a pre-defined network and cannot be removed")
        if network.members:
            text = f"network {network.name} id {network.id} has active endpoints"
            raise refusal(403, f"error while removing network: {text}")
        if network.config_only and any(config_from(each.body) == network.name for each in self.engine.networks):
            raise refusal(403, f'error while removing network: configuration network "{network.name}" is in use')
        self.engine.networks.remove(network)

    @answers("NetworkPrune")
    async def _prune(self, request: Request) -> dict[str, Any]:
        is_wanted = pruned(NetworkPrune.of(request).filters, self.engine.clock.now())
        dangling = filter(_dangling, self.engine.networks)
        unused = [each for each in dangling if is_wanted(each.body.get("Labels"), each.created)]
        for each in unused:
            self.engine.networks.remove(each)
        self.engine.tell_of("network", "prune", "", {"reclaimed": "0"})
        return {"NetworksDeleted": [each.name for each in unused] or None}

    @answers("NetworkConnect")
    async def _connect(self, request: Request) -> None:
        body = body_of(request)
        container, given = (
            self.engine.find(str(body.get("Container") or "")),
            dict(dict_of(body.get("EndpointConfig"))),
        )
        ref = ref_of(request)
        if container.running:
            if container.host["NetworkMode"].startswith("container:"):
                text = "container sharing network namespace with another container or host"
                raise refusal(400, f"{text} cannot be connected to any other network")
            network = self.engine.networks.find(ref)
            check_connection(container, network, given)
            if network.name in container.networks:
                raise refusal(403, f"endpoint with name {container.name} already exists in network {network.name}")
            self.engine.networks.join(container, network, given)
        else:
            self._connect_later(container, ref, given)
        self.engine.changed(container)

    def _connect_later(self, container: Container, ref: str, given: dict[str, Any]) -> None:
        """Connect one that doesn't run: whether there is such a network is seen at its start."""
        try:
            network = self.engine.networks.find(ref)
        except SwarmError:
            container.networks[ref] = Endpoint(given)
            return
        check_connection(container, network, given)
        container.networks[network.name] = Endpoint(given, aliases=aliases_of(container, network, given))

    @answers("NetworkDisconnect")
    async def _disconnect(self, request: Request) -> None:
        body = body_of(request)
        ref, named = ref_of(request), str(body.get("Container") or "")
        try:
            container = self.engine.find(named)
        except SwarmError:
            if not body.get("Force"):
                raise
            raise self._no_endpoint(ref, named) from None
        network: Network | None
        try:
            network = self.engine.networks.find(ref)
        except SwarmError:
            if container.running and not body.get("Force"):
                raise
            network = None
        name = network.name if network else ref
        if name == "host" and container.running and container.host["NetworkMode"] == "host":
            raise refusal(400, "container cannot be disconnected from host network or connected to host network")
        if name not in container.networks:
            what = "network" if container.running and network is not None else "the network"
            raise refusal(500, f"container {container.id} is not connected to {what} {name}")
        if network is not None:
            self.engine.networks.leave(container, network)
            self.engine.networks.tell("disconnect", network, container)
        del container.networks[name]
        self.engine.changed(container)

    def _no_endpoint(self, ref: str, named: str) -> SwarmError:
        """Return what is said of a container that isn't there, to who wants it out of a network whatever it takes."""
        self.engine.networks.find(ref)
        return NotFound(f"endpoint {named} not found") if named else refusal(500, "invalid name: ")


def _dangling(network: Network) -> bool:
    return not network.predefined and not network.members


def _shown(network: Network, members: dict[str, Any]) -> dict[str, Any]:
    body = network.body
    ipam = dict_of(body.get("IPAM"))
    return {
        **shown(network, members),
        "EnableIPv6": bool(body.get("EnableIPv6")),
        "IPAM": {
            "Driver": ipam.get("Driver") or "default",
            "Options": ipam.get("Options"),
            "Config": _pool_shown(network),
        },
        "Internal": bool(body.get("Internal")),
        "Ingress": bool(body.get("Ingress")),
        "ConfigFrom": {"Network": config_from(body)},
        "ConfigOnly": bool(body.get("ConfigOnly")),
        "Options": _BRIDGE_OPTIONS if network.name == "bridge" else dict_of(body.get("Options")),
    }


def _pool_shown(network: Network) -> list[Any]:
    if network.addresses is None:
        return []
    return network.addresses.shown(gateway=not network.predefined)


def _member(container: Container, network: Network) -> dict[str, Any]:
    endpoint = container.networks[network.name]
    address = f"{endpoint.address}/{endpoint.prefix}" if endpoint.address else ""
    address6 = f"{endpoint.address6}/{endpoint.prefix6}" if endpoint.address6 else ""
    shown = {"Name": container.name, "EndpointID": endpoint.id, "MacAddress": endpoint.mac}
    return cast("dict[str, Any]", shown | {"IPv4Address": address, "IPv6Address": address6})
