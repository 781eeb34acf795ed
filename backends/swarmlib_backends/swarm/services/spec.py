"""The service that a container's creation asks for, as a pure translation: each field has a place, or is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from swarmlib import Invalid, Unsupported

from ...balance.placement.request import constraints
from ...balance.placement.rules import Rule
from ...dockerapi.nullable import dict_of, list_of
from ...enginekit.bodies import HONOURED, USUAL, Accepted, Allows, anything, only

ID: Final = "swarmlib.container"
"""The label of a service that holds the id of the container that it is."""
BODY: Final = "swarmlib.container.body"
"""The label that holds the body of the container's creation."""
ENDED: Final = "swarmlib.container.ended"
"""The label with the exit code, and the time of the end, of a container whose task the swarm has removed."""

_NAME: Final = re.compile(r"[a-zA-Z0-9](?:[-_a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
_USUAL_NETWORKS: Final = frozenset({"", "default", "bridge"})
_SECOND: Final = 10**9
_RESTART_DELAY: Final = 5 * _SECOND
_CONDITIONS: Final = {"": "none", "no": "none", "on-failure": "on-failure", "always": "any", "unless-stopped": "any"}
"""When a swarm restarts a task, by the names of restart policies."""
_KEYS: Final = ("node.id", "node.hostname", "node.role", "node.platform.os", "node.platform.arch")


def _is_network(value: Any) -> bool:
    mode = str(value)
    return mode != "none" and not mode.startswith("container:")


_HOST: Final[Mapping[str, Allows]] = {
    **HONOURED,
    **dict.fromkeys(
        [
            *("Binds", "CapAdd", "CapDrop", "Dns", "DnsOptions", "DnsSearch", "ExtraHosts", "GroupAdd", "Init"),
            *("LogConfig", "Memory", "MemoryReservation", "Mounts", "NanoCpus", "PidsLimit", "PortBindings"),
            *("ReadonlyRootfs", "RestartPolicy", "Sysctls", "Ulimits"),
        ],
        anything,
    ),
    "Isolation": only("default"),
    "NetworkMode": _is_network,
    "Tmpfs": lambda value: not any(dict_of(value).values()),
}
ACCEPTED: Final = Accepted(
    "a container that is a swarm service",
    fields=USUAL - {"AttachStdin", "OpenStdin", "StdinOnce"}
    | {"Env", "ExposedPorts", "Healthcheck", "Hostname", "User", "Volumes", "WorkingDir"},
    host=_HOST,
    advice=" (without the label swarmlib.swarm=service, it can)",
)
"""What a container that is a service may have."""


def spec(name: str, id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the specification of the service that a new container is; it has no task before the container's start.

    body: that of the container's creation, which `ACCEPTED` has checked.

    Raises:
        Invalid, Unsupported: a value can't be one of a service; the error names it.
    """
    if not _NAME.fullmatch(name):
        raise Invalid(f"invalid name {name!r} of a swarm service: expected up to 63 letters, digits, - and _")
    host = dict_of(body.get("HostConfig"))
    return {
        "Name": name,
        "Labels": {ID: id, BODY: orjson.dumps(body).decode()},
        "TaskTemplate": {
            "ContainerSpec": _container(body, host),
            "Resources": _resources(host),
            "RestartPolicy": _restart(host),
            "Placement": {"Constraints": [*map(_constraint, constraints(dict_of(body.get("Labels"))))]},
            "Networks": [*_networks(body, host)],
            "ForceUpdate": 0,
            **_logging(host),
        },
        "Mode": {"Replicated": {"Replicas": 0}},
        "UpdateConfig": {"Parallelism": 1, "FailureAction": "continue", "Order": "stop-first"},
        "EndpointSpec": {"Mode": "dnsrr", "Ports": [*_ports(host)]},
    }


def restarts(body: Mapping[str, Any]) -> bool:
    """Return whether the swarm restarts the container when it has ended."""
    return bool(_restart(dict_of(body.get("HostConfig")))["Condition"] != "none")


def _container(body: Mapping[str, Any], host: Mapping[str, Any]) -> dict[str, Any]:
    made = {
        "Image": body.get("Image"),
        "Command": body.get("Entrypoint"),
        "Args": body.get("Cmd"),
        "Env": body.get("Env"),
        "Dir": body.get("WorkingDir"),
        "User": body.get("User"),
        "Hostname": body.get("Hostname"),
        "TTY": body.get("Tty"),
        "StopSignal": body.get("StopSignal"),
        "Healthcheck": body.get("Healthcheck"),
        "Groups": host.get("GroupAdd"),
        "ReadOnly": host.get("ReadonlyRootfs"),
        "Init": host.get("Init"),
        "Hosts": [*map(_host, list_of(host.get("ExtraHosts")))],
        "DNSConfig": {
            "Nameservers": host.get("Dns"),
            "Search": host.get("DnsSearch"),
            "Options": host.get("DnsOptions"),
        },
        "Sysctls": host.get("Sysctls"),
        "CapabilityAdd": host.get("CapAdd"),
        "CapabilityDrop": host.get("CapDrop"),
        "Ulimits": host.get("Ulimits"),
        "Mounts": [*_mounts(body, host)],
    }
    if (timeout := body.get("StopTimeout")) is not None:
        made["StopGracePeriod"] = timeout * _SECOND
    return {name: value for name, value in made.items() if value is not None}


def _host(entry: str) -> str:
    """Return an entry of --add-host, `NAME:ADDRESS`, as a line of /etc/hosts."""
    name, _, address = entry.partition(":")
    return f"{address} {name}"


def _resources(host: Mapping[str, Any]) -> dict[str, Any]:
    limits = {"NanoCPUs": host.get("NanoCpus"), "MemoryBytes": host.get("Memory"), "Pids": host.get("PidsLimit")}
    return {
        "Limits": {name: value for name, value in limits.items() if value and value > 0},
        "Reservations": {"MemoryBytes": host.get("MemoryReservation") or 0},
    }


def _restart(host: Mapping[str, Any]) -> dict[str, Any]:
    policy = dict_of(host.get("RestartPolicy"))
    name = str(policy.get("Name") or "")
    if name not in _CONDITIONS:
        raise Invalid(f"invalid restart policy '{name}'")
    return {
        "Condition": _CONDITIONS[name],
        "Delay": _RESTART_DELAY,
        "MaxAttempts": policy.get("MaximumRetryCount") or 0,
    }


def _logging(host: Mapping[str, Any]) -> dict[str, Any]:
    given = dict_of(host.get("LogConfig"))
    return {"LogDriver": {"Name": given["Type"], "Options": given.get("Config")}} if given.get("Type") else {}


def _networks(body: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    endpoints = dict_of(dict_of(body.get("NetworkingConfig")).get("EndpointsConfig"))
    mode = str(host.get("NetworkMode") or "")
    for name in dict.fromkeys([mode, *map(str, endpoints)]):
        endpoint = dict_of(endpoints.get(name))
        if refused := [key for key, value in endpoint.items() if value and key not in ("Aliases", "NetworkID")]:
            raise Unsupported(f"{ACCEPTED.what} can't have EndpointsConfig.{name}.{refused[0]}")
        if name not in _USUAL_NETWORKS:
            yield {"Target": name, "Aliases": list_of(endpoint.get("Aliases"))}


def _ports(host: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for key, bindings in dict_of(host.get("PortBindings")).items():
        port, _, protocol = str(key).partition("/")
        for binding in map(dict_of, list_of(bindings)):
            published = str(binding.get("HostPort") or "0")
            if binding.get("HostIp") or not (port.isdecimal() and published.isdecimal()):
                raise Unsupported(f"{ACCEPTED.what} publishes single ports of all addresses of its node, not {key} so")
            yield {
                "Protocol": protocol or "tcp",
                "TargetPort": int(port),
                "PublishedPort": int(published),
                "PublishMode": "host",
            }


def _mounts(body: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from map(dict_of, list_of(host.get("Mounts")))
    yield from ({"Type": "volume", "Target": str(path)} for path in dict_of(body.get("Volumes")))
    yield from ({"Type": "tmpfs", "Target": str(path)} for path in dict_of(host.get("Tmpfs")))
    for bind in map(str, list_of(host.get("Binds"))):
        source, target, mode = (*bind.split(":"), "", "")[:3]
        if mode not in ("", "rw", "ro") or bind.count(":") > 2:
            raise Unsupported(
                f"{ACCEPTED.what} can't have HostConfig.Binds {bind}: expected SOURCE:TARGET, or with :ro"
            )
        kind = "bind" if source.startswith("/") else "volume"
        yield {"Type": kind, "Source": source, "Target": target, "ReadOnly": mode == "ro"}


def _constraint(rule: Rule) -> str:
    """Return a rule for placement as the swarm writes it, which places services itself."""
    key = "node.hostname" if rule.key == "node" else rule.key
    if key not in _KEYS and not key.startswith(("node.labels.", "engine.labels.")):
        key = f"node.labels.{key}"
    if rule.soft or rule.exact is None:
        raise Invalid(f"the rule {rule.text} can't be one of a swarm service, which knows only == and != a value")
    return f"{key}{'==' if rule.wanted else '!='}{rule.exact}"
