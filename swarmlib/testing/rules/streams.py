"""Lines, byte streams and archives: they must be whole, in order, half-closable, and not held in memory."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
import zlib
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import trio

from ...reply import Log, Set
from ...request import Request
from ...verbs import Verb
from ..asking import Broken, acked, asking, must, stalled, told
from ..bench import Bench
from .rule import rule

BIG: Final = 100 * 1024 * 1024
FLAT: Final = 32 * 1024 * 1024
"""The most bytes of a stream that may be held: in memory, or between a writer and a reader that has stopped."""
_PIECE: Final = bytes(range(256)) * 256
_BLOCK: Final = tarfile.BLOCKSIZE


# Lines.


@rule("messages", "talks", Verb.ATTACH)
async def gives_every_line(bench: Bench) -> None:
    """An attachment gives every line in order, then the state, and ends."""
    workload = await bench.spawned("talks")
    async with asking(bench.swarm.sender, Verb.ATTACH, workload.path) as replies:
        await acked(replies)
        await bench.setup.start(*workload.path)
        came = [reply async for reply in replies]
    lines = tuple(reply.line for reply in came if isinstance(reply, Log))
    must(lines == bench.leaf.lines, f"the lines were {lines!r}, and should be {bench.leaf.lines!r}")
    must(isinstance(came[-1], Set), f"the last reply was {came[-1].kind}: expected the state")


# Byte streams.


@rule("messages", "echoes", Verb.CONNECT)
async def half_closes_streams(bench: Bench) -> None:
    """A stream whose sending half is closed still delivers all bytes that are under way."""
    async with _connected(bench) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(_send, stream, [b"half", b"closed", b""])
        received = b"".join([bytes(piece) async for piece in bench.leaf.unframed(stream)])
    must(received == b"halfclosed", f"sent halfclosed, then the end; what came back is {received!r}")


@rule("messages", "echoes", Verb.CONNECT)
async def keeps_a_stream_whose_call_has_ended(bench: Bench) -> None:
    """A stream continues after the call that opened it has ended."""
    workload = await bench.started("echoes")
    async with asking(bench.swarm.sender, Verb.CONNECT, workload.path, _with_args(bench)) as replies:
        stream = (await acked(replies)).stream
    assert isinstance(stream, trio.abc.HalfCloseableStream)
    async with stream, trio.open_nursery() as nursery:
        nursery.start_soon(_send, stream, [b"still", b""])
        received = b"".join([bytes(piece) async for piece in bench.leaf.unframed(stream)])
    must(received == b"still", f"what came back after the call's end is {received!r}")


@rule("messages", "echoes", Verb.CONNECT)
async def passes_big_streams_in_flat_memory(bench: Bench) -> None:
    """100 MiB pass through a stream unchanged, and memory stays flat."""
    pieces = [_PIECE] * (BIG // len(_PIECE))
    with _flat_memory():
        async with _connected(bench) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(_send, stream, [*pieces, b""])
            count, check = await _taken_in(bench.leaf.unframed(stream))
    must((count, check) == (BIG, _crc(pieces)), f"{count} of {BIG} bytes came, or they differ")


@rule("messages", "echoes", Verb.CONNECT)
async def holds_back_a_stream_that_nobody_reads(bench: Bench) -> None:
    """A reader that stops blocks the writer of the stream; when it reads again, all bytes come."""
    taken = 0

    async def send(stream: trio.abc.HalfCloseableStream) -> None:
        nonlocal taken
        for _ in range(BIG // len(_PIECE)):
            await stream.send_all(_PIECE)
            taken += len(_PIECE)
        await stream.send_eof()

    async with _connected(bench) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(send, stream)
        await stalled(lambda: taken)
        must(taken <= FLAT, f"{taken >> 20} MiB were taken that nobody had read")
        count, _ = await _taken_in(bench.leaf.unframed(stream))
        must(count == BIG, f"{count} of {BIG} bytes came")


@asynccontextmanager
async def _connected(bench: Bench) -> AsyncGenerator[trio.abc.HalfCloseableStream]:
    """Open a stream to a workload that returns what it is sent. The call that opened it stays open as long."""
    workload = await bench.started("echoes")
    async with asking(bench.swarm.sender, Verb.CONNECT, workload.path, _with_args(bench)) as replies:
        stream = (await acked(replies)).stream
        must(isinstance(stream, trio.abc.HalfCloseableStream), f"connect gave {stream!r}, no HalfCloseableStream")
        assert isinstance(stream, trio.abc.HalfCloseableStream)
        async with stream:
            yield stream


def _with_args(bench: Bench) -> Request:
    return Request(Verb.CONNECT, params=bench.leaf.connect_params)


async def _send(stream: trio.abc.HalfCloseableStream, pieces: list[bytes]) -> None:
    """Send pieces; an empty one is the end."""
    for piece in pieces:
        await (stream.send_all(piece) if piece else stream.send_eof())


async def _taken_in(stream: Any) -> tuple[int, int]:
    """Read a stream to its end, and return its length and checksum."""
    count, check = 0, 0
    async for piece in stream:
        count, check = count + len(piece), zlib.crc32(piece, check)
    return count, check


def _crc(pieces: list[bytes]) -> int:
    check = 0
    for piece in pieces:
        check = zlib.crc32(piece, check)
    return check


@contextmanager
def _flat_memory() -> Generator[None]:
    """Check that Python's allocated memory meanwhile never grows by more than FLAT bytes."""
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        if not tracing:
            tracemalloc.stop()
    must(peak - before <= FLAT, f"memory grew by {(peak - before) >> 20} MiB while {BIG >> 20} MiB passed")


# Archives.


@rule("messages", "files", Verb.FILE)
async def gives_back_files(bench: Bench) -> None:
    """A tar that `file` puts into a workload can be read from it again."""
    workload = await bench.started("idle")
    await _put(bench, workload.path, 5000)
    async with _got(bench, workload.path) as archive:
        whole = io.BytesIO(b"".join([bytes(piece) async for piece in archive]))
    try:
        with tarfile.open(fileobj=whole) as tar:
            held = {member.name.rpartition("/")[2]: member.size for member in tar}
    except tarfile.TarError as exc:
        raise Broken(f"the result is not a complete tar: {exc}") from exc
    must(held.get("swarmlib-kit") == 5000, f"a file of 5000 bytes was put in; what came out holds {held}")


@rule("messages", "files", Verb.FILE)
async def passes_big_files_in_flat_memory(bench: Bench) -> None:
    """A tar of 100 MiB goes into a workload and comes out of it again, and memory stays flat."""
    workload = await bench.started("idle")
    with _flat_memory():
        await _put(bench, workload.path, BIG)
        async with _got(bench, workload.path) as archive:
            count, _ = await _taken_in(archive)
    must(count >= BIG, f"{BIG} bytes were put in, and {count} came out")


async def _put(bench: Bench, path: tuple[str, ...], size: int) -> None:
    request = Request(Verb.FILE, params={"path": bench.leaf.folder}, upload=_Tar(size))
    error = await bench.error_of(Verb.FILE, (*path, *(bench.leaf.files or ())), request)
    must(error is None, f"putting a tar in gave {told(error)}")


@asynccontextmanager
async def _got(bench: Bench, path: tuple[str, ...]) -> AsyncGenerator[trio.abc.ReceiveStream]:
    archive = await bench.swarm.file(*path, *(bench.leaf.files or ()), path=f"{bench.leaf.folder}/swarmlib-kit")
    if archive is None:
        raise Broken("file gave no stream")
    async with archive:
        yield archive


class _Tar(trio.abc.ReceiveStream):
    """A tar with one file of `size` bytes in it, made while it is read."""

    def __init__(self, size: int) -> None:
        info = tarfile.TarInfo("swarmlib-kit")
        info.size = size
        self._left = size
        self._ready = [info.tobuf(), bytes(-size % _BLOCK + 2 * _BLOCK)]

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        if len(self._ready) == 1 and self._left:
            piece = _PIECE[: self._left]
            self._left -= len(piece)
            return piece
        return self._ready.pop(0) if self._ready else b""

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
