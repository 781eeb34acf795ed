"""What a new container asks of its engine, in the old Swarm's notation: read out of the body of its create.

    -e constraint:region==us*       -e affinity:container!=web      -e constraint:storage==~ssd   (`~`: if it can be)
    --label com.docker.swarm.constraints='["region==us*"]'          -e reschedule:on-node-failure

What stands in the environment is moved to labels, so that the container can be told from others later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self, cast

import orjson

from swarmlib import Invalid

from ..dockerapi import isolation
from ..dockerapi.matching import Matches, glob, regex
from ..dockerapi.nulls import fields, items
from . import origins
from .index import LABEL, Claim
from .merge import EVERYWHERE
from .mirror import RESCHEDULE, claim_of, group_of, port_number

_LABELS: Final = {
    "constraint": "com.docker.swarm.constraints",
    "affinity": "com.docker.swarm.affinities",
    "reschedule": RESCHEDULE,
}
_RULE: Final = re.compile(r"(?P<key>[A-Za-z_][\w.\-]*)(?P<operator>==|!=)(?P<soft>~?)(?P<value>.+)")
_OWN_NETWORKS: Final = EVERYWHERE | {"", "default", "nat"}
"""Network modes that every engine has."""
_MODES: Final = ("IpcMode", "PidMode")
ON_FAILURE: Final = "on-node-failure"
_MOST_RULES: Final = 100
"""Rules of one kind for one container."""


@dataclass(frozen=True)
class Rule:
    """`key==value`: the value may hold `*`, or be a /regular expression/."""

    text: str
    key: str
    wanted: bool
    soft: bool
    fits: Matches
    """Whether a value is the one that is spoken of, wanted or not."""
    exact: str | None
    """The value, if it is no pattern."""

    @classmethod
    def read(cls, text: str) -> Self:
        """A rule from its text.

        Raises:
            Invalid: it is not a rule, or its pattern is wrong or too long.
        """
        found = _RULE.fullmatch(text)
        if found is None:
            raise Invalid(f"{text!r} is no rule for placement; region==us, region!=us and region==~us are")
        value = found["value"]
        is_regex = len(value) > 2 and value[0] == value[-1] == "/"
        fits = regex(value[1:-1]) if is_regex else glob(value)
        plain = not is_regex and not set(value) & set("*?[")
        return cls(text, found["key"], found["operator"] == "==", bool(found["soft"]), fits, value if plain else None)


@dataclass(frozen=True)
class Wish:
    """What decides where a container can go."""

    name: str
    image: str
    claim: Claim
    constraints: list[Rule] = field(default_factory=list[Rule])
    affinities: list[Rule] = field(default_factory=list[Rule])
    beside: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """(kind, name) of what it uses, which must be on the same engine."""
    group: str = ""
    """What it belongs with."""
    isolation: str = ""
    """The isolation that its engine must have."""
    runtime: str = ""
    """The one that its engine had better have, but may also know without saying so, as by the path of a runtime."""
    origins: Sequence[origins.Ref] = ()
    """What says where the container was from which it is made anew, the surest first."""
    of_host: str = ""
    """What it uses of its engine's machine itself."""

    @property
    def compares(self) -> bool:
        """Whether it is compared with what other containers are and have."""
        return bool(self.claim.ports or self.claim.cpus or self.claim.memory or self.affinities)

    @property
    def key(self) -> str:
        """What a placement by hash goes by."""
        return self.name or self.image


def read(name: str, body: Any) -> tuple[Wish, dict[str, Any] | None]:
    """The wish in the body of a create, and the body to send instead where it must be another.

    body: in canonical form (`dockerapi.canonical`), or put together from what an engine says of a container.

    Raises:
        Invalid: there is no body, or a rule in it is wrong; says where.
    """
    if not isinstance(body, dict):
        raise Invalid("the body of a create should be a JSON object")
    given = cast("dict[str, Any]", body)
    cleaned = _cleaned(given)
    labels: Mapping[str, str] = fields((cleaned or given).get("Labels"))
    host = fields(given.get("HostConfig"))
    exposed = list(fields(given.get("ExposedPorts")))
    claim = claim_of(host)
    if host.get("NetworkMode") == "host":
        ports = [
            (each.partition("/")[2] or "tcp", "", number)
            for each in exposed
            if (number := port_number(each.partition("/")[0]))
        ]
        claim = Claim(claim.cpus, claim.memory, [*claim.ports, *ports])
    wish = Wish(
        name=name,
        image=str(given.get("Image") or ""),
        claim=claim,
        constraints=[Rule.read(text) for text in _listed(labels, "constraint")],
        affinities=[Rule.read(text) for text in _listed(labels, "affinity")],
        beside=[*dict.fromkeys(_used(given, host))],
        group=group_of(labels),
        isolation=isolation.demanded(given),
        runtime=isolation.named(given),
        origins=[*origins.told(name, given, node=str(fields(given.get("Labels")).get(LABEL) or ""))],
        of_host=origins.of_host(host),
    )
    return wish, cleaned


def reschedules(labels: Mapping[str, str]) -> bool:
    """Whether a container is to be made anew elsewhere when its engine dies."""
    try:
        return ON_FAILURE in _listed(labels, "reschedule")
    except Invalid:  # the container was made past balance, which would have refused the label
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
        raise Invalid(f"the label {_LABELS[kind]} should hold a JSON list of strings, not {text!r:.80}")
    if len(rules) > _MOST_RULES:
        raise Invalid(f"the label {_LABELS[kind]} holds {len(rules)} rules: at most {_MOST_RULES} are allowed")
    return rules


def _cleaned(body: dict[str, Any]) -> dict[str, Any] | None:
    """The body with the rules in its labels instead of its environment, and without the label that says its engine;
    None if it has neither.
    """
    env: list[str] = items(body.get("Env"))
    found: dict[str, list[str]] = {}
    kept: list[str] = []
    for entry in env:
        kind, _, rule = entry.partition(":")
        if kind in _LABELS and rule:
            found.setdefault(kind, []).append(rule)
        else:
            kept.append(entry)
    labels: dict[str, str] = fields(body.get("Labels"))
    if not found and LABEL not in labels:
        return None
    made = {name: value for name, value in labels.items() if name != LABEL}
    for kind, rules in found.items():
        made[_LABELS[kind]] = orjson.dumps([*_listed(labels, kind), *rules]).decode()
    return body | {"Env": kept, "Labels": made}


def network_used(mode: str) -> tuple[str, str] | None:
    """What a network mode names, by kind and name: a network, or a container whose network it is; None for the modes
    that every engine has.
    """
    if mode.startswith("container:"):
        return "containers", mode.removeprefix("container:")
    return None if mode in _OWN_NETWORKS or ":" in mode else ("networks", mode)


def _used(body: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for each in items(host.get("VolumesFrom")):
        yield "containers", str(each).partition(":")[0]
    for each in items(host.get("Links")):
        yield "containers", str(each).partition(":")[0].lstrip("/")
    for mode in _MODES:
        if str(host.get(mode) or "").startswith("container:"):
            yield "containers", str(host[mode]).partition(":")[2]
    if used := network_used(str(host.get("NetworkMode") or "")):
        yield used
    endpoints = fields(fields(body.get("NetworkingConfig")).get("EndpointsConfig"))
    yield from (("networks", str(each)) for each in endpoints if each not in _OWN_NETWORKS)
    for each in (link for endpoint in endpoints.values() for link in items(fields(endpoint).get("Links"))):
        yield "containers", str(each).partition(":")[0].lstrip("/")
    for each in items(host.get("Binds")):
        source = str(each).partition(":")[0]
        if ":" in str(each) and source and not origins.is_path(source):
            yield "volumes", source
    for mount in map(fields, items(host.get("Mounts"))):
        if mount.get("Type") == "volume" and mount.get("Source"):
            yield "volumes", str(mount["Source"])
