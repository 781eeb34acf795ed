"""The objects of nodes: what the index keeps of each, and a container's summary, ready to send."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple, cast

import orjson

from ..dockerapi.ages import human, since, template
from .labels import LABEL
from .node import NOTHING, Node

_FOREVER: Final = float("inf")
RUNNING: Final = frozenset({"running", "paused", "restarting"})
"""The states of containers that `docker ps` shows without `--all`."""
ENDED: Final = frozenset({"exited", "dead", "removing"})
"""The states of containers that no longer hold ports."""


class Item:
    """One object on one node."""

    __slots__ = ("group", "id", "names", "node", "shared")

    def __init__(self, node: Node, id: str, names: Iterable[str], *, shared: bool = False) -> None:
        self.node = node
        self.shared = shared
        """Whether it claims that all engines of a swarm have it."""
        self.group = ""
        self.id = id
        self.names = tuple(names)

    @property
    def label(self) -> str:
        """A name that distinguishes it from objects of the same name on other nodes."""
        return f"{self.node.name}/{self.names[0] if self.names else self.id[:12]}"


class Container(Item):
    """One container: its summary, ready to send except for its age, and what placement must know of it."""

    __slots__ = (
        *("_base", "_finished", "_started", "_status", "_text", "_until"),
        *("block", "body", "came", "claim", "created", "dated", "image", "image_id", "labels", "state"),
    )

    def __init__(self, node: Node, id: str, names: Iterable[str] = ()) -> None:
        super().__init__(node, id, names)
        self.body = b""
        """Its summary, without the status; empty until somebody wants to see it."""
        self.created = 0.0
        self.dated = False
        """Whether an inspection has told exactly when it was created; else that is known to the second."""
        self.state = "created"
        self.image = self.image_id = ""
        """The name of its image as lists show it: the id, if the name means another image by now; and the id."""
        self.claim = NOTHING
        self.labels = frozenset[str]()
        """As `NAME=VALUE`, set by the index, which finds the container by them."""
        self.came = 0
        """A number that grows with each container that comes, set by the index."""
        self.block: Block | None = None
        """Where it was put in the list of all, set by the index; None if it was in none yet."""
        self._text = ""
        self._started = self._finished = 0.0
        self._base = 0.0
        """The moment since which the age in its status is counted; 0 if it has none, or it is not known."""
        self._status = b""
        self._until = 0.0

    @property
    def has_moments(self) -> bool:
        """Whether an inspection has told since when it is what it is."""
        return bool(self._started or self._finished)

    def tell(self, summary: Mapping[str, Any], *, shown: bool = True) -> None:
        """Update the container from its entry in its engine's list; `shown`: somebody wants to see it.

        An age in the status is kept as it is told, unless an inspection has told the moment that it is counted from.
        """
        if shown:
            self.body = _body(summary, self.node.name)
        if not self.dated:
            self.created = summary.get("Created") or 0
        self.state = sys.intern(summary.get("State") or "")  # many containers tell the same
        self.image, self.image_id = sys.intern(summary.get("Image") or ""), sys.intern(summary.get("ImageID") or "")
        self._text = summary.get("Status") or ""
        self._date()

    def date(self, inspected: Mapping[str, Any]) -> None:
        """Note from its inspection since when it is what it is; {} if that is not known any more."""
        state: Mapping[str, Any] = inspected.get("State") or {}
        if created := since(inspected.get("Created") or ""):
            self.created, self.dated = created, True
        self._started, self._finished = since(state.get("StartedAt") or ""), since(state.get("FinishedAt") or "")
        self._date()

    def _date(self) -> None:
        moment = self._started if self._text.startswith("Up") else self._finished
        self._base = moment if moment and template(self._text) is not None else 0.0
        self._status, self._until = (b"", 0.0) if self._base else (_field(self._text), _FOREVER)

    def parts(self, now: float) -> tuple[bytes, bytes, float]:
        """Return its summary in two pieces, and until when they are true; `now` is the time on its engine's clock."""
        if now >= self._until:
            age, lasts = human(now - self._base)
            self._text = age.join(template(self._text) or ("", ""))
            self._status = _field(self._text)
            self._until = self._base + lasts
        return self.body, self._status, self._until

    @property
    def summary(self) -> dict[str, Any]:
        """Its summary, without the status; {} until it is known."""
        return cast("dict[str, Any]", orjson.loads(self.body + b"}")) if self.body else {}


class Piece(NamedTuple):
    """Summaries as they follow each other in a list, and until when their ages are true, by this host's clock."""

    json: bytes | memoryview
    until: float


class Block:
    """Containers that follow each other in the list of all, and their pieces of the lists that were made last."""

    __slots__ = ("containers", "pieces")

    def __init__(self) -> None:
        self.containers: list[Container] = []
        self.pieces: dict[bool, Piece] = {}
        """By whether the list is of running containers only, until a container changes."""

    def add(self, containers: Collection[Container]) -> None:
        """Add containers at the end."""
        for each in containers:
            each.block = self
        self.containers += containers
        self.pieces.clear()


def _body(summary: Mapping[str, Any], node: str) -> bytes:
    rest = {key: value for key, value in summary.items() if key != "Status"}
    rest["Labels"] = {**(summary.get("Labels") or {}), LABEL: node}
    rest["Node"] = node
    return orjson.dumps(rest)[:-1]


def _field(status: str) -> bytes:
    return b',"Status":' + orjson.dumps(status) + b"}"
