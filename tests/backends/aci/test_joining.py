"""What a container writes is told once and whole, wherever its logs are read and its live output begins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlib import BadAnswer
from swarmlib_backends.aci.joining import Joining, entries

LINES = st.lists(st.sampled_from(["a\n", "b\n", "tick\n", "long line\n", "é\n"]), min_size=1, max_size=30)
NUMBERED = LINES.map(lambda lines: [f"line {n}: {each}" for n, each in enumerate(lines)])


def logs(lines: list[str]) -> str:
    return "".join(f"2026-01-01T00:00:{n:02}.{n:09}Z {line}" for n, line in enumerate(lines))


@given(NUMBERED, st.data())
def test_readings_and_live_output_give_all_that_was_written_once(lines: list[str], data: st.DataObject) -> None:
    assert joined(lines, data) == "".join(lines).encode()


@given(LINES, st.data())
def test_where_lines_are_the_same_nothing_is_lost_or_told_twice(lines: list[str], data: st.DataObject) -> None:
    assert len(joined(lines, data)) == len("".join(lines).encode())


def joined(lines: list[str], data: st.DataObject) -> bytes:
    """What is told: the live output begins between two readings, in pieces of any size; a last reading has all."""
    count = len(lines)
    first = data.draw(st.integers(0, count))
    begins = data.draw(st.integers(first, count))
    second = data.draw(st.integers(begins, count))
    joining = Joining()
    told = b"".join(each.text for each in joining.read(logs(lines[:first])))
    assert told == "".join(lines[:first]).encode()
    new = joining.read(logs(lines[:second]))
    joining.overlaps(new)
    told += b"".join(each.text for each in new)
    live = "".join(lines[begins:]).encode()
    while live:
        size = data.draw(st.integers(1, len(live)))
        told += joining.live(live[:size])
        live = live[size:]
    return told + b"".join(each.text for each in joining.read(logs(lines)))


@given(LINES, st.data())
def test_what_is_lost_with_a_live_connection_comes_with_the_next_reading(lines: list[str], data: st.DataObject) -> None:
    lost = data.draw(st.integers(0, len(lines)))
    joining = Joining()
    joining.overlaps(joining.read(""))
    told = joining.live("".join(lines[:lost]).encode()) if lost else b""
    told += b"".join(each.text for each in joining.read(logs(lines)))
    assert told == "".join(lines).encode()


def test_a_later_piece_shows_where_live_output_begins_among_lines_that_are_the_same() -> None:
    joining, lines = Joining(), ["a\n"] * 7 + ["b\n"]
    joining.overlaps(joining.read(logs(lines)))
    assert [joining.live(piece) for piece in (b"a", b"\n", b"b\n", b"c\n")] == [b"", b"", b"", b"c\n"]


def test_logs_that_are_gone_or_cut_say_nothing_twice() -> None:
    joining = Joining()
    joining.read(logs(["a\n", "b\n"]))
    assert joining.read("") == []
    assert [each.text for each in joining.read(logs(["a\n", "b\n", "c\n"]).partition("\n")[2])] == [b"c\n"]


def test_a_line_that_has_no_time_is_malformed() -> None:
    with pytest.raises(BadAnswer, match="does not begin with its time: 'hello"):
        entries("hello there\n")
    assert entries("2026-01-01T00:00:00Z \n")[0].text == b"\n"
