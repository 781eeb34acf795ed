"""How long an engine's answers stay true: what each depends on, and what an event or a change says to be different.

Every row was tried with a Docker engine; docs/performance.md has the table, with the fields that change without an
event. An answer with such a field is asked for each time, as is every answer of what is not known to be an engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from swarmlib import Request, Verb
from swarmlib.asking import Answer

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.operations import ContainerInspect
from ..dockerapi.versions import parsed
from .kept import Topic
from .node import EVERYWHERE, Node

CONTAINERS: Final = "containers"
IMAGES: Final = "images"
NETWORKS: Final = "networks"
VOLUMES: Final = "volumes"
COUNTS: Final = "counts"
"""How many there are of everything, and what they take: `info` and `df`."""

_LONGEST: Final = 60.0
"""Seconds that an answer is kept, at most: what somebody does to an engine beside its API has no events, such as
replacing the runc that its version tells."""
_LONGEST_PING: Final = 5.0
"""Seconds for a ping, whose headers tell what an engine is in a swarm; balance finds out by itself whether it is up."""
_RUNS: Final = frozenset({"running", "paused"})
_FULL_ID: Final = re.compile(r"[0-9a-f]{64}")
_SHORT_ID: Final = re.compile(r"(sha256:)?[0-9a-f]{1,63}")
_LISTED_WITHOUT_CONTAINERS: Final = (1, 28)
"""The version of the API since which a list of networks does not tell who is in them."""
_DANGLING: Final = "dangling"

Told: TypeAlias = Callable[[Request, Answer], bool]
"""Tells whether the engine has an event for each change of an answer to a request."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What an answer depends on, and whether each of its changes is told."""

    kind: str
    told: Told
    longest: float = _LONGEST
    """Seconds that an answer is kept, at most."""

    def topics(self, node: Node, id: str = "") -> list[Topic]:
        """Return what an answer of a node depends on. id: the container that it is about."""
        return [(node,), (node, self.kind), *([(node, self.kind, id)] if id else [])]


def _container(request: Request, answer: Answer) -> bool:
    # A start that fails has no event, and neither has the result of a probe that does not change the health.
    value = answer.value
    state, test = dict_of(value.get("State")), dict_of(dict_of(value.get("Config")).get("Healthcheck")).get("Test")
    probed = state.get("Health") or list_of(test) not in ([], ["NONE"])
    return state.get("Status") in _RUNS and not probed and not ContainerInspect.of(request).size


def _network(request: Request, answer: Answer) -> bool:
    # BuildKit joins the default network without an event; those of a swarm change with what happens elsewhere.
    value = answer.value
    ends = dict_of(value.get("Containers"))
    return (
        not request.params
        and value.get("Scope") == "local"
        and value.get("Name") not in EVERYWHERE
        and all(map(_FULL_ID.fullmatch, ends))
    )


def _networks(request: Request, answer: Answer) -> bool:
    version = request.meta.version
    return (not version or parsed(version) >= _LISTED_WITHOUT_CONTAINERS) and _DANGLING not in str(request.params)


def _image(request: Request, answer: Answer) -> bool:
    # A build without a tag has no event, and its image can make the beginning of an id ambiguous.
    return not request.params and _SHORT_ID.fullmatch(request.path[1]) is None


def _always(request: Request, answer: Answer) -> bool:
    return True


def _never(request: Request, answer: Answer) -> bool:
    return False


_RULES: Final[Mapping[tuple[Verb, str, int], Rule]] = {
    (Verb.GET, CONTAINERS, 2): Rule(CONTAINERS, _container),
    (Verb.GET, IMAGES, 2): Rule(IMAGES, _image),
    (Verb.GET, NETWORKS, 2): Rule(NETWORKS, _network),
    (Verb.GET, VOLUMES, 2): Rule(VOLUMES, _never),
    (Verb.LS, IMAGES, 1): Rule(IMAGES, _never),
    (Verb.LS, NETWORKS, 1): Rule(NETWORKS, _networks),
    (Verb.LS, VOLUMES, 1): Rule(VOLUMES, _never),
    (Verb.GET, "", 0): Rule(COUNTS, _never),
    (Verb.GET, "df", 1): Rule(COUNTS, _never),
    (Verb.GET, "version", 1): Rule("version", _always),
    (Verb.GET, "ping", 1): Rule("ping", _always, _LONGEST_PING),
    (Verb.GET, "ping", 2): Rule("ping", _always, _LONGEST_PING),
}


def rule_of(request: Request) -> Rule | None:
    """Return the rule for the answer to a request; None if its answers are neither kept nor shared."""
    path = request.path
    return _RULES.get((request.verb, path[0] if path else "", len(path)))


def is_engine(version: Mapping[str, Any]) -> bool:
    """Return whether an answer to `version` is a Docker engine's, whose events are known.

    An engine lists its containerd; what only plays an engine, such as Podman or a backend, does not.
    """
    return {"Engine", "containerd"} <= {part.get("Name") for part in list_of(version.get("Components"))}


_OF_EVENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "container": (COUNTS,),
    "image": (IMAGES, COUNTS),
    "network": (NETWORKS,),
    "volume": (VOLUMES, COUNTS),
    "builder": (COUNTS,),
}
"""What is different after an event of each type; after one of another type, everything may be."""
_QUIET: Final = ("exec_", "health_status", "top", "resize", "attach", "detach")
"""How the actions of containers begin that change neither what there is nor what it takes."""


def dropped_by(node: Node, event: Mapping[str, Any]) -> Iterator[Topic]:
    """Yield the topics that a well-formed event of a node says to be different."""
    actor, action = dict_of(event.get("Actor")), str(event.get("Action") or "")
    kinds = _OF_EVENTS.get(event["Type"])
    if kinds is None:
        yield (node,)
        return
    if event["Type"] == "container":
        yield (node, CONTAINERS, actor.get("ID") or "")
        if action.startswith(_QUIET):
            return
        if action == "rename":
            yield (node, NETWORKS)  # which name their containers
        elif action == "commit":
            yield (node, IMAGES)
    elif event["Type"] == "network":
        yield (node, CONTAINERS, dict_of(actor.get("Attributes")).get("container", ""))
    for kind in kinds:
        yield (node, kind)


PASSIVE: Final = frozenset({Verb.LS, Verb.GET, Verb.WATCH, Verb.ATTACH})
"""The verbs of calls that change nothing."""
_OF_CHANGES: Final[Mapping[str, tuple[str, ...]]] = {
    CONTAINERS: (NETWORKS, VOLUMES, COUNTS),
    "exec": (CONTAINERS,),
    IMAGES: (IMAGES, COUNTS),
    "commit": (IMAGES, COUNTS),
    NETWORKS: (NETWORKS, CONTAINERS),
    VOLUMES: (VOLUMES, COUNTS),
}
"""What may be different after a call that changes something, by the first word of its path; after others, everything.
A build is one of these: BuildKit's calls have no rows."""


def dropped_by_call(node: Node, request: Request, id: str) -> list[Topic]:
    """Return the topics that a call to a node may have changed. id: its container, if that is known."""
    kind = request.path[0] if request.path else ""
    if kind not in _OF_CHANGES:
        return [(node,)]
    own: list[Topic] = [(node, kind, id) if id else (node, kind)] if kind == CONTAINERS else []
    return own + [(node, each) for each in _OF_CHANGES[kind]]
