"""Frames: the pieces that a session's bytes consist of, and the words of the handshake. Imports no trio.

A frame is a head of 13 bytes (its length, its type, its channel; big-endian) and a payload of that length.
"""

from __future__ import annotations

import re
import struct
from enum import IntEnum
from typing import Any, Final

import msgpack as untyped_msgpack

from ..errors import ERRORS, SwarmError, Unavailable
from .errors import WireError, shown
from .limits import TOLD, Limits

msgpack: Final[Any] = untyped_msgpack

MAGIC: Final = b"\x89SWARM\r\n"
"""What each side says first. The first byte is no text, and the last two get lost where line ends are translated."""

VERSIONS: Final = (2, 2)
"""The oldest and the newest version of the wire that this side speaks."""

_REASON: Final = 1000
"""Characters of why a session ends, at most."""
HEAD: Final = struct.Struct("!IBQ")
NUMBER: Final = struct.Struct("!Q")
OPTIONAL: Final = 0x80
"""Frame types from here on may be ignored by a side that doesn't know them."""


class Type(IntEnum):
    """What a frame is; `docs/wire.md` says what its payload holds."""

    HELLO = 1
    MESSAGE = 2
    LAST = 3
    DATA = 4
    END = 5
    RESET = 6
    CREDIT = 7
    PING = 8
    PONG = 9
    GOAWAY = 10
    BYE = 11


def common(ours: tuple[int, int], theirs: tuple[int, int]) -> int:
    """Return the newest version that both sides speak.

    Raises:
        WireError: there is none.
    """
    newest = min(ours[1], theirs[1])
    if newest < max(ours[0], theirs[0]):
        spoken = f"this side supports {ours[0]} to {ours[1]}, the peer {theirs[0]} to {theirs[1]}"
        raise WireError(f"no common version of the protocol: {spoken}")
    return newest


def refusal(data: bytes) -> bytes:
    """Return what to say to a client that began with `data`, and so speaks something else."""
    text = b"This is a swarmlib wire: it is for `remote`, at the end of a swarmd chain.\n"
    if not _HTTP.match(data):
        return text
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    return head % len(text) + text


_HTTP: Final = re.compile(rb"[A-Z]{3,8} [/*]|CONNECT |PRI \*")


def frame(type: Type, channel: int = 0, payload: bytes = b"") -> bytes:
    """Return the bytes of one frame."""
    return HEAD.pack(len(payload), type, channel) + payload


def hello(versions: tuple[int, int], limits: Limits, capabilities: frozenset[str]) -> bytes:
    """Return the frame with which a side says what it speaks, what it puts up with, and what it can."""
    told = {name: getattr(limits, name) for name in TOLD}
    said = {"versions": list(versions), "limits": told, "capabilities": sorted(capabilities)}
    return frame(Type.HELLO, 0, msgpack.packb(said))


def read_hello(payload: bytes) -> tuple[tuple[int, int], dict[str, int], frozenset[str]]:
    """Read what the peer says of itself: its versions, its limits, its capabilities. What else it says is left for
    later versions.

    Raises:
        WireError: it is no such thing, or a limit is too low to work with.
    """
    said: Any = _read(payload, "HELLO")
    try:
        oldest, newest = map(_integer, said["versions"])
        limits = {name: _integer(said["limits"][name]) for name in TOLD}
        capabilities = frozenset(map(_text, said["capabilities"]))
        Limits(**limits)
    except (TypeError, KeyError, ValueError) as exc:
        raise WireError(f"invalid HELLO: expected versions, limits and capabilities: {exc}") from exc
    return (oldest, newest), limits, capabilities


def _integer(found: object) -> int:
    if type(found) is not int or not 0 < found < 2**63:
        raise ValueError(f"{shown(found)} is not a number from 1 to 2**63")
    return found


def _text(found: object) -> str:
    if type(found) is not str:
        raise TypeError(f"{shown(found)} is not text")
    return found


def bye(error: SwarmError | None) -> bytes:
    """Return the last frame of a session: why it ends; None for an orderly end."""
    said = ["", ""] if error is None else [error.code, error.message[:_REASON]]
    return frame(Type.BYE, 0, msgpack.packb(said))


def read_bye(payload: bytes) -> SwarmError:
    """Why the peer ended the session.

    Raises:
        WireError: it is no such thing.
    """
    said: Any = _read(payload, "BYE")
    try:
        code, text = map(_text, said)
    except (TypeError, ValueError) as exc:
        raise WireError("invalid BYE: expected an array of an error's code and its text") from exc
    if not code:
        return Unavailable("the peer ended the session")
    kind = WireError if code == WireError.code else ERRORS.get(code, Unavailable)
    return kind(f"the peer ended the session: {text[:_REASON]}")


def _read(payload: bytes, what: str) -> Any:
    try:
        return msgpack.unpackb(payload)
    except (msgpack.UnpackException, ValueError, TypeError) as exc:
        raise WireError(f"invalid {what}: expected a msgpack object: {exc or type(exc).__name__}") from exc
