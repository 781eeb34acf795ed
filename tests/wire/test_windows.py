"""How windows grow, and how what came is kept."""

import heapq
from itertools import count

import pytest

from swarmlib.wire.limits import Limits
from swarmlib.wire.windows import Windows, gather

HALF = Limits().window // 2
PIECE = 16 * 1024
MIB = 1 << 20
HALF_MIB = MIB // 2


def far(round_trip: float) -> Windows:
    """The windows of a session whose round trip takes so many seconds."""
    windows = Windows(Limits(), lambda: None)
    windows.measured(round_trip)
    return windows


def seconds(windows: Windows, size: int, speed: float, way: float) -> float:
    """Give how many seconds `size` bytes take from the opening of their stream, over a line of so many bytes a second
    and seconds each way, to a reader that takes all at once.
    """
    order = count()
    stream = windows.open(way)
    allowed, unsent, unread, free, now = Limits().window, size, size, 0.0, 0.0
    coming: list[tuple[float, int, int, int]] = []  # at the reader: when, then bytes; at the sender: when, then credit
    while unread:
        while unsent and allowed:
            piece = min(PIECE, allowed, unsent)
            allowed, unsent = allowed - piece, unsent - piece
            free = max(now, free) + piece / speed
            heapq.heappush(coming, (free + way, next(order), piece, 0))
        now, _, piece, credit = heapq.heappop(coming)
        allowed, unread = allowed + credit, unread - piece
        if grant := windows.read(stream, piece, now) if piece else 0:
            heapq.heappush(coming, (now + way, next(order), 0, grant))
    return now


@pytest.mark.parametrize(
    ("size", "speed", "way", "shares"),
    [
        (256, 160, 0.05, (0.89, 0.94)),  # two round trips are lost until the line is full, and later one
        (1024, 160, 0.05, (0.97, 0.98)),
        (1024, 250, 0.05, (0.95, 0.97)),  # the largest window is a little more than what the line holds
        (256, 10, 0.15, (0.98, 0.98)),
        (64, 10, 0.005, (0.99, 0.99)),  # the first window is nearly what the line holds
        (256, 1000, 0.000_1, (0.99, 0.99)),
    ],
)
def test_streams_soon_run_at_the_speed_of_their_line(
    size: int, speed: int, way: float, shares: tuple[float, float]
) -> None:
    windows, alone = far(2 * way), size / speed + 2 * way
    for share in shares:
        assert alone / (seconds(windows, size * MIB, speed * MIB, way) + way) > share


def test_a_window_that_is_read_at_once_grows_however_short_the_way_is() -> None:
    windows = far(0.000_01)
    stream = windows.open(0.0)
    assert [windows.read(stream, HALF, n * 0.000_2) - HALF for n in range(1, 5)] == [0, 0, 0, Limits().window]
    for n in range(1, 9):
        windows.read(stream, 2 * HALF, 0.001 + n * 0.000_3)  # each half lasts long enough
    assert stream.window == 2 * Limits().window


def test_a_window_that_filled_while_its_reader_was_kept_from_running_stays_as_it_is() -> None:
    windows = far(0.000_2)
    stream = windows.open(0.0)
    for stalled in (0.01, 0.02, 0.03):
        for at_memorys_speed in (0.0, 0.000_02):
            windows.read(stream, HALF, stalled + at_memorys_speed)
        for at_the_lines in (0.000_4, 0.000_8):
            windows.read(stream, HALF, stalled + at_the_lines)
    assert stream.window == Limits().window


@pytest.mark.parametrize(("lasted", "times"), [(0.09, 4), (0.02, 5), (0.01, 10), (0.000_1, 16), (0.0, 16)])
def test_a_window_grows_by_as_much_as_it_is_too_small_where_the_way_is_long(lasted: float, times: int) -> None:
    windows = far(0.1)
    assert windows.read(windows.open(0.0), HALF, lasted) == HALF + (times - 1) * Limits().window


def test_the_time_in_which_a_sender_waits_for_a_grant_does_not_count() -> None:
    windows = far(0.1)
    stream = windows.open(0.0)
    for _ in range(2):
        windows.read(stream, HALF, 0.0)  # the grant for the first half comes to its sender once the window is used up
    windows.read(stream, HALF, 0.102)
    windows.read(stream, 14 * HALF, 0.105)
    assert stream.window == 16 * 16 * Limits().window


def test_later_windows_grow_at_once_to_what_earlier_ones_needed_from_one_half_of_the_fund() -> None:
    windows, most = far(0.1), Limits().window_max
    first, burst = windows.open(0.0), Limits().window
    while first.window < most:
        windows.read(first, first.window, 0.0)
    grown: list[int] = []
    for lasted in (0.1, 0.0, 0.0, 0.0):
        stream = windows.open(1.0)
        windows.read(stream, burst, 1.0 + lasted)
        grown.append(stream.window)
    assert grown == [4 * burst, most - burst, 16 * burst, 16 * burst]


def test_a_large_window_is_granted_in_parts() -> None:
    windows = far(0.1)
    stream = windows.open(0.0)
    while stream.window < Limits().window_max:
        windows.read(stream, stream.window, 0.0)
    assert [windows.read(stream, MIB, 1.0) for _ in range(8)] == [0, 0, 0, 4 * MIB] * 2


def test_a_part_of_a_large_window_is_withheld_while_messages_come_beside_its_stream() -> None:
    windows = far(0.000_2)
    stream = windows.open(0.0)
    while stream.window < 4 * MIB:
        windows.read(stream, stream.window, 0.0)
    windows.message_came = 1.0
    assert [windows.read(stream, 2 * MIB, 1.0 + n * 0.01) for n in range(2)] == [0, HALF_MIB]
    assert [windows.read(stream, HALF_MIB // 2, 1.05 + n * 0.01) for n in range(2)] == [HALF_MIB // 2] * 2
    assert windows.read(stream, HALF_MIB // 2, 1.2) == 4 * MIB - HALF_MIB // 2
    assert windows.read(stream, 2 * MIB, 1.3) == 2 * MIB


def test_a_window_grows_that_was_read_whole_in_less_than_two_round_trips() -> None:
    windows = far(0.01)
    stream = windows.open(0.0)
    assert windows.read(stream, 2 * HALF, 0.019) == 2 * HALF + Limits().window
    assert windows.read(stream, 4 * HALF, 0.040) == 4 * HALF


def test_small_pieces_are_gathered_behind_views_too() -> None:
    pieces: list[bytes | memoryview] = [memoryview(b"ab")]
    gather(pieces, b"cd")
    gather(pieces, memoryview(b"e"))
    assert pieces == [b"abcde"]
