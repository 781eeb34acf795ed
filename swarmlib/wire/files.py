"""Open files that travel with a message, where the transport can pass them (a unix socket)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import trio


@runtime_checkable
class FileStream(Protocol):
    """What a transport's stream offers beside `trio.abc.Stream`, where open files can go over it.

    A side whose stream has both methods says the capability `files` in the handshake; both sides must have it.
    """

    async def send_with_files(self, data: bytes, files: list[int]) -> None:
        """Send all of `data`, with the descriptors along its first byte (SCM_RIGHTS; 64 at most). They stay the
        caller's to close.

        Raises: what `send_all` raises.
        """
        ...

    def take_files(self) -> list[int]:
        """The descriptors that came along what `receive_some` has given so far, in order, each once. They are
        close-on-exec, and the caller's to close. Those that nobody took are closed with the stream.
        """
        ...


class OpenFile(trio.abc.ReceiveStream):
    """An open file as a message's attachment: `Message(Verb.FILE, att=OpenFile(descriptor))`.

    Where both sides can, the descriptor itself goes over, and the receiver has the same open file; else its bytes do.
    It owns the descriptor, and closes it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        """The descriptor; it stays this object's.

        Raises:
            trio.ClosedResourceError: it was closed, or detached.
        """
        if self._descriptor < 0:
            raise trio.ClosedResourceError("this file is closed")
        return self._descriptor

    def detach(self) -> int:
        """The descriptor, which is the caller's from now on."""
        descriptor = self.fileno()
        self._descriptor = -1
        return descriptor

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes; b"" at the end.

        Raises:
            trio.BrokenResourceError: they can't be read.
            trio.ClosedResourceError: it was closed.
        """
        try:
            return await trio.to_thread.run_sync(os.read, self.fileno(), max_bytes or 65536, abandon_on_cancel=True)
        except OSError as exc:
            raise trio.BrokenResourceError(str(exc)) from exc

    async def aclose(self) -> None:
        """Close the descriptor. Twice is harmless."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close the descriptor, at once."""
        if self._descriptor >= 0:
            close_all([self.detach()])

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            self.close()


def close_all(descriptors: Iterable[int]) -> None:
    """Close descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)
