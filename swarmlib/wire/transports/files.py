"""A unix socket over which open files can go (SCM_RIGHTS): see `swarmlib.wire.files.FileStream`."""

from __future__ import annotations

import os
import socket
from array import array
from collections.abc import Sequence
from typing import Any, Final

import trio

from .sockets import Socket

MAX_UNTAKEN: Final = 64
"""Open files that came and that nobody took yet, at most: they are the peer's to send, but ours to run out of."""


class FileSocket(Socket):
    """A connected unix socket; what it takes and gives beside bytes are file descriptors."""

    def __init__(self, stream: trio.SocketStream) -> None:
        super().__init__(stream)
        self._socket = socket.socket(fileno=os.dup(self._fd))  # trio's own has no call that does not yield
        self._space = socket.CMSG_SPACE(MAX_UNTAKEN * array("i").itemsize)
        self._flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)  # macOS has none
        self._untaken: list[int] = []

    def _read(self, size: int) -> bytes:
        data, extra, flags, _ = self._socket.recvmsg(size, self._space, self._flags)
        self._keep(extra)
        if flags & socket.MSG_CTRUNC or len(self._untaken) > MAX_UNTAKEN:
            raise trio.BrokenResourceError(f"more than {MAX_UNTAKEN} open files came that nobody had asked for")
        return data

    def _keep(self, extra: Sequence[tuple[int, int, bytes]]) -> None:
        for level, kind, content in extra:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                files = array("i")
                files.frombytes(content[: len(content) - len(content) % files.itemsize])
                self._untaken += files

    async def send_with_files(self, data: bytes, files: list[int]) -> None:
        """Send all of `data`, and the open files along with its first byte; they stay the caller's to close.

        Raises:
            trio.BrokenResourceError: the peer is gone. trio.ClosedResourceError: this end is closed.
        """
        rights: list[Any] = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", files))]
        while True:
            self._check_open()
            try:
                sent = self._socket.sendmsg([data], rights)
                break
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._fd)
            except OSError as exc:
                raise trio.BrokenResourceError(f"the connection broke: {exc.strerror}") from exc
        if sent < len(data):
            await self.send_all(memoryview(data)[sent:])

    def take_files(self) -> list[int]:
        """The open files that came with what was received so far, in order, each once: the caller's to close."""
        taken, self._untaken = self._untaken, []
        return taken

    async def aclose(self) -> None:
        """See `trio.abc.AsyncResource`; files that nobody took are closed."""
        for file in self.take_files():
            os.close(file)
        self._socket.close()
        await super().aclose()
