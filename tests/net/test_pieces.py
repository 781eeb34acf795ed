"""Large streams are relayed without a copy, whatever lies on their way; and a stage that looks at bytes sees all."""

import errno
import os
import platform
import socket
import struct
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing
from trio.testing import wait_all_tasks_blocked

from swarmlib import stretches
from swarmlib.net.sockets import Socket
from swarmlib.pieces import LOOK_SECONDS, PIECE, Memory, relay, send_pieces
from swarmlib.stretches import MOST_THREADS
from swarmlib_backends.stream_wrappers import CountingWrapper, Resumed, StreamWrapper
from tests.support.desk import python

MIB = 1 << 20
DATA = os.urandom(4096) * (3 * MIB // 4096)


def pair() -> tuple[Socket, trio.SocketStream]:
    """A socket as the product makes it, and its other end."""
    ours, theirs = socket.socketpair()
    return Socket(trio.SocketStream(trio.socket.from_stdlib_socket(ours))), trio.SocketStream(
        trio.socket.from_stdlib_socket(theirs)
    )


async def drain(end: trio.SocketStream) -> None:
    """Read what comes to its end."""
    async for _ in end:
        pass


class Counted(CountingWrapper):
    """Counts what passes."""

    came = went = 0

    async def received(self, count: int) -> None:
        self.came += count

    async def sending(self, count: int) -> None:
        self.went += count


class Looking(StreamWrapper):
    """Keeps what passes."""

    def __init__(self, inner: trio.abc.ReceiveStream) -> None:
        super().__init__(inner)
        self.seen = b""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await super().receive_some(max_bytes)
        self.seen += data
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.seen += bytes(data)
        await super().send_all(data)


@asynccontextmanager
async def fed(source: trio.SocketStream, sink: trio.SocketStream) -> AsyncGenerator[bytearray]:
    """Send DATA on one end, and gather what comes at another."""
    came = bytearray()

    async def send() -> None:
        await source.send_all(DATA)
        await source.send_eof()

    async def gather() -> None:
        async for data in sink:
            came.extend(data)

    async with source, sink, trio.open_nursery() as nursery:
        nursery.start_soon(send)
        nursery.start_soon(gather)
        yield came


@pytest.fixture
def splices(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all that goes through a pipe."""
    sizes: list[int] = []
    real = os.splice

    def counting(*args: int, **options: int) -> int:
        sizes.append(real(*args, **options))
        return sizes[-1]

    monkeypatch.setattr(os, "splice", counting)
    return sizes


async def test_a_stream_that_is_only_counted_is_spliced(splices: list[int]) -> None:
    (source, feeder), (sink, end) = pair(), pair()
    counted, into = Counted(Resumed(source, b"early")), Counted(Resumed(sink, b""))
    async with source, sink, fed(feeder, end) as came:
        await relay(counted, into)
        await sink.send_eof()
    assert came == b"early" + DATA
    assert counted.came == into.went == len(came)
    assert sum(splices) >= len(DATA)  # in and out of the pipe, but for the first pieces


@pytest.mark.parametrize("looks_at", ["source", "sink"])
async def test_a_stage_that_looks_at_a_stream_sees_all_of_it(looks_at: str, splices: list[int]) -> None:
    (source, feeder), (sink, end) = pair(), pair()
    looking = Looking(source if looks_at == "source" else sink)
    async with source, sink, fed(feeder, end) as came:
        await relay(*((Counted(looking), sink) if looks_at == "source" else (source, Counted(looking))))
        await sink.send_eof()
    assert looking.seen == came == DATA
    assert not splices


@pytest.mark.parametrize("refused", ["pipe", "dup"])
async def test_without_descriptors_to_spare_it_is_copied(
    refused: str, splices: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: int) -> tuple[int, int]:
        raise OSError(errno.EMFILE, "Too many open files")

    (source, feeder), (sink, end) = pair(), pair()
    async with source, sink, fed(feeder, end) as came:
        with monkeypatch.context() as patch:
            patch.setattr(os, refused, none_left)
            await relay(source, sink)
        await sink.send_eof()
    assert came == DATA
    assert not splices


async def test_a_sink_that_breaks_ends_a_splice_and_leaves_no_descriptor(splices: list[int]) -> None:
    (source, feeder), (sink, end) = pair(), pair()
    before = len(os.listdir("/proc/self/fd"))

    async def feed() -> None:
        with suppress(trio.BrokenResourceError):
            await feeder.send_all(DATA * 10)

    async def leave() -> None:
        left = 8 * PIECE
        while left > 0:
            left -= len(await end.receive_some(left))
        await end.aclose()

    async with source, sink, feeder, trio.open_nursery() as nursery:
        nursery.start_soon(feed)
        nursery.start_soon(leave)
        with pytest.raises(trio.BrokenResourceError, match="the connection broke"):
            await relay(source, sink)
        await source.aclose()
    assert splices
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_a_reset_while_it_is_spliced_is_not_taken_for_the_end(splices: list[int]) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    feeder = socket.create_connection(listener.getsockname())
    accepted, _ = listener.accept()
    listener.close()
    source, (sink, end) = Socket(trio.SocketStream(trio.socket.from_stdlib_socket(accepted))), pair()

    async def feed_and_reset() -> None:
        async with trio.SocketStream(trio.socket.from_stdlib_socket(feeder)) as stream:
            await stream.send_all(DATA)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with source, end, trio.open_nursery() as nursery:
        nursery.start_soon(feed_and_reset)
        nursery.start_soon(drain, end)
        async with sink:
            with pytest.raises(trio.BrokenResourceError, match="reset"):
                await relay(source, sink)


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretches that a look must end, or the test takes too long."""
    monkeypatch.setattr(stretches, "STRETCH_SECONDS", 10)


@pytest.mark.usefixtures("long")
async def test_a_full_sink_ends_the_stretch_and_nothing_is_lost() -> None:
    (source, feeder), (sink, end) = pair(), pair()
    async with source, feeder, sink, end, trio.open_nursery() as nursery:
        nursery.start_soon(feeder.send_all, DATA)
        with trio.fail_after(5), Memory() as memory:
            moved = sink.stretch(memory)
            assert moved is not None
            await source.move(moved)
            held = b"".join(moved.held)
            came = bytearray()
            while len(came) < moved.received - len(held):
                came += await end.receive_some()
            assert held
            assert came + held == DATA[: moved.received]
        nursery.cancel_scope.cancel()


async def test_a_stretch_goes_on_while_the_stream_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    (source, feeder), (sink, end) = pair(), pair()
    looks = begun = 0
    real_look, real_pipe = trio.from_thread.check_cancelled, os.pipe

    def look() -> None:
        nonlocal looks
        looks += 1
        real_look()

    def pipe() -> tuple[int, int]:
        nonlocal begun
        begun += 1
        return real_pipe()

    monkeypatch.setattr(trio.from_thread, "check_cancelled", look)
    monkeypatch.setattr(os, "pipe", pipe)
    monkeypatch.setattr(stretches, "PIECE", 1)
    async with source, feeder, sink, end, trio.open_nursery() as nursery:
        nursery.start_soon(drain, end)
        nursery.start_soon(relay, source, sink)
        with trio.fail_after(5):
            while looks <= begun:
                await feeder.send_all(DATA)
        nursery.cancel_scope.cancel()


@pytest.mark.usefixtures("long")
async def test_a_stretch_ends_once_the_stream_is_silent() -> None:
    (source, feeder), (sink, end) = pair(), pair()
    async with source, feeder, sink, end, trio.open_nursery() as nursery:
        nursery.start_soon(drain, end)
        nursery.start_soon(feeder.send_all, DATA)
        with trio.fail_after(5), Memory() as memory:
            moved = sink.stretch(memory)
            assert moved is not None
            while moved.received < len(DATA):
                await source.move(moved)
        assert not moved.held
        nursery.cancel_scope.cancel()


async def test_the_sender_of_a_body_has_a_turn_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    (source, feeder), (sink, end) = pair(), pair()
    reads: list[bytes] = []

    def cut(came: memoryview) -> tuple[list[memoryview], bool]:
        reads.append(bytes(came))
        return [came], False

    async with source, feeder, sink, end:
        monkeypatch.setattr(os, "sched_yield", lambda: os.write(feeder.socket.fileno(), b"the rest"))
        await feeder.send_all(b"a part, ")
        with Memory() as memory:
            moved = sink.stretch(memory)
            assert moved is not None
            moved.cut = cut
            await source.move(moved)
    assert reads == [b"a part, the rest"]


@pytest.mark.usefixtures("long")
@pytest.mark.parametrize("ended_by", ["cancellation", "closing"])
async def test_a_stretch_ends_with_its_relay_and_leaves_no_descriptor(ended_by: str, splices: list[int]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    (source, feeder), (sink, end) = pair(), pair()
    relayed = trio.CancelScope()

    async def feed() -> None:
        with suppress(trio.BrokenResourceError):
            while True:
                await feeder.send_all(DATA)

    async def stop_once_spliced() -> None:
        while not splices:
            await end.receive_some()
        if ended_by == "closing":
            await source.aclose()
        else:
            relayed.cancel()
        await drain(end)

    async with source, feeder, sink, end, trio.open_nursery() as nursery:
        nursery.start_soon(feed)
        nursery.start_soon(stop_once_spliced)
        began = trio.current_time()
        with pytest.raises(trio.ClosedResourceError) if ended_by == "closing" else relayed:
            await relay(source, sink)
        assert trio.current_time() - began < 5
        nursery.cancel_scope.cancel()
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_a_stream_that_is_not_busy_takes_no_thread(
    splices: list[int], autojump_clock: trio.testing.MockClock
) -> None:
    (source, feeder), (sink, end) = pair(), pair()

    async def feed() -> None:
        async with feeder:
            for _ in range(10):
                await feeder.send_all(bytes(PIECE // 4))
                await trio.sleep(LOOK_SECONDS)

    async with source, end, trio.open_nursery() as nursery:
        nursery.start_soon(feed)
        nursery.start_soon(drain, end)
        async with sink:
            await relay(source, sink)
    assert not splices


async def test_more_busy_streams_than_threads_are_relayed_whole(splices: list[int]) -> None:
    async def one() -> None:
        (source, feeder), (sink, end) = pair(), pair()
        async with source, sink, fed(feeder, end) as came:
            await relay(source, sink)
            await sink.send_eof()
        assert came == DATA

    async with trio.open_nursery() as nursery:
        for _ in range(MOST_THREADS + 3):
            nursery.start_soon(one)
    assert splices


@pytest.mark.parametrize("sizes", [(MIB, 5, MIB), (1,) * 3000, (4096,) * 900, (3000,) * 1100])
async def test_pieces_arrive_whole_and_in_order(sizes: tuple[int, ...]) -> None:
    pieces = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    sink, end = pair()
    came = bytearray()
    async with end, trio.open_nursery() as nursery:

        async def send() -> None:
            async with sink:
                await send_pieces(sink, pieces)

        nursery.start_soon(send)
        async for data in end:
            came += data
    assert came == b"".join(pieces)


@pytest.mark.parametrize("whole", [True, False])
async def test_after_a_wait_a_unix_socket_takes_a_large_read_at_once(whole: bool) -> None:
    sink, end = pair()
    piece = bytes(PIECE)
    async with sink, end, trio.open_nursery() as nursery:
        nursery.start_soon(send_pieces, sink, [piece] if whole else [piece[:-5], piece[-5:]])
        left = PIECE
        while left:
            left -= len(await end.receive_some(left))
        await wait_all_tasks_blocked()
        assert sink.send_now([piece]) == PIECE


async def test_a_stream_on_which_nothing_moves_holds_no_memory() -> None:
    source, feeder = pair()
    with Memory() as memory, Memory() as other:
        async with source, feeder, trio.open_nursery() as nursery:
            nursery.start_soon(source.receive_pieces, memory)
            view = other.take()
            other.free()
            await wait_all_tasks_blocked()
            assert other.take() is view  # the reader that waits has not taken it
            nursery.cancel_scope.cancel()


class Piece(bytearray):
    """A piece that tells, by a weak reference, whether it is still held."""


class OnePiece(trio.abc.ReceiveStream):
    """A stream on which nothing moves behind its first piece."""

    def __init__(self) -> None:
        self._pieces = [Piece(b"a line of a log")]
        self.held = weakref.ref(self._pieces[0])

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if not self._pieces:
            await trio.sleep_forever()
        return self._pieces.pop()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_a_relay_on_which_nothing_moves_holds_nothing_that_it_sent() -> None:
    source, sink = OnePiece(), trio.testing.MemorySendStream()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(relay, source, sink)
        await wait_all_tasks_blocked()
        assert sink.get_data_nowait() == b"a line of a log"
        assert source.held() is None
        nursery.cancel_scope.cancel()


FAULTS = """
import resource, socket, threading, trio
from collections import deque
from swarmlib.net.sockets import Socket

def fill(end):
    data = bytes(1 << 18)
    for _ in range(256):
        end.sendall(data)
    end.close()

async def main():
    near, far = socket.socketpair()
    threading.Thread(target=fill, args=[far]).start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    async with Socket(trio.SocketStream(trio.socket.from_stdlib_socket(near))) as stream:
        held = deque(maxlen=4)  # as what waits for a stream's reader
        while data := await stream.receive_some():
            held.append(data)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

trio.run(main)
"""
"""Prints how often the kernel had to provide a page of memory for 64 MiB, which are 16,384 pages."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep what they like")
def test_the_memory_of_large_reads_is_used_again() -> None:
    assert int(python(FAULTS)) < 2000
