"""debug: a line for each message and reply, and never a secret in one."""

import io
import json
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from swarmlib import Chain, Client, Invalid, Json, Meta, NotFound, Request, Server, Verb
from swarmlib.asking import call
from swarmlib_backends.debug import Debug


class Echo(Server):
    """Gives back what it is asked."""

    async def get(self, request: Request) -> Any:
        if "missing" in request.path:
            raise NotFound("no \x1b[31mbox\n")
        if "slow" in request.path:
            await trio.sleep_forever()
        return {"path": request.path}

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


async def test_a_line_for_the_message_and_one_for_each_reply() -> None:
    request, reply, ack = await lines(GET)
    assert request == '#1 > get containers/web {"all": "1"}'
    number, arrow, verb, took, unit, size, size_unit = reply.split()
    assert (number, arrow, verb, unit, size_unit) == ("#1", "<", "set", "ms", "B")
    assert float(took) >= 0
    assert int(size) == len(b'{"path":["containers","web"]}')
    assert ack.startswith("#1 < ack ")


async def test_an_error_shows_with_its_code_and_can_not_drive_the_terminal() -> None:
    request, error = await lines((Verb.GET, ("missing", "\u2028"), {}))
    assert request == '#1 > get "missing/\\u2028"'
    assert error.startswith("#1 < error ")
    assert error.endswith('not_found: "no \\u001b[31mbox\\n"')


async def test_json_is_one_object_a_line() -> None:
    request, reply, ack = map(json.loads, await lines(GET, json=True))
    assert request == {"call": 1, "verb": "get", "path": ["containers", "web"], "params": {"all": "1"}}
    assert (reply["call"], reply["reply"], reply["bytes"]) == (1, "set", 29)
    assert (ack["reply"], ack["ms"] >= reply["ms"]) == ("ack", True)


async def test_only_what_fits_the_filter_is_shown() -> None:
    spawn = (Verb.SPAWN, ("containers",), {})
    for pattern, shown in (("spawn*", "spawn"), ("* containers/web", "get")):
        found = await lines(GET, spawn, filter=[pattern])
        assert {line.split()[2] for line in found if ">" in line} == {shown}
    assert len(await lines(GET, spawn, filter=["spawn*", "get*"])) == 5


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
    assert [line[:4] for line in outs[0].getvalue().splitlines()] == ["#1 >", "#1 <", "#1 <", "#2 >", "#2 <"]
    assert [line[:4] for line in outs[1].getvalue().splitlines()] == ["#1 >", "#1 <"]


async def test_a_caller_that_goes_away_is_shown() -> None:
    out = io.StringIO()
    async with Chain(Debug(out=out), Echo()).open() as sender, trio.open_nursery() as nursery:
        nursery.start_soon(Client(sender).get, "slow")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert out.getvalue().splitlines()[1].startswith("#1 < gone ")


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
    assert out.getvalue().splitlines()[0].startswith("#1 > spawn containers")
