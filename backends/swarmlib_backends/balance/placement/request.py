"""What a new container asks of its node, in the old Swarm's notation, read from the body of its create.

    -e constraint:region==us*       -e affinity:container!=web      -e constraint:storage==~ssd   (`~`: if it can be)
    --label com.docker.swarm.constraints='["region==us*"]'          -e reschedule:on-node-failure

Rules in the environment are moved to labels, so that the container can be recognized later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import orjson

from swarmlib import Invalid

from ...dockerapi import isolation
from ...dockerapi.nullable import dict_of, list_of
from ..departed import Ref
from ..labels import LABEL, RESCHEDULE, VEHICLE, group_of
from ..node import EVERYWHERE, NOTHING, Claim, Port, port_number
from . import origins
from .rules import Rule

_LABELS: Final = {
    "constraint": "com.docker.swarm.constraints",
    "affinity": "com.docker.swarm.affinities",
    "reschedule": RESCHEDULE,
}
_OWN_NETWORKS: Final = EVERYWHERE | {"", "default", "nat"}
"""Network modes that every engine has."""
_MODES: Final = ("IpcMode", "PidMode")
_SERVICE: Final = "service"
ON_FAILURE: Final = "on-node-failure"
_MOST_RULES: Final = 100
"""Rules of one kind for one container, at most."""


@dataclass(frozen=True)
class PlacementRequest:
    """What decides where a container can go; for other objects, only the group is set."""

    name: str = ""
    image: str = ""
    claim: Claim = NOTHING
    constraints: list[Rule] = field(default_factory=list[Rule])
    affinities: list[Rule] = field(default_factory=list[Rule])
    beside: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """(kind, name) of the objects that it uses, which must be on the same engine."""
    group: str = ""
    """The group that it belongs to."""
    isolation: str = ""
    """The isolation that its engine must have."""
    runtime: str = ""
    """The isolation that its engine should have, but may support without listing it, as by the path of a runtime."""
    origins: Sequence[Ref] = ()
    """References to the original of a recreated container, the most reliable first."""
    service: bool = False
    """Whether it is to be a service of a swarm, which the swarm itself places."""
    of_host: str = ""
    """The first path or device of its engine's host that it uses."""

    @property
    def compares(self) -> bool:
        """Whether it is compared with the properties of other containers."""
        return bool(self.claim.ports or self.claim.cpus or self.claim.memory or self.affinities)

    @property
    def key(self) -> str:
        """The key for placement by hash."""
        return self.name or self.image


def read(name: str, body: Any) -> tuple[PlacementRequest, dict[str, Any] | None]:
    """Read the placement request in the body of a create; also return the body to send instead, if it must change.

    body: in canonical form (`dockerapi.canonical`), or assembled from an engine's description of a container.

    Raises:
        Invalid: there is no body, or a rule in it is wrong; the error says where.
    """
    if not isinstance(body, dict):
        raise Invalid("the body of a create must be a JSON object")
    given = cast("dict[str, Any]", body)
    cleaned = _cleaned(given)
    labels: Mapping[str, str] = dict_of((cleaned or given).get("Labels"))
    host = dict_of(given.get("HostConfig"))
    exposed = dict_of(given.get("ExposedPorts")) if host.get("NetworkMode") == "host" else ()
    request = PlacementRequest(
        name=name,
        image=str(given.get("Image") or ""),
        claim=Claim.of(host, map(_port, exposed)),
        constraints=constraints(labels),
        affinities=[Rule.read(text) for text in _listed(labels, "affinity")],
        beside=[*dict.fromkeys(_used(given, host))],
        group=group_of(labels),
        isolation=isolation.demanded(given),
        runtime=isolation.named(given),
        origins=[*origins.told(name, given, node=str(dict_of(given.get("Labels")).get(LABEL) or ""))],
        of_host=origins.of_host(host),
        service=_is_service(labels),
    )
    return request, cleaned


def constraints(labels: Mapping[str, str]) -> list[Rule]:
    """Return the rules about its node that the labels of a container hold. Raise Invalid if one is wrong."""
    return [Rule.read(text) for text in _listed(labels, "constraint")]


def _is_service(labels: Mapping[str, str]) -> bool:
    vehicle = labels.get(VEHICLE, "")
    if vehicle not in ("", _SERVICE):
        raise Invalid(f"the label {VEHICLE} must be {_SERVICE}, not {vehicle!r:.80}")
    return bool(vehicle)


def _port(exposed: str) -> Port:
    """Read the port that a container in its node's network takes; the number is 0 if it is not a single port."""
    number, _, protocol = exposed.partition("/")
    return protocol or "tcp", "", port_number(number)


def reschedules(labels: Mapping[str, str]) -> bool:
    """Return whether a container is to be recreated elsewhere when its engine dies."""
    try:
        return ON_FAILURE in _listed(labels, "reschedule")
    except Invalid:  # the container was not created by balance, which would have refused the label
        return False


def _listed(labels: Mapping[str, str], kind: str) -> list[str]:
    text = labels.get(_LABELS[kind])
    if not text:
        return []
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    rules = cast("list[Any]", found)
    if not isinstance(found, list) or not all(isinstance(each, str) for each in rules):
        raise Invalid(f"the label {_LABELS[kind]} must be a JSON list of strings, not {text!r:.80}")
    if len(rules) > _MOST_RULES:
        raise Invalid(f"the label {_LABELS[kind]} holds {len(rules)} rules: at most {_MOST_RULES} are allowed")
    return rules


def _cleaned(body: dict[str, Any]) -> dict[str, Any] | None:
    """Move the rules from the environment of a body to its labels, and remove the label that names its engine; return
    None if it has neither.
    """
    env: list[str] = list_of(body.get("Env"))
    found: dict[str, list[str]] = {}
    kept: list[str] = []
    for entry in env:
        kind, _, rule = entry.partition(":")
        if kind in _LABELS and rule:
            found.setdefault(kind, []).append(rule)
        else:
            kept.append(entry)
    labels: dict[str, str] = dict_of(body.get("Labels"))
    if not found and LABEL not in labels:
        return None
    made = {name: value for name, value in labels.items() if name != LABEL}
    for kind, rules in found.items():
        made[_LABELS[kind]] = orjson.dumps([*_listed(labels, kind), *rules]).decode()
    return body | {"Env": kept, "Labels": made}


def network_used(mode: str) -> tuple[str, str] | None:
    """Return what a network mode names, by kind and name: a network, or the container whose network it is.

    Return None for the modes that every engine has.
    """
    if mode.startswith("container:"):
        return "containers", mode.removeprefix("container:")
    return None if mode in _OWN_NETWORKS or ":" in mode else ("networks", mode)


def _used(body: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for each in list_of(host.get("VolumesFrom")):
        yield "containers", str(each).partition(":")[0]
    for each in list_of(host.get("Links")):
        yield "containers", str(each).partition(":")[0].lstrip("/")
    for mode in _MODES:
        if str(host.get(mode) or "").startswith("container:"):
            yield "containers", str(host[mode]).partition(":")[2]
    if used := network_used(str(host.get("NetworkMode") or "")):
        yield used
    endpoints = dict_of(dict_of(body.get("NetworkingConfig")).get("EndpointsConfig"))
    yield from (("networks", str(each)) for each in endpoints if each not in _OWN_NETWORKS)
    for each in (link for endpoint in endpoints.values() for link in list_of(dict_of(endpoint).get("Links"))):
        yield "containers", str(each).partition(":")[0].lstrip("/")
    for each in list_of(host.get("Binds")):
        source = str(each).partition(":")[0]
        if ":" in str(each) and source and not origins.is_path(source):
            yield "volumes", source
    for mount in map(dict_of, list_of(host.get("Mounts"))):
        if mount.get("Type") == "volume" and mount.get("Source"):
            yield "volumes", str(mount["Source"])
