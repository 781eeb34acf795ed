"""Where a server listens, and how it takes connections.

`listening` binds the addresses: TCP addresses that only this machine or a certificate's holder reaches, unix sockets
that only their owner uses, and sockets that the process was started with (systemd's socket activation). A server that
takes the place of another one while the process runs shares its sockets (`handover`).
`serve` accepts on them, and serves each connection in a supervised task of its own.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Final, TypeAlias

import trio

from ..errors import Denied, Invalid, Unavailable
from ..suggestions import nearest
from ..supervision import supervised
from . import callers, handover
from .address import Address
from .sockets import find_dead_peers

_BACKLOG: Final = 4096
"""Connections that wait to be accepted: as many as Linux allows by default. A unix socket refuses those above."""
_FIRST_INHERITED: Final = 3  # sd_listen_fds(3)
_log = logging.getLogger(__name__)

_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 1.0
_EPISODE_SECONDS: Final = 60.0
"""Failures to accept that follow each other within this time are logged once."""

ENDS: Final = (trio.BrokenResourceError, trio.ClosedResourceError, ConnectionError)
"""How a connection may end in normal operation: its client disconnected."""

Handler: TypeAlias = Callable[[trio.SocketStream, str], Awaitable[object]]
"""Serves one connection, of a client as `callers.by_socket` knows it. Whatever it raises ends that connection, and no
other.
"""


@dataclass(frozen=True)
class Risk:
    """What the error says about an address that other machines must not reach.

    Attributes:
        gain: what they could do, such as `get root access`.
        safer: what to do instead, such as `use tls://`.
    """

    gain: str
    safer: str


@asynccontextmanager
async def listening(
    addresses: Sequence[Address], *, exposed: bool, risk: Risk, group: str = ""
) -> AsyncGenerator[list[trio.SocketListener]]:
    """Listen on every address; closed, and its unix sockets removed, at the end.

    exposed: TCP addresses that other machines reach are allowed; where they are not, the error names the `risk`.
    group: who may use the unix sockets too (mode 0660); else only their owner may (0600).

    Raises:
        Invalid: there is no such group, or this process was started with no sockets. Denied: other machines reach it.
        Unavailable: it is in use, or can't be bound.
    """
    check_addresses(addresses, exposed=exposed, risk=risk, group=group)
    with handover.opened() as server:
        for address in addresses:
            try:
                await server.listen(address, partial(_bind, address))
                if address.path:
                    _share(address.path, group)
            except OSError as exc:
                raise Unavailable(f"can't listen on {address}: {exc.strerror or exc}") from exc
        yield server.listeners


def check_addresses(addresses: Sequence[Address], *, exposed: bool, risk: Risk, group: str = "") -> None:
    """Check what `listening` takes, without binding anything.

    Raises:
        Invalid: there is no such group, or an address is given twice. Denied: other machines reach an address.
    """
    for index, address in enumerate(addresses):
        if not exposed and address.host and not _is_loopback(address.host):
            raise Denied(
                f"can't listen on {address}: other machines could connect and {risk.gain}; "
                f"listen on 127.0.0.1 or a unix socket, {risk.safer}, or use --insecure"
            )
        if address.text in (other.text for other in addresses[:index]):
            raise Invalid(f"{address} is given more than once")
    if group:
        _group_id(group)


async def serve(
    listeners: Sequence[trio.SocketListener],
    handler: Handler,
    name: str,
    *,
    make_room: Callable[[], bool] = lambda: False,
    nursery: trio.Nursery | None = None,
    expected: tuple[type[Exception], ...] = ENDS,
) -> None:
    """Accept connections until cancelled, and run `handler` for each in a supervised task that closes it at the end.
    The listeners are closed then.

    name: the server, for the log.
    make_room: called when there are no descriptors left; ends a connection that can be spared, and gives whether there
        was one. Where there was none, accepting waits until a connection ends by itself.
    nursery: where the connections' tasks run, if they are to outlive the accepting; else they end with it.
    expected: how a connection may end in everyday life; see `supervised`.

    Raises:
        trio.ClosedResourceError: a listener was closed.
    """

    async def connection(stream: trio.SocketStream) -> None:
        async with stream:
            client = callers.by_socket(stream.socket)  # while it is open: afterwards nobody can tell
            await supervised(f"{name}: the connection of {client}", handler, stream, client, expected=expected)

    async with trio.open_nursery() as own:
        for listener in listeners:
            own.start_soon(_Acceptor(listener, name, make_room).run, connection, nursery or own)


class _Acceptor:
    """Accepts on one listener, whatever happens, and logs an episode of failures once."""

    def __init__(self, listener: trio.SocketListener, name: str, make_room: Callable[[], bool]) -> None:
        self._listener = listener
        self._name = name
        self._make_room = make_room
        self._failed_at = -_EPISODE_SECONDS
        self._pause = _FIRST_PAUSE

    async def run(self, connection: Callable[[trio.SocketStream], Awaitable[object]], nursery: trio.Nursery) -> None:
        """Start a task for every connection, until cancelled; the listener is closed then."""
        async with self._listener:
            while True:
                try:
                    stream = await self._listener.accept()
                except trio.ClosedResourceError:
                    if handover.retired():
                        return
                    raise
                except OSError as exc:
                    await self._failed(exc)
                else:
                    self._pause = _FIRST_PAUSE
                    nursery.start_soon(connection, stream)

    async def _failed(self, exc: OSError) -> None:
        now = trio.current_time()
        if now - self._failed_at >= _EPISODE_SECONDS:
            _log.warning("%s: can't accept a connection at the moment: %s", self._name, exc.strerror or exc)
        self._failed_at = now
        if exc.errno in _NO_ROOM and self._make_room():
            self._pause = _FIRST_PAUSE  # long enough for the connection that ends to be closed
        await trio.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)


async def _bind(address: Address) -> list[trio.SocketListener]:
    if address.scheme == "unix":
        listeners = [await _bind_unix(address.path)]
    elif address.scheme == "fd":
        listeners = _inherited(address.text.removeprefix("fd://"))
    else:
        listeners = list(await trio.open_tcp_listeners(address.port, host=address.host, backlog=_BACKLOG))
    for listener in listeners:
        find_dead_peers(listener.socket)
    return listeners


def _inherited(name: str) -> list[trio.SocketListener]:
    """Take the sockets that the process was started with, as sd_listen_fds(3) describes: all, or those of a name."""
    count = int(os.environ.get("LISTEN_FDS", "0"))
    if count < 1 or os.environ.get("LISTEN_PID") != str(os.getpid()):
        raise Invalid("can't listen on fd://: this process was started without sockets (LISTEN_FDS)")
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    numbers = [_FIRST_INHERITED + n for n in range(count) if not name or names[n : n + 1] == [name]]
    if not numbers:
        raise Invalid(f"no socket named {name!r} was given to this process; {nearest(name, sorted(set(names)))}")
    return [trio.SocketListener(trio.socket.from_stdlib_socket(_copy(number))) for number in numbers]


def _copy(number: int) -> socket.socket:
    """Copy a socket that was given to this process, which stays open: a later server may take it again."""
    return socket.socket(fileno=os.dup(number))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _bind_unix(path: str) -> trio.SocketListener:
    await _remove_stale(path)
    sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        await _bind_private(sock, path)
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return trio.SocketListener(sock)


def _share(path: str, group: str) -> None:
    """Let the members of a group use a socket too."""
    if group:
        os.chown(path, -1, _group_id(group))
    os.chmod(path, 0o660 if group else 0o600)


async def _bind_private(sock: trio.socket.SocketType, path: str) -> None:
    before = os.umask(0o177)  # from its first moment nobody else can connect
    try:
        await sock.bind(path)
    finally:
        os.umask(before)


async def _remove_stale(path: str) -> None:
    """Remove a socket that a server which is gone left behind; one that still answers makes bind fail, as it should.

    Raises:
        OSError: what is there is no socket.
    """
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise OSError(errno.EADDRINUSE, "a file or folder that is not a socket is there")
        (await trio.open_unix_socket(path)).socket.close()
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        os.unlink(path)


def unix_users(address: str) -> str:
    """Return who can use a unix socket, for people."""
    import grp  # these two are not there on Windows
    import pwd

    found = os.stat(address.removeprefix("unix://"))
    if found.st_mode & stat.S_IWOTH:
        return "every user of this machine"
    try:
        user = pwd.getpwuid(found.st_uid).pw_name
        group = grp.getgrgid(found.st_gid).gr_name
    except KeyError:  # as in a container without names
        user, group = f"user {found.st_uid}", str(found.st_gid)
    return f"{user} and the group {group}" if found.st_mode & stat.S_IWGRP else f"{user} only"


def _group_id(group: str) -> int:
    import grp  # it is not there on Windows

    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as exc:
        raise Invalid(f"group {group!r} does not exist") from exc
