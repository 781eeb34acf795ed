"""What a workload wrote, as lines; and signals by name. Both are shared by the backends that play an engine."""

import signal

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from swarmlib import Invalid
from swarmlib_backends.dockerapi.values import signal_number
from swarmlib_backends.enginekit.output import MAX_LAG, Lines, Output, Piece


@pytest.mark.parametrize("inside", ["\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\0"])
def test_only_a_newline_ends_a_line(inside: str) -> None:
    lines = Lines()
    data = f"10%{inside}20%{inside}\nnext{inside}".encode()
    assert [line.data for line in lines.add(Piece(1, 1.0, data))] == [f"10%{inside}20%{inside}\n".encode()]
    assert [line.data for line in lines.add(Piece(1, 2.0, b"\n\n"))] == [f"next{inside}\n".encode(), b"\n"]
    assert lines.rest() == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("TERM", signal.SIGTERM),
        ("sigusr1", signal.SIGUSR1),
        ("SIGIOT", signal.SIGABRT),
        ("9", 9),
        ("35", 35),
        ("64", 64),
        ("RTMIN", 34),
        ("SIGRTMIN+1", 35),
        ("rtmin+15", 49),
        ("RTMAX-14", 50),
        ("RTMAX", 64),
    ],
)
def test_signals_have_the_names_that_an_engine_knows(text: str, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize(
    "text", ["", "0", "65", "-9", "RTMIN+0", "RTMIN+16", "RTMAX-15", "_DFL", "SIG", "NOSUCH", "\uff11"]
)
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="Invalid signal"):
        signal_number(text)


async def kept(size: int) -> Output:
    """Output of which so many bytes are kept."""
    output = Output(limit=2 * size)
    await output.add(Piece(1, 0, bytes(size)))
    return output


async def test_one_that_follows_from_now_on_holds_nothing_up_for_what_it_will_not_read() -> None:
    output = await kept(2 * MAX_LAG)
    follower = output.follow()
    with trio.fail_after(5):
        await output.add(Piece(1, 0, b"new"))
    assert await follower.next() == Piece(1, 0, b"new")


async def test_one_that_follows_from_the_start_holds_up_what_writes_until_it_has_read_enough() -> None:
    output = await kept(2 * MAX_LAG)
    follower = output.follow(from_start=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(output.add, Piece(1, 0, b"new"))
        await wait_all_tasks_blocked()
        assert nursery.child_tasks
        assert len((await follower.next() or Piece(1, 0, b"")).data) == 2 * MAX_LAG
        await wait_all_tasks_blocked()
        assert not nursery.child_tasks
