"""Every bound of a session, in one place. Imports no trio."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Final

KIB: Final = 1024
MIB: Final = 1024 * KIB


def _bound(default: int, least: int, *, told: bool = False) -> Any:
    return field(default=default, metadata={"least": least, "told": told})


@dataclass(frozen=True, slots=True)
class Limits:
    """What one side of a session puts up with, and how patient it is. Each side has its own, and tells those that the
    other must keep to (the first six) in the handshake.

    frame: bytes of one frame's payload. A message without its value must fit into one, so
        that whatever fits into the head of an HTTP request fits here.
    value: bytes of one message's value.
    channels: channels that the peer may have opened at once: its calls under way.
    streams: byte streams that the peer may have opened at once, values that come apart among them.
    credit: messages (requests or replies) on one channel that their receiver has not taken yet.
    window: bytes of one stream that were not yet read, to begin with.
    window_max: what the window of one stream may grow to, where the reader keeps up and the way is long.
    windows: bytes that all windows of a session may grow by, together.
    values: bytes of values that are being received at once, each beyond its first window.
    backlog: bytes of messages that were not yet taken, on all channels together; over it the session is ended.
        So a peer can make this side hold `streams` times `window`, and `windows`, `values` and `backlog`, at most.
    parameters: the parameters or headers of one request, or the details of one reply. (What else they may hold is
        fixed, in `validation`.)
    outbox: bytes that wait to be sent before who sends a message must wait. Answers don't wait.
    heartbeat: seconds without a word from the peer until it is asked whether it is there.
    patience: seconds without a word from the peer until it is taken for dead.
    handshake: seconds that the peer has to say who it is.
    """

    frame: int = _bound(2 * MIB, KIB, told=True)
    value: int = _bound(64 * MIB, KIB, told=True)
    channels: int = _bound(16 * KIB, 1, told=True)
    streams: int = _bound(2 * KIB, 1, told=True)
    credit: int = _bound(256, 1, told=True)
    window: int = _bound(128 * KIB, KIB, told=True)
    window_max: int = _bound(32 * MIB, KIB)
    windows: int = _bound(128 * MIB, 0)
    values: int = _bound(128 * MIB, KIB)
    backlog: int = _bound(64 * MIB, KIB)
    parameters: int = _bound(256, 1)
    outbox: int = _bound(256 * KIB, 1)
    heartbeat: float = 10.0
    patience: float = 30.0
    handshake: float = 10.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value, least = getattr(self, each.name), each.metadata.get("least", 0.001)
            if not value >= least:
                raise ValueError(f"the limit {each.name} is {value}: it must be {least} or more")
        if self.values < self.value:
            raise ValueError(f"the limit values ({self.values}) must be that of one value ({self.value}) or more")
        if self.patience <= self.heartbeat:
            raise ValueError(f"patience ({self.patience} s) must be longer than heartbeat ({self.heartbeat} s)")


TOLD: Final = tuple(each.name for each in fields(Limits) if each.metadata.get("told"))
"""The limits that the peer is told, by name."""
