"""The marks that end the output of the runs of a container that is kept: clients see none of them."""

import re

from hypothesis import given
from hypothesis import strategies as st

from swarmlib_backends.kubernetes.marks import Unmarked, without_mark
from swarmlib_backends.kubernetes.pods.runs import MARK

ENDS = [MARK + b"\n", MARK + b"\r\n"]
PARTS = st.sampled_from([b"line\n", b"no end", b"\x1e", MARK[:5], MARK, MARK + b"\r", b"\r\n", *ENDS])


@given(st.lists(PARTS), st.data())
def test_however_output_is_cut_its_marks_are_taken_out(parts: list[bytes], data: st.DataObject) -> None:
    output = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(output)), max_size=5)))
    marks = Unmarked()
    pieces = [output[start:end] for start, end in zip([0, *cuts], [*cuts, len(output)], strict=True)]
    shown = b"".join([*map(marks.feed, pieces), marks.rest()])
    assert shown == re.sub(MARK + b"\r?\n", b"", output)


def test_a_line_is_shown_at_once_and_only_what_may_be_a_mark_is_held() -> None:
    marks = Unmarked()
    assert marks.feed(b"line\nno end") == b"line\nno end"
    assert marks.feed(b", still none" + MARK) == b", still none"
    assert marks.feed(b"\n") == b""
    assert marks.feed(b"next\n") == b"next\n"


def test_a_line_that_is_nothing_but_a_mark_is_none() -> None:
    assert [without_mark(line) for line in (*ENDS, b"no end" + ENDS[0], b"line\n")] == [b"", b"", b"no end", b"line\n"]
