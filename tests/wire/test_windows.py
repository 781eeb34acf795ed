"""How windows grow, and how what came is kept."""

import heapq
from itertools import count

import pytest

from swarmlib.wire.limits import Limits
from swarmlib.wire.windows import Windows, gather

HALF = Limits().window // 2
PIECE = 16 * 1024
MIB = 1 << 20


def seconds(size: int, speed: float, way: float) -> float:
    """Give how many seconds `size` bytes take from the opening of their stream, over a line of so many bytes a second
    and seconds each way, to a reader that takes all at once.
    """
    windows, order = Windows(Limits(), lambda: None), count()
    windows.measured(2 * way)
    stream = windows.open(way)
    allowed, unsent, free, now = Limits().window, size, 0.0, 0.0
    coming: list[tuple[float, int, int, int]] = []  # at the reader: when, then bytes; at the sender: when, then credit
    while unsent or coming:
        while unsent and allowed:
            piece = min(PIECE, allowed, unsent)
            allowed, unsent = allowed - piece, unsent - piece
            free = max(now, free) + piece / speed
            heapq.heappush(coming, (free + way, next(order), piece, 0))
        now, _, piece, credit = heapq.heappop(coming)
        allowed += credit
        if grant := windows.read(stream, piece, now) if piece else 0:
            heapq.heappush(coming, (now + way, next(order), 0, grant))
    return now


@pytest.mark.parametrize(
    ("size", "speed", "way", "share"),
    [
        (256, 160, 0.05, 0.89),  # two round trips are lost until the line is full
        (1024, 160, 0.05, 0.95),
        (256, 10, 0.15, 0.95),
        (64, 10, 0.005, 0.95),  # the first window is nearly what the line holds
        (256, 1000, 0.000_1, 0.95),
    ],
)
def test_a_stream_soon_runs_at_the_speed_of_its_line(size: int, speed: int, way: float, share: float) -> None:
    alone = size / speed + 2 * way
    assert alone / (seconds(size * MIB, speed * MIB, way) + way) > share


def test_a_window_that_is_read_at_once_grows_however_short_the_way_is() -> None:
    windows = Windows(Limits(), lambda: None)
    windows.measured(0.000_01)
    stream = windows.open(0.0)
    assert windows.read(stream, HALF, 0.000_2) == HALF + Limits().window
    assert windows.read(stream, 2 * HALF, 0.001) == 2 * HALF  # this half lasted long enough


@pytest.mark.parametrize(("lasted", "times"), [(0.09, 4), (0.02, 5), (0.01, 10), (0.000_1, 16), (0.0, 16)])
def test_a_window_grows_by_as_much_as_it_is_too_small_where_the_way_is_long(lasted: float, times: int) -> None:
    windows = Windows(Limits(), lambda: None)
    windows.measured(0.1)
    assert windows.read(windows.open(0.0), HALF, lasted) == HALF + (times - 1) * Limits().window


def test_a_window_grows_that_was_read_whole_in_less_than_two_round_trips() -> None:
    windows = Windows(Limits(), lambda: None)
    windows.measured(0.01)
    stream = windows.open(0.0)
    assert windows.read(stream, 2 * HALF, 0.019) == 2 * HALF + Limits().window
    assert windows.read(stream, 4 * HALF, 0.040) == 4 * HALF


def test_small_pieces_are_gathered_behind_views_too() -> None:
    pieces: list[bytes | memoryview] = [memoryview(b"ab")]
    gather(pieces, b"cd")
    gather(pieces, memoryview(b"e"))
    assert pieces == [b"abcde"]
