"""The marks that end the output of the runs of a container that is kept: clients see none of them."""

import re

from hypothesis import given
from hypothesis import strategies as st

from swarmlib_backends.kubernetes.marks import Unmarked, without_mark
from swarmlib_backends.kubernetes.pods.runs import mark

MARK = mark(12)
ENDS = [MARK + b"\n", MARK + b"\r\n"]
CUT = [MARK[:5], MARK[:-2], MARK[:-1], MARK, MARK + b"\r", mark(10**9) + b"\n"]
PARTS = st.sampled_from([b"line\n", b"no end", b"\x1e", b"34", b"\r\n", *CUT, *ENDS])


@given(st.lists(PARTS), st.data())
def test_however_output_is_cut_its_marks_are_taken_out(parts: list[bytes], data: st.DataObject) -> None:
    output = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(output)), max_size=5)))
    marks = Unmarked()
    pieces = [output[start:end] for start, end in zip([0, *cuts], [*cuts, len(output)], strict=True)]
    shown = b"".join([*map(marks.feed, pieces), marks.rest()])
    assert (shown, marks.count) == re.subn(b"\x1eswarm-end [0-9]{1,9}\x1e\r?\n", b"", output)


def test_a_line_is_shown_at_once_and_only_what_may_be_a_mark_is_held() -> None:
    marks = Unmarked()
    assert marks.feed(b"line\nno end") == b"line\nno end"
    assert marks.feed(b", still none" + MARK) == b", still none"
    assert marks.feed(b"\n") == b""
    assert marks.feed(b"next\n") == b"next\n"


def test_what_is_around_a_mark_is_none_together() -> None:
    marks = Unmarked()
    shown = [marks.feed(piece) for piece in (MARK[:-2] + ENDS[0], b"34\x1e\n")]
    assert (b"".join(shown), marks.count) == (MARK[:-2] + b"34\x1e\n", 1)


def test_the_marks_of_earlier_runs_are_not_counted() -> None:
    marks = Unmarked(after=3)
    for run, count in ((2, 0), (3, 0), (4, 1), (4, 2)):
        marks.feed(mark(run) + b"\n")
        assert marks.count == count


def test_a_line_that_is_nothing_but_a_mark_is_none() -> None:
    assert [without_mark(line) for line in (*ENDS, b"no end" + ENDS[0], b"line\n")] == [b"", b"", b"no end", b"line\n"]
