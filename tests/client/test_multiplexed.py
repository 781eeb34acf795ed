"""The framing of a workload's output."""

from itertools import pairwise

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MemoryReceiveStream

from swarmlib import Line
from swarmlib.bytes_stream import BytesStream
from swarmlib.client.multiplexed import MAX_LINE, STREAMS, Demultiplexer, framed, lines

FRAMES = st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=40)), max_size=10)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(ends)]


def collected(pieces: list[tuple[str, bytes]]) -> dict[str, bytes]:
    return {name: b"".join(data for each, data in pieces if each == name) for name in ("stdout", "stderr")}


@given(FRAMES, st.lists(st.integers(0, 500), max_size=20))
def test_frames_come_out_as_they_went_in_however_they_are_cut(frames: list[tuple[int, bytes]], at: list[int]) -> None:
    reader = Demultiplexer()
    whole = b"".join(framed(stream, data) for stream, data in frames)
    pieces = [piece for part in cut(whole, at) for piece in reader.feed(part)]
    reader.end()
    assert collected(pieces) == collected([(STREAMS[stream], data) for stream, data in frames])


@given(FRAMES.filter(bool), st.integers(1, 500))
def test_a_stream_that_ends_inside_a_frame_has_broken_off(frames: list[tuple[int, bytes]], missing: int) -> None:
    last = framed(*frames[-1])
    whole = b"".join(framed(stream, data) for stream, data in frames[:-1]) + last[: -1 - missing % (len(last) - 1)]
    reader = Demultiplexer()
    reader.feed(whole)
    with pytest.raises(trio.BrokenResourceError, match="inside a frame"):
        reader.end()


@given(st.binary(min_size=8).filter(lambda data: data[0] > 3 or data[1:4] != b"\0\0\0"))
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(trio.BrokenResourceError, match="no frame"):
        Demultiplexer().feed(data)


def test_a_frame_is_given_as_it_comes_and_not_kept_until_it_is_whole() -> None:
    reader = Demultiplexer()
    assert reader.feed(framed(1, b"x" * 1000)[:10]) == [("stdout", b"xx")]
    assert reader.feed(b"y") == [("stdout", b"y")]


def test_a_terminals_output_is_what_it_is() -> None:
    reader = Demultiplexer(tty=True)
    assert reader.feed(b"\x09no frame") == [("stdout", b"\x09no frame")]
    reader.end()


@pytest.mark.parametrize(
    ("tty", "sent", "read"),
    [
        (
            False,
            framed(1, b"a\r\nb") + framed(2, b"e") + framed(1, b"c\n\nd"),
            [Line("stdout", line) for line in (b"a\r", b"bc", b"", b"d")] + [Line("stderr", b"e")],
        ),
        (True, b"a\r\nb", [Line("stdout", b"a"), Line("stdout", b"b")]),
        (False, b"", []),
    ],
)
async def test_lines_are_put_together_by_stream(tty: bool, sent: bytes, read: list[Line]) -> None:
    source = MemoryReceiveStream()
    source.put_data(sent)
    source.put_eof()
    found = [line async for line in lines(source, tty=tty)]
    assert sorted(found, key=str) == sorted(read, key=str)


async def test_a_line_without_end_comes_in_pieces() -> None:
    size = MAX_LINE + 1024 * 1024
    found = [line async for line in lines(BytesStream(b"x" * size + b"\nend"), tty=True)]
    assert [len(line.data) for line in found][-1] == 3
    assert max(len(line.data) for line in found) <= MAX_LINE + 64 * 1024
    assert sum(len(line.data) for line in found) == size + 3
