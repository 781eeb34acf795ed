"""Sockets: a thin layer over trio's, for the price of a small request.

trio's own stream tries to receive before it waits, and yields to the other tasks after every send. For a request
and a response of a few hundred bytes that is half of all the work. Here a receive waits first, as there is
nearly always something to wait for, and a send that the kernel takes whole does not yield.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from collections.abc import Sequence
from typing import Final

import trio

from ..pieces import Buffer, Memory, PieceReceiver, PieceSender, Stretch, unsent, write
from ..stretches import run
from .unread import until_read

READ_SIZE: Final = 64 * 1024 + 64
"""Bytes of a first read: a full frame of the wire with its head. A buffer for more costs a small request more than the
read itself."""
MAX_READ_SIZE: Final = 256 * 1024 + 64
"""Bytes of a read on a stream that fills each one."""
_SEND_BUFFER: Final = 256 * 1024
"""Bytes that the kernel may hold for a unix socket to which much is sent, if the system allows as many (wmem_max). By
default they are fewer than a large read brings, which would be sent in two parts, with a wait between them."""
_KEPT: Final = 1024 * 1024
"""Bytes of the largest block that malloc shall have seen: glibc's keeps twice as many that were freed."""


def _keep_freed_memory() -> None:
    """Have malloc keep the memory of a few large reads that were freed for the next ones. Otherwise glibc's gives it
    back to the system after nearly each, and the kernel clears it again page by page, which takes a stream's receiver
    a quarter of its processor time. What malloc keeps follows from the largest block that it has freed (mallopt(3),
    M_MMAP_THRESHOLD); the pages of this one are never touched.
    """
    bytes(_KEPT)


_keep_freed_memory()


class Socket(PieceReceiver, PieceSender, trio.abc.HalfCloseableStream):
    """A connected stream socket on POSIX. Raises what `trio.SocketStream` does."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._descriptor = stream.socket.fileno
        """Gives the descriptor, below 0 once the socket is closed, also where that was done to the stream below: the
        number may be another connection's by then.
        """
        self._read_size = READ_SIZE
        self._poll: select.poll | None = None
        self._widened = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See `trio.abc.ReceiveStream`."""
        while True:
            if (descriptor := self._descriptor()) < 0:  # `_open`, without its cost
                raise _closed()
            await trio.lowlevel.wait_readable(descriptor)
            size = min(max_bytes or MAX_READ_SIZE, self._read_size)
            try:
                data = os.read(self._descriptor(), size)
            except BlockingIOError:
                continue  # woken in vain, which the kernel allows itself
            except OSError as exc:
                raise _broken(exc) from exc
            self._read_size = min(2 * self._read_size, MAX_READ_SIZE) if len(data) == size else READ_SIZE
            return data

    def receive_now(self, size: int) -> bytes:
        """Receive up to `size` bytes that are there already. b"" where there are none; also where the connection has
        ended or is broken, which the next `receive_some` will say.
        """
        try:
            return os.read(self._descriptor(), min(size, MAX_READ_SIZE))
        except OSError:
            return b""

    async def receive_pieces(self, memory: Memory) -> Sequence[Buffer]:
        """See `PieceReceiver`."""
        while True:
            await trio.lowlevel.wait_readable(self._open())
            view = memory.take()
            try:
                count = os.readv(self._descriptor(), [view])
            except BlockingIOError:
                memory.free()
                continue
            except OSError as exc:
                raise _broken(exc) from exc
            return [view[:count]] if count else []

    async def move(self, stretch: Stretch) -> None:
        """See `PieceReceiver`."""
        self._open()
        try:
            await run(stretch, self._descriptor)
        except OSError as exc:
            raise _broken(exc) from exc

    def stretch(self, memory: Memory) -> Stretch | None:
        """See `PieceSender`: only Linux has splice(2)."""
        return Stretch(self._descriptor, memory) if sys.platform == "linux" else None

    async def end_stretch(self, stretch: Stretch) -> None:
        """See `PieceSender`."""
        if stretch.held:
            await self.send_pieces(stretch.held)

    def _open(self) -> int:
        """Return the descriptor. Raises ClosedResourceError where the socket is closed."""
        descriptor = self._descriptor()
        if descriptor < 0:
            raise _closed()
        return descriptor

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See `trio.abc.SendStream`."""
        if (descriptor := self._descriptor()) < 0:
            raise _closed()
        try:
            sent = os.write(descriptor, data) if data else 0
        except BlockingIOError:
            sent = 0
        except OSError as exc:
            raise _broken(exc) from exc
        if sent < len(data):
            self._widen()
            await self._stream.send_all(memoryview(data)[sent:])

    async def send_pieces(self, pieces: Sequence[Buffer]) -> None:
        """See `PieceSender`."""
        self._open()
        while True:
            try:
                pieces = unsent(pieces, write(self._descriptor(), pieces))
            except BlockingIOError:
                pass
            except OSError as exc:
                raise _broken(exc) from exc
            if not pieces:
                return
            self._widen()
            await trio.lowlevel.wait_writable(self._open())

    def _widen(self) -> None:
        """Enlarge the buffer of a unix socket, once; the kernel does so by itself with TCP."""
        if not self._widened:
            self._widened = True
            if self._stream.socket.family == socket.AF_UNIX:
                self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def send_now(self, pieces: Sequence[Buffer]) -> int:
        """Send what the kernel takes at once, and give how many bytes that is. None where the connection is broken or
        closed, which the next `send_all` will say.
        """
        try:
            return write(self._descriptor(), pieces)
        except OSError:
            return 0

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream`."""
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """See `trio.abc.HalfCloseableStream`."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource`."""
        await self._stream.aclose()

    async def until_read(self) -> None:
        """Wait until the peer has read all that was sent; see `unread.until_read`."""
        await until_read(self._stream.socket)

    def readable(self) -> bool:
        """Whether something came while nothing was asked for: bytes out of turn, or the other side's end."""
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._descriptor(), select.POLLIN)
        return bool(self._poll.poll(0))


def _closed() -> trio.ClosedResourceError:
    return trio.ClosedResourceError("this socket is closed")


def _broken(exc: OSError) -> trio.BrokenResourceError:
    return trio.BrokenResourceError(f"the connection broke: {exc.strerror}")


def find_dead_peers(sock: trio.socket.SocketType) -> None:
    """Have the kernel ask a silent peer whether it is still there: a stream has no idle timeout, and a machine that
    lost its power says no goodbye. Sockets that a listening one accepts inherit this.
    """
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
            if hasattr(socket, name):  # an older Windows has no say in it
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def lean(stream: trio.SocketStream) -> trio.abc.HalfCloseableStream:
    """Make the socket as cheap as the platform allows."""
    return stream if sys.platform == "win32" else Socket(stream)
