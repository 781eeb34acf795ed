"""The objects of nodes: what the index keeps of each, and a container's summary, ready to send."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

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
        *("_after", "_base", "_before", "_status", "_until"),
        *("body", "claim", "created", "image", "image_id", "labels", "state"),
    )

    def __init__(self, node: Node, id: str, names: Iterable[str] = ()) -> None:
        super().__init__(node, id, names)
        self.body = b""
        self.created = 0.0
        self.state = "created"
        self.image = self.image_id = ""
        """The name of its image as lists show it: the id, if the name means another image by now; and the id."""
        self.claim = NOTHING
        self.labels = frozenset[str]()
        """As `NAME=VALUE`, set by the index, which finds the container by them."""
        self._before = self._after = ""
        self._base = 0.0
        self._status = b""
        self._until = 0.0

    def tell(self, summary: dict[str, Any], inspected: Mapping[str, Any]) -> None:
        """Update the container from its engine's answers: its entry in a list, and its inspection."""
        state: Mapping[str, Any] = inspected.get("State") or {}
        rest = {key: value for key, value in summary.items() if key != "Status"}
        rest["Labels"] = {**(summary.get("Labels") or {}), LABEL: self.node.name}
        rest["Node"] = self.node.name
        self.body = orjson.dumps(rest)[:-1]
        self.created = since(inspected.get("Created") or "") or summary.get("Created") or 0
        self.state = summary.get("State") or ""
        self.image, self.image_id = summary.get("Image") or "", summary.get("ImageID") or ""
        status: str = summary.get("Status") or ""
        ages = template(status)
        self._before, self._after = ages or (status, "")
        moment = since(state.get("StartedAt" if status.startswith("Up") else "FinishedAt") or "")
        self._base = moment if ages else 0.0
        self._until = 0.0
        if not self._base:
            self._status, self._until = _field(status), _FOREVER

    def parts(self, now: float) -> tuple[bytes, bytes, float]:
        """Return its summary in two pieces, and until when they are true; `now` is the time on its engine's clock."""
        if now >= self._until:
            age, lasts = human(now - self._base)
            self._status = _field(f"{self._before}{age}{self._after}")
            self._until = self._base + lasts
        return self.body, self._status, self._until

    @property
    def summary(self) -> dict[str, Any]:
        """Its summary, without the status; {} until it is known."""
        return cast("dict[str, Any]", orjson.loads(self.body + b"}")) if self.body else {}


def _field(status: str) -> bytes:
    return b',"Status":' + orjson.dumps(status) + b"}"
