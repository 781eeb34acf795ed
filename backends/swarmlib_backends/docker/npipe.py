"""Windows' named pipes, on which Docker's engine for Windows listens: npipe:////./pipe/docker_engine.

Reads and writes are overlapped (trio's completion port), since other pipes can't be read and written at the same time.
The engine's pipes carry messages, and an empty message closes one direction (half-close).
"""

from __future__ import annotations

import sys

import trio

from swarmlib import Unavailable

if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes
    from typing import Final

    _READ_SIZE: Final = 64 * 1024
    _READ_WRITE: Final = 0xC0000000  # GENERIC_READ | GENERIC_WRITE
    _OPEN_EXISTING: Final = 3
    _OVERLAPPED: Final = 0x40000000
    _INVALID: Final = wintypes.HANDLE(-1).value
    _MORE_DATA: Final = 234  # the message is longer than the buffer: the next read returns the rest
    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel32.CreateFileW.restype = wintypes.HANDLE

    class PipeStream(trio.abc.HalfCloseableStream):
        """A connected pipe."""

        def __init__(self, handle: int) -> None:
            self._handle = handle
            trio.lowlevel.register_with_iocp(handle)

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            """See `trio.abc.ReceiveStream`; an empty message is the end."""
            self._check_open()
            buffer = bytearray(max_bytes or _READ_SIZE)
            try:
                size = await trio.lowlevel.readinto_overlapped(self._handle, buffer)
            except BrokenPipeError:
                return b""
            except OSError as exc:
                if exc.winerror != _MORE_DATA:
                    raise trio.BrokenResourceError(f"the pipe broke: {exc.strerror}") from exc
                size = len(buffer)
            return bytes(buffer[:size])

        async def send_all(self, data: bytes | bytearray | memoryview) -> None:
            """See `trio.abc.SendStream`."""
            if data:
                await self._write(data)

        async def send_eof(self) -> None:
            """See `trio.abc.HalfCloseableStream`."""
            await self._write(b"")

        async def _write(self, data: bytes | bytearray | memoryview) -> None:
            self._check_open()
            try:
                sent = await trio.lowlevel.write_overlapped(self._handle, data)
            except OSError as exc:
                raise trio.BrokenResourceError(f"the pipe broke: {exc.strerror}") from exc
            if sent != len(data):
                raise trio.BrokenResourceError("the pipe took only a part")

        async def wait_send_all_might_not_block(self) -> None:
            """See `trio.abc.SendStream`."""
            await trio.lowlevel.checkpoint()

        async def aclose(self) -> None:
            """See `trio.abc.AsyncResource`."""
            if self._handle >= 0:
                handle, self._handle = self._handle, -1
                _kernel32.CloseHandle(wintypes.HANDLE(handle))
            await trio.lowlevel.checkpoint()

        def _check_open(self) -> None:
            if self._handle < 0:
                raise trio.ClosedResourceError("this pipe is closed")

    async def open_pipe(path: str) -> trio.abc.HalfCloseableStream:
        """Connect to a pipe; `path` is as in an address, //./pipe/NAME.

        Raises:
            OSError: the pipe does not exist, or is busy.
        """
        name = path.replace("/", "\\")
        handle = _kernel32.CreateFileW(name, _READ_WRITE, 0, None, _OPEN_EXISTING, _OVERLAPPED, None)
        if handle == _INVALID:
            raise ctypes.WinError(ctypes.get_last_error())
        return PipeStream(int(handle))

else:

    async def open_pipe(path: str) -> trio.abc.HalfCloseableStream:
        """Raise Unavailable: only Windows has named pipes of this kind."""
        raise Unavailable(f"{path} is a named pipe of Windows, which is supported only on Windows")
