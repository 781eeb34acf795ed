"""A session driven on trio, over any byte stream: what is sent to `connection.sender` reaches the peer's service."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Protocol

import trio

from ..channel import CLEANUP_SECONDS, Sender
from ..errors import SwarmError
from .limits import Limits


class FileStream(Protocol):
    """What a transport's stream offers beside `trio.abc.Stream`, where open files can go over it (a unix socket).

    A stream that has both methods says the capability `files` in the handshake; both sides must have it.
    """

    async def send_with_files(self, data: bytes, files: list[int]) -> None:
        """Send all of `data`, and the descriptors along with its first byte (SCM_RIGHTS). They stay the caller's,
        which closes them after.

        Raises: what `send_all` raises.
        """
        ...

    def take_files(self) -> list[int]:
        """The descriptors that came with what `receive_some` gave so far, in order, each once; close-on-exec, and the
        caller's to close. A stream that is closed closes those that nobody took.
        """
        ...


class Connection:
    """One session with a peer.

    sender: to the peer's service. Never closed by who uses it. Once the connection is lost, sending answers
        `unavailable`; its detail `UNSENT` says of a request that it surely did not happen.
    closed: set once the session has ended, whoever ended it. `why` says how.
    why: None while it goes on; then what ended it: `Unavailable` for a loss, an orderly end or a peer that went silent,
        `WireError` for bytes that break the format, whoever sent them; its text names the side.
    caller: who the peer is, as the transport knows it; "" where it doesn't.
    version: of the wire, as agreed.
    capabilities: what both sides can, such as "files".
    """

    sender: Sender
    closed: trio.Event
    why: SwarmError | None
    caller: str
    version: int
    capabilities: frozenset[str]

    async def drain(self) -> None:
        """End gracefully: the peer begins no new call from now on, and this waits until all calls, objects and streams
        that are open have ended. Put a deadline around it (`trio.move_on_after(grace)`), and leave the context then.

        Returns at once when the session has ended.
        """
        raise NotImplementedError

    @property
    def draining(self) -> bool:
        """Whether the peer asked for no new calls: they are answered `unavailable`, unsent. Time to open another."""
        raise NotImplementedError


@asynccontextmanager
async def open_connection(
    stream: trio.abc.Stream,
    *,
    service: Sender | None,
    initiator: bool,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    caller: str = "",
) -> AsyncGenerator[Connection]:
    """Run a session over `stream`; the context is entered once both sides have agreed, and closes the stream.

    service: where the peer's messages go, with `args[":caller"]` set to `caller` (or absent, where that is ""),
        whatever the peer said; None answers every request `not_implemented`.
    initiator: True on the side that opened the connection; it speaks first.

    A loss does not end the body: it sets `connection.closed`, every open call gets `unavailable`, every stream breaks.
    Leaving the context tells the peer, cancels what it works for here, and takes `CLEANUP_SECONDS` at most.

    Raises:
        WireError: the peer speaks no swarmlib wire, or none of the versions that this side does.
        Unavailable: the stream ended or broke before they agreed, or the peer said nothing for `limits.handshake`.
    """
    raise NotImplementedError(CLEANUP_SECONDS)
    yield Connection()
