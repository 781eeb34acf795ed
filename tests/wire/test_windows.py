"""How windows grow, and how what came is kept."""

from swarmlib.wire.limits import Limits
from swarmlib.wire.windows import Windows, gather

HALF = Limits().window // 2


def test_a_window_that_is_read_at_once_grows_however_short_the_way_is() -> None:
    windows = Windows(Limits(), lambda: None)
    windows.measured(0.000_01)
    stream = windows.open(0.0)
    assert windows.read(stream, HALF, 0.000_2) == HALF + Limits().window
    assert windows.read(stream, 2 * HALF, 0.001) == 2 * HALF  # this half lasted long enough


def test_a_window_is_quadrupled_where_the_way_is_long() -> None:
    windows = Windows(Limits(), lambda: None)
    windows.measured(0.1)
    assert windows.read(windows.open(0.0), HALF, 0.09) == HALF + 3 * Limits().window


def test_small_pieces_are_gathered_behind_views_too() -> None:
    pieces: list[bytes | memoryview] = [memoryview(b"ab")]
    gather(pieces, b"cd")
    gather(pieces, memoryview(b"e"))
    assert pieces == [b"abcde"]
