"""Transcript tests: what fits, what doesn't, and how that is printed."""

import re
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from swarmlib import Chain, Conflict, Filter, Request, Server, Verb
from swarmlib.testing import Reference
from swarmlib.testing.matching import ANY, mismatch, subset
from swarmlib.testing.script import (
    ack,
    attach,
    connect,
    error,
    expect,
    file,
    get,
    log,
    ls,
    rm,
    set,  # noqa: A004 - the script's own word
    spawn,
    start,
    stop,
    watch,
)


class Shelf(Server):
    """Answers each verb in its own way."""

    async def ls(self, _: Request) -> Any:
        return [{"Id": "a", "State": "running"}, {"Id": "b", "State": "exited"}]

    async def get(self, _: Request) -> Any:
        raise Conflict("it is taken")

    async def watch(self, request: Request) -> None:
        await request.reply.ack()
        await request.reply.set({"Action": "create"})
        await trio.sleep_forever()


async def test_what_is_sent_and_what_comes_back() -> None:
    await (
        expect(Reference())
        << ls("containers")
        >> set([])
        >> ack()
        << spawn({"Image": "talks"}, name="web")
        >> ack(subset({"Id": re.compile("[0-9a-f]{16}")}))
        << start("containers", "web")
        >> ack(None)
        << get("containers", "web")
        >> set(subset({"Name": "/web", "State": {"Status": "exited", "Running": False, "ExitCode": int}}))
        >> ack()
        << attach("containers", "web")
        >> ack()
        >> log(b"first", stream="stdout")
        >> log(b"")
        >> log(re.compile(rb"\xff .*"))
        >> set(ANY)
        << set("containers", "web", "rename", name="www")
        >> ack()
        << stop("containers", "www")
        >> ack()
        << rm("containers", "www")
        >> ack()
        << rm("containers", "www")
        >> error("not_found", "no such workload: www")
    )


async def test_streams_go_and_come() -> None:
    await (
        expect(Reference())
        << spawn({"Image": "echoes"}, name="box")
        >> ack()
        << connect("containers", "box", upload=b"hello")
        >> ack(stream=b"hello")
        << connect("containers", "box", upload=b"nobody looks")
        >> ack()
        << file("containers", "box", "archive", upload=b"a tar")
        >> ack()
        << file("containers", "box", "archive")
        >> ack(stream=b"a tar")
    )


@pytest.mark.parametrize("chain", ["exec", Chain.read("exec"), Chain.read("exec").backends[0]])
async def test_it_opens_a_text_a_chain_or_a_backend(chain: Any) -> None:
    await (expect(chain) << ls("images") >> set([]) >> ack())


async def test_an_open_chain_is_left_open_and_a_script_runs_again() -> None:
    async with Chain(Filter(), Reference()).open() as sender:
        script = expect(sender) << ls() >> set(list) >> ack()
        await script
        await (expect(sender) << spawn({}) >> ack())
        await script


async def test_a_conversation_is_left_after_the_last_reply_that_is_expected() -> None:
    await (expect(Shelf()) << watch() >> ack() >> set({"Action": "create"}) << get("x") >> error(Conflict))


@pytest.mark.parametrize(
    ("expected", "problem"),
    [
        (set(ANY), "the replies ended"),
        (error(), "expected error, got ack"),
        (ack({"Id": "x"}), "at the value: expected a dict, got None"),
        (ack(status=304), "at details: it lacks status"),
    ],
)
async def test_the_wrong_reply_is_told(expected: Any, problem: str) -> None:
    script = expect(Shelf()) << ls() >> set(ANY) >> ack() if problem == "the replies ended" else expect(Shelf()) << ls()
    script = script if problem == "the replies ended" else script >> set(ANY)
    with pytest.raises(AssertionError, match=re.escape(problem)):
        await (script >> expected)


async def test_a_mismatch_prints_both_sides_with_a_mark_at_the_place() -> None:
    with pytest.raises(AssertionError) as raised:
        await (
            expect(Shelf())
            << ls("containers")
            >> set([{"Id": "a", "State": str}, subset({"State": "running"})])
            >> ack()
        )
    assert str(raised.value) == (
        "at [1].State: expected 'running', got 'exited'\n"
        "expected:\n"
        "   << ls containers\n"
        "-> >> set [{'Id': 'a', 'State': str}, subset({'State': 'running'})]\n"
        "   >> ack\n"
        "got:\n"
        "   << ls containers\n"
        "-> >> set [{'Id': 'a', 'State': 'running'}, {'Id': 'b', 'State': 'exited'}]"
    )


async def test_an_error_where_an_ack_should_be_shows_what_it_says() -> None:
    with pytest.raises(AssertionError) as raised:
        await (expect(Shelf()) << get("x") >> set(ANY) >> ack())
    assert "expected set, got error\n" in str(raised.value)
    assert "-> >> error {'code': 'conflict', 'message': 'it is taken'}" in str(raised.value)


async def test_a_reply_too_many_is_a_mismatch() -> None:
    with pytest.raises(AssertionError, match="unexpected reply") as raised:
        await (expect(Shelf()) << ls() >> set(ANY))
    assert str(raised.value).splitlines()[-2:] == [
        "   >> set [{'Id': 'a', 'State': 'running'}, {'Id': 'b', 'State': 'exited'}]",
        "-> >> ack",
    ]
    assert "-> >> (nothing)" in str(raised.value)


async def test_a_reply_that_does_not_come_is_not_waited_for_longer_than_said(autojump_clock: MockClock) -> None:
    with pytest.raises(AssertionError, match="no reply within 2 s"):
        await (expect(Shelf(), seconds=2) << watch() >> ack() >> set(ANY) >> set(ANY))
    assert autojump_clock.current_time() == pytest.approx(2)


async def test_a_request_that_is_not_taken_is_not_waited_for(autojump_clock: MockClock) -> None:
    class Hangs(Filter):
        async def send(self, request: Request) -> None:
            await trio.sleep_forever()

    with pytest.raises(AssertionError, match="the request was not taken within 5 s"):
        await (expect(Hangs()) << get("x") >> ack())


async def test_a_value_that_is_no_json_is_its_bytes() -> None:
    await (expect("exec") << get("ping") >> set(b"OK") >> ack())


async def test_a_dropped_request_shows_as_an_error() -> None:
    class Drops(Filter):
        async def send(self, request: Request) -> None:
            del request

    await (expect(Drops()) << get("x") >> error("unavailable", lambda text: "dropped" in text))


def test_a_script_that_is_never_awaited_is_a_warning() -> None:
    with pytest.warns(RuntimeWarning, match="the script `ls containers` … was never awaited"):
        (lambda: expect("exec") << ls() >> set([]) >> ack())()


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (lambda: expect("exec") >> ack(), "begins with a request"),
        (lambda: expect("exec") << ack(), "ack is a reply"),
        (lambda: expect("exec") << ls() >> ls(), "ls is a request"),
        (lambda: expect("exec") << set([1]), "takes a path"),
        (lambda: expect("exec") << ls() >> set("a", "b"), "takes one value"),
        (lambda: expect("exec") << log(b"x"), "log is a reply"),
    ],
)
def test_a_word_in_the_wrong_place_is_refused_where_it_stands(wrong: Any, problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        wrong()


@pytest.mark.parametrize(
    ("expected", "got", "problem"),
    [
        (1, 1, None),
        (1, True, "at the value: expected 1, got True"),
        ("a", "b", "at the value: expected 'a', got 'b'"),
        (ANY, object(), None),
        (str, "a", None),
        (str, 1, "at the value: expected str, got 1"),
        (re.compile("a+"), "aaa", None),
        (re.compile("a+"), "aab", "at the value: expected re.compile('a+'), got 'aab'"),
        (re.compile("a+"), 1, "at the value: expected re.compile('a+'), got 1"),
        (len, [], "at the value: expected len, got []"),
        ({"a": 1}, {"a": 1, "b": 2}, "at the value: it also has b"),
        ({"a": 1, "b": 2}, {"a": 1}, "at the value: it lacks b"),
        (subset({"a": [1, {"b": ANY}]}), {"a": [1, {"b": 2}], "c": 3}, None),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, "at a[1].b: expected 2, got 3"),
        ([1], [1, 2], "at the value: expected 1 items, got 2"),
        ({"a": []}, {"a": None}, "at a: expected a list, got None"),
    ],
)
def test_values_are_matched_part_by_part(expected: Any, got: Any, problem: str | None) -> None:
    assert mismatch(expected, got) == problem


def test_every_verb_has_a_word() -> None:
    from swarmlib.testing import script

    assert {verb.value for verb in Verb} <= vars(script).keys()
