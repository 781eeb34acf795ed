"""Listening sockets that outlive their server: the one that takes its place accepts on them from then on.

A process that changes its servers while it runs holds a `Handover`, and starts each server in `server()`. The sockets
of an address are bound once. Each server has a copy, and they are closed and removed when no server uses them.

    handover = Handover()
    with handover.server() as old:
        ...  # open the server: it binds tcp://127.0.0.1:4243
    with handover.server() as new:
        ...  # open another one, on the same address: both accept
    old.retire()  # accepts no more; its connections go on, and `old.ended` is set when they have ended
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Self, TypeAlias

import trio

from .address import Address

Bind: TypeAlias = Callable[[], Awaitable[list[trio.SocketListener]]]
"""Binds the sockets of an address."""


@dataclass(eq=False)
class _Bound:
    """The sockets of an address, and how many servers use them."""

    listeners: list[trio.SocketListener]
    path: str
    inode: int
    users: int = 0

    @classmethod
    async def make(cls, address: Address, bind: Bind) -> Self:
        listeners = await bind()
        return cls(listeners, address.path, os.stat(address.path).st_ino if address.path else 0)

    def close(self) -> None:
        for listener in self.listeners:
            listener.socket.close()
        if self.path:
            _remove(self.path, self.inode)


class Handover:
    """The sockets of all servers that run in a process one after another."""

    def __init__(self) -> None:
        self._bound: dict[str, _Bound] = {}

    @contextmanager
    def server(self) -> Generator[Listening]:
        """Have the server that is opened in this context share its sockets."""
        listening = Listening(self)
        token = _current.set(listening)
        try:
            yield listening
        finally:
            _current.reset(token)

    async def take(self, address: Address, bind: Bind) -> list[trio.SocketListener]:
        """Return a server's own copies of the sockets of an address, which are bound now if no server uses them yet."""
        bound = self._bound.get(address.text)
        if bound is None:
            bound = self._bound[address.text] = await _Bound.make(address, bind)
        bound.users += 1
        return [trio.SocketListener(each.socket.dup()) for each in bound.listeners]

    def release(self, address: Address) -> None:
        """Note that a server uses the sockets of an address no more; after the last one, they are closed."""
        bound = self._bound[address.text]
        bound.users -= 1
        if not bound.users:
            del self._bound[address.text]
            bound.close()


@dataclass(eq=False)
class Sockets:
    """The sockets on which a server accepts, or some of them."""

    handover: Handover
    listeners: list[trio.SocketListener] = field(default_factory=list[trio.SocketListener])
    _addresses: list[Address] = field(default_factory=list[Address])

    async def listen(self, address: Address, bind: Bind) -> None:
        """Listen on an address. Raises what `bind` raises."""
        self.listeners += await self.handover.take(address, bind)
        self._addresses.append(address)

    def close(self) -> None:
        """Close them. May be called twice."""
        for listener in self.listeners:
            listener.socket.close()
        while self._addresses:
            self.handover.release(self._addresses.pop())


@dataclass(eq=False)
class Listening:
    """What a server listens on.

    Attributes:
        parts: its sockets, until all connections that came by them have ended.
        retired: whether it accepts no more connections.
        ended: set when the last connection has ended.
    """

    handover: Handover
    parts: list[Sockets] = field(default_factory=list[Sockets])
    retired: bool = False
    ended: trio.Event = field(default_factory=trio.Event)

    def retire(self) -> None:
        """Accept no more connections."""
        self.retired = True
        for part in self.parts:
            part.close()

    def end(self, part: Sockets) -> None:
        """Note that the connections of some sockets have ended."""
        part.close()
        self.parts.remove(part)
        if not self.parts:
            self.ended.set()


_current: ContextVar[Listening | None] = ContextVar("listening", default=None)


@contextmanager
def opened() -> Generator[Sockets]:
    """Make sockets for the server that opens now; they are closed at the end."""
    listening = _current.get() or Listening(Handover())
    part = Sockets(listening.handover)
    listening.parts.append(part)
    try:
        yield part
    finally:
        listening.end(part)


def retired() -> bool:
    """Return whether the server of the present task accepts no more connections."""
    listening = _current.get()
    return listening is not None and listening.retired


def _remove(path: str, inode: int) -> None:
    """Remove a socket, unless another server has put its own in its place."""
    with suppress(FileNotFoundError):
        if os.stat(path).st_ino == inode:
            os.unlink(path)
