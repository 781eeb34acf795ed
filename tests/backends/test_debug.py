"""debug: a line for each message and reply, and never a secret in one."""

import io
import json
import re
from datetime import datetime
from typing import Any

import pytest
import trio
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from swarmlib import Chain, Client, Invalid, Json, Meta, NotFound, Request, Server, Verb
from swarmlib.asking import call
from swarmlib_backends.debug import Debug

TIME = r"\d\d:\d\d:\d\d\.\d{3}"


class Echo(Server):
    """Gives back what it is asked."""

    async def get(self, request: Request) -> Any:
        if "missing" in request.path:
            raise NotFound("no \x1b[31mbox\n")
        if "slow" in request.path:
            await trio.sleep_forever()
        return {"path": request.path}

    async def connect(self, request: Request) -> None:
        near, far = memory_stream_pair()
        await far.send_all(b"hello")
        await request.reply.ack(stream=near)

    async def spawn(self, request: Request) -> Any:
        return request.json


async def lines(*calls: tuple[Any, ...], **options: Any) -> list[str]:
    """What debug writes of some calls (verb, path, fields)."""
    out = io.StringIO()
    async with Chain(Debug(out=out, **options), Echo()).open() as sender:
        for verb, path, fields in calls:
            try:
                await call(sender, Request(verb, path, **fields))
            except NotFound:
                continue
    return out.getvalue().splitlines()


GET = (Verb.GET, ("containers", "web"), {"params": {"all": "1"}})


async def test_a_line_for_the_request_and_one_for_its_outcome() -> None:
    request, answer = await lines(GET)
    assert re.fullmatch(rf"{TIME} #1 > get containers/web all=1", request)
    assert re.fullmatch(rf"{TIME} #1 < get containers/web \d+\.\d\d ms 29 B", answer)


async def test_an_error_shows_with_its_code_and_can_not_drive_the_terminal() -> None:
    request, error = await lines((Verb.GET, ("missing", "\u2028"), {}))
    assert request.endswith('#1 > get "missing/\\u2028"')
    assert re.fullmatch(rf'{TIME} #1 < "get \S+" not_found: "no \\u001b\[31mbox\\n" \d+\.\d\d ms', error)
    assert "missing/\\u2028" in error


async def test_an_id_is_short_and_the_caller_is_named() -> None:
    (request, _) = await lines((Verb.GET, ("containers", "0123456789ab" + "c" * 52), {"meta": Meta("uid:7")}))
    assert request.endswith("> get containers/0123456789ab (uid:7)")


async def test_json_is_one_object_a_line() -> None:
    request, answer = map(json.loads, await lines(GET, json=True))
    assert datetime.fromisoformat(request.pop("time")).utcoffset() is not None
    assert request == {"call": 1, "verb": "get", "path": ["containers", "web"], "params": {"all": "1"}}
    assert (answer["call"], answer["reply"], answer["bytes"]) == (1, "ack", 29)


async def test_the_bytes_of_streams_are_counted_in_both_directions() -> None:
    out = io.StringIO()
    async with Chain(Debug(out=out), Echo()).open() as sender:
        ack = (await Client(sender).call(Verb.CONNECT, ("containers", "web"))).ack
        stream = ack.stream
        assert isinstance(stream, trio.abc.HalfCloseableStream)
        await stream.send_all(b"x" * 2048)
        assert await stream.receive_some() == b"hello"
        await stream.aclose()
    asked, answered, closed = out.getvalue().splitlines()
    assert asked.endswith("> connect containers/web")
    assert answered.endswith(" ms +stream")
    assert re.fullmatch(rf"{TIME} #1 < closed connect containers/web \d+\.\d\d ms in 2\.0 KiB out 5 B", closed)


async def test_several_stages_are_told_apart_and_members_named() -> None:
    out = io.StringIO()
    inner = Chain(Debug(out=out), Echo(), label="a")
    async with inner.open() as member, Chain(Debug(out=out), Debug(out=out, label="mine")).open(member) as sender:
        await Client(sender).get("x")
    names = [line.split()[1] for line in out.getvalue().splitlines()]
    assert names == ["debug1", "mine", "a:1", "a:1", "mine", "debug1"]


@pytest.mark.parametrize(("width", "ends"), [(200, "(uid:7)"), (40, "…")])
async def test_a_terminal_gets_colours_and_no_more_than_its_width(
    width: int, ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    meta = {"meta": Meta("uid:7"), "params": {"all": "1", "limit": "20"}}
    async with Chain(Debug(out=out), Echo()).open() as sender:
        await call(sender, Request(Verb.GET, ("containers", "web"), **meta))
    coloured = out.getvalue().splitlines()[0]
    plain = re.sub(r"\x1b\[\d*m", "", coloured)
    assert coloured != plain
    assert len(plain) <= width
    assert plain.endswith(ends)
    monkeypatch.setenv("NO_COLOR", "1")
    bare = Terminal()
    async with Chain(Debug(out=bare), Echo()).open() as sender:
        await Client(sender).get("a")
    assert "\x1b" not in bare.getvalue()


async def test_only_what_fits_the_filter_is_shown() -> None:
    spawn = (Verb.SPAWN, ("containers",), {})
    for pattern, shown in (("spawn*", "spawn"), ("* containers/web", "get")):
        found = await lines(GET, spawn, filter=[pattern])
        assert {line.split()[3] for line in found if ">" in line} == {shown}
    assert len(await lines(GET, spawn, filter=["spawn*", "get*"])) == 4


async def test_secrets_are_never_written() -> None:
    hidden = "hunter2"
    body = {
        "Env": [f"DB_PASSWORD={hidden}", "MODE=fast", "PATH=/bin", f"API_KEY={hidden}"],
        "nested": {"authToken": hidden, "list": [{"Password": hidden}]},
    }
    params = {"buildargs": json.dumps({"TOKEN": hidden, "USER": "me"})}
    meta = Meta("uid:7", "1.41", (("x-registry-auth", hidden), ("accept", "text/plain")))
    asked = (Verb.SPAWN, ("containers",), {"params": params, "body": Json.from_data(body), "meta": meta})
    for form in (True, False):
        found = "\n".join(await lines(asked, json=form, values=True))
        assert "uid:7" in found
        assert "text/plain" in found
        assert hidden not in found
        assert "MODE=***" in found
        assert "PATH=/bin" in found
        assert "USER" in found
        assert "***" in found


async def test_two_stages_share_nothing() -> None:
    outs = io.StringIO(), io.StringIO()
    chain = Chain(Debug(out=outs[0]), Debug(out=outs[1], filter=["spawn*"]), Echo())
    async with chain.open() as sender:
        await Client(sender).get("a")
        await Client(sender).spawn({"Id": "b"})
    assert [line.split()[1:4] for line in outs[0].getvalue().splitlines()] == [
        ["debug1", number, way] for number in ("#1", "#2") for way in "><"
    ]
    assert [line.split()[1:4] for line in outs[1].getvalue().splitlines()] == [
        ["debug2", "#1", ">"],
        ["debug2", "#1", "<"],
    ]


async def test_a_caller_that_goes_away_is_shown() -> None:
    out = io.StringIO()
    async with Chain(Debug(out=out), Echo()).open() as sender, trio.open_nursery() as nursery:
        nursery.start_soon(Client(sender).get, "slow")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert out.getvalue().splitlines()[1].split()[1:4] == ["#1", "<", "gone"]


@pytest.mark.parametrize("closed", [True, False])
async def test_where_it_can_not_write_the_traffic_goes_on(closed: bool) -> None:
    class Full(io.StringIO):
        def write(self, _: str, /) -> int:
            raise OSError("no space left")

    out = io.StringIO() if closed else Full()
    if closed:
        out.close()
    async with Chain(Debug(out=out), Echo()).open() as sender:
        assert await Client(sender).get("a") == {"path": ("a",)}


async def test_a_value_that_is_not_json_is_passed_on_and_said_to_be_none() -> None:
    out = io.StringIO()
    async with Chain(Debug(out=out, values=True), Echo()).open() as sender:
        with pytest.raises(Invalid, match="not JSON"):
            await Client(sender).call(Verb.SPAWN, ("containers",), body=Json(b"{oops"))
    assert out.getvalue().splitlines()[0].endswith("#1 > spawn containers 5 B")
