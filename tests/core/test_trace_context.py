"""W3C Trace Context, level 1: what is read, what counts as missing, and what is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlib.trace_context import MAX_MEMBERS, TraceContext

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
CONTEXT = TraceContext(TRACE, SPAN, sampled=True)


def read(parent: str, *states: str) -> TraceContext | None:
    return TraceContext.read([parent], states)


def state(*values: str) -> str:
    found = read(PARENT, *values)
    assert found is not None
    return found.state


def test_a_context_is_read_and_written() -> None:
    assert read(PARENT) == CONTEXT
    assert list(CONTEXT.headers()) == [("traceparent", PARENT)]
    with_state = read(f" {PARENT}\t", "congo=t61rcWkgMzE , ,rojo=00f067aa0ba902b7", "7@a=b ")
    assert with_state == TraceContext(TRACE, SPAN, True, "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7,7@a=b")
    assert list(with_state.headers())[1] == ("tracestate", with_state.state)


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("ff", True)])
def test_only_the_known_flag_is_kept(flags: str, sampled: bool) -> None:
    found = read(f"00-{TRACE}-{SPAN}-{flags}")
    assert found == TraceContext(TRACE, SPAN, sampled)
    assert found.parent.endswith("-01" if sampled else "-00")


@pytest.mark.parametrize("later", [f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like"])
def test_of_a_later_version_what_is_known_is_read(later: str) -> None:
    assert read(later) == CONTEXT


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-001",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01.",
        f"cc-{TRACE}-{SPAN}-01.what",
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"000-{TRACE}-{SPAN}-01",
        f"0x-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}a-{SPAN}-01",
        f"00-{TRACE}-{SPAN}0-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"00-{TRACE[:-1]}.-{SPAN}-01",
        f"00_{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"\x0b{PARENT}",
        f"00-{TRACE}-{SPAN}-0\u0661",
    ],
)
def test_a_parent_that_is_not_valid_counts_as_missing(wrong: str) -> None:
    assert read(wrong, "a=b") is None


def test_several_parents_or_none_count_as_missing() -> None:
    assert TraceContext.read([], ["a=b"]) is None
    assert TraceContext.read([PARENT, PARENT], []) is None


@pytest.mark.parametrize(
    "wrong",
    [
        *("a", "a=", "=b", "A=b", "a =b", "a=b=c", "1=b", "é=b", "a=é", "a=b\tc", "a=b\x00", "a\n=b", "a,b=c"),
        *("@a=b", "a@=b", "a@1=b", "a@b@c=d", f"a@{'b' * 15}=c", f"{'a' * 242}@b=c", f"{'a' * 257}=b"),
        f"a={'b' * 257}",
        ",".join(f"a{number}=b" for number in range(MAX_MEMBERS + 1)),
    ],
)
def test_a_state_that_is_not_valid_is_left_out(wrong: str) -> None:
    assert state(wrong) == ""
    assert state("known=1", wrong) == ""


@pytest.mark.parametrize(
    "right",
    [
        *("a=b", "a= b", "a-_*/1=!#$", f"a@{'b' * 14}=c", f"{'a' * 241}@b=c", f"{'a' * 256}=b", f"a={'b' * 256}"),
        ",".join(f"a{number}=b" for number in range(MAX_MEMBERS)),
    ],
)
def test_a_state_within_the_limits_is_kept(right: str) -> None:
    assert state(right) == right


def test_of_a_repeated_key_the_newest_member_is_kept() -> None:
    assert state("a=1,b=2", "a=3") == "a=1,b=2"


@given(st.text(), st.lists(st.text()))
def test_no_text_does_harm_and_what_is_read_is_written_in_ascii(parent: str, states: list[str]) -> None:
    for context in (read(parent, *states), read(PARENT, *states)):
        if context is not None:
            assert all(value.isascii() and value.isprintable() for _, value in context.headers())
            assert TraceContext.read([context.parent], [context.state]) == context
