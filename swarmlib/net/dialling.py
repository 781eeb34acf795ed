"""Opens the stream to an address: what `remote` and the docker backend begin with."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import trio

from ..errors import UNSENT, Unavailable, sole
from .address import Address
from .sockets import find_dead_peers, lean
from .ssh import far_program
from .tls import TlsStream

CONNECT_SECONDS: Final = 10.0
_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.05
"""Seconds between attempts to connect to a unix socket whose server has too many connections to accept."""


@asynccontextmanager
async def dial(
    address: Address, *, tls: ssl.SSLContext | None, program: Sequence[str]
) -> AsyncGenerator[trio.abc.Stream]:
    """Open the stream to an address, closed at the end.

    tls: for a tls:// address. program: for an ssh:// address, what runs on the far side, to speak by its stdio.

    Raises:
        Unavailable: it can't be reached, within `CONNECT_SECONDS`; nothing was sent. Over ssh this may come later, in
            place of what the body raises: a login takes as long as it takes, and then ssh's own words say why.
    """
    if address.scheme == "ssh":
        async with far_program(address, program) as stream:
            yield stream
        return
    with reaching(str(address)):
        opened = await _open(address, tls)
    async with opened:
        yield opened


async def _open(address: Address, tls: ssl.SSLContext | None) -> trio.abc.Stream:
    if address.scheme == "unix":
        return await open_unix(address.path)
    return await open_tcp(address.host, address.port, tls if address.scheme == "tls" else None)


async def open_unix(path: str) -> trio.abc.HalfCloseableStream:
    """Connect to a unix socket; wait while as many connections wait to be accepted as its server lets. Raises OSError.

    The kernel refuses those above that number with EAGAIN (connect(2)), which does not mean that the connection will be
    made, and tells nobody when there is room. trio takes it for an attempt that goes on, and returns a socket that is
    not connected.
    """
    await trio.lowlevel.checkpoint()
    pause = _FIRST_PAUSE
    while (sock := _connected(path)) is None:
        await trio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
    return lean(trio.SocketStream(sock))


def _connected(path: str) -> trio.socket.SocketType | None:
    """Return a socket that is connected to a unix socket; None if its server lets no more connections wait."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        sock.connect(path)
        return trio.socket.from_stdlib_socket(sock)
    except BaseException as exc:
        sock.close()
        if isinstance(exc, BlockingIOError):
            return None
        raise


async def open_tcp(host: str, port: int, tls: ssl.SSLContext | None) -> trio.abc.HalfCloseableStream:
    """Connect to a TCP port, with TLS on it where `tls` is given.

    Raises:
        OSError: it can't be connected. Unavailable: the TLS handshake failed.
    """
    dialled = await trio.open_tcp_stream(host, port)
    find_dead_peers(dialled.socket)
    stream = lean(dialled)
    return stream if tls is None else await TlsStream.handshake(stream, tls, host)


@contextmanager
def reaching(whom: str) -> Generator[None]:
    """Around the opening of a connection: what goes wrong becomes an `Unavailable` that names `whom`.

    Raises:
        Unavailable: it failed, or took over `CONNECT_SECONDS`; with the detail `UNSENT`.
    """
    try:
        with trio.fail_after(CONNECT_SECONDS):
            yield
    except trio.TooSlowError as exc:
        raise _unreached(f"can't connect to {whom}: timed out after {CONNECT_SECONDS:.0f} s") from exc
    except Unavailable as exc:
        raise _unreached(f"can't connect to {whom}: {exc.message}") from exc
    except OSError as exc:
        raise _unreached(f"can't connect to {whom}: {_reason(exc)}") from exc


def _reason(exc: OSError) -> str:
    """Return what the system says. The error that trio raises for all attempts has it as its cause."""
    found = sole(exc.__cause__ or exc)
    if isinstance(found, socket.gaierror) or not (isinstance(found, OSError) and found.errno):
        return (isinstance(found, OSError) and found.strerror) or str(exc)
    return os.strerror(found.errno)  # trio puts the address into `strerror`, which the error names already


def _unreached(text: str) -> Unavailable:
    return Unavailable(text, details={UNSENT: True})
