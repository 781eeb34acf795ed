"""Hangups: which connections have lost their peer, or have had its last byte, although nobody reads them.

A server learns of a client that goes away by reading. While it cannot read (an upload waits for its consumer, a
response waits for a slow backend), only the state of the socket tells. One epoll instance watches all connections of
a server for that, at no cost to a request.
"""

from __future__ import annotations

import select
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Self

import trio

_GONE: Final[int] = getattr(select, "EPOLLHUP", 0) | getattr(select, "EPOLLERR", 0)
_ENDED: Final[int] = getattr(select, "EPOLLRDHUP", 0)


@dataclass(frozen=True, slots=True)
class _Watched:
    ended: Callable[[], object]
    gone: Callable[[], object]


class Hangups:
    """Watches sockets for the end of their peers; open it with `Hangups.open`. Where the platform has no epoll it
    tells nothing, and only reading does.
    """

    def __init__(self) -> None:
        self._epoll: Any = select.epoll() if hasattr(select, "epoll") else None
        self._watched: dict[int, _Watched] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncGenerator[Self]:
        """Watch inside the context, in a task of its own. What is watched must end inside it too."""
        hangups = cls()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hangups._run)
                yield hangups
                nursery.cancel_scope.cancel()
        finally:
            if hangups._epoll is not None:
                hangups._epoll.close()

    @contextmanager
    def watching(
        self, sock: trio.socket.SocketType, *, ended: Callable[[], object], gone: Callable[[], object]
    ) -> Generator[bool]:
        """Watch a socket, which must stay open inside the context, and yield whether that is possible. Callbacks must
        neither block nor raise.

        ended: the peer has closed its sending half and may still read (a TCP peer that closed its socket looks the
            same). Called once at most.
        gone: the peer can neither send nor read any more. Called once at most.
        """
        if self._epoll is None:
            yield False
            return
        number = sock.fileno()
        self._epoll.register(number, _ENDED)  # hangups and errors are always reported
        self._watched[number] = _Watched(ended, gone)
        try:
            yield True
        finally:
            self._forget(number)

    def _forget(self, number: int) -> None:
        if self._watched.pop(number, None) is not None:
            with suppress(OSError):  # the socket was closed, which removes it too
                self._epoll.unregister(number)

    async def _run(self) -> None:
        if self._epoll is None:
            return
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            for number, events in self._epoll.poll(0):
                self._tell(number, events)

    def _tell(self, number: int, events: int) -> None:
        watched = self._watched.get(number)
        if watched is None:
            return
        if events & _GONE:
            self._forget(number)
            watched.gone()
        else:
            self._epoll.modify(number, 0)  # it would be reported for ever
            watched.ended()
