"""Logs in fake clusters: stdout and stderr apart by the cluster or by a second container, merged by their times."""

from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
import trio

from swarmlib import Client, Verb
from swarmlib.client.multiplexed import Demultiplexer
from swarmlib_backends.kubernetes import log_lines
from tests.backends.kubernetes.conftest import Place
from tests.backends.kubernetes.gateways import gateway

apart = pytest.mark.parametrize(
    ("place", "options"),
    [
        ("1.35", ""),
        ("1.20", "--logs capture"),
        ("1.35", "--logs capture"),
        ("1.35", "--keep"),
        ("1.20", "--keep --logs capture"),
    ],
    ids=[
        "by the cluster",
        "by a container",
        "by a container in a new cluster",
        "by the cluster, kept",
        "by a container, kept",
    ],
    indirect=["place"],
)
PROGRAM = "echo o1; sleep 0.5; echo e1 >&2; sleep 0.5; echo o2; sleep 0.5; printf 'e2, no end' >&2"
# Between lines there is more time than they take to arrive on a machine that is busy.
SHOWN = [("stdout", b"o1\n"), ("stderr", b"e1\n"), ("stdout", b"o2\n"), ("stderr", b"e2, no end")]


async def create(client: Client, program: str, name: str, **more: Any) -> None:
    await client.spawn({"Image": "busybox:1", "Entrypoint": ["sh", "-c", program], **more}, name=name)


async def run(client: Client, program: str, name: str = "talks") -> None:
    """Run a container to its end."""
    made = await client.spawn({"Image": "busybox:1", "Entrypoint": ["sh", "-c", program]}, name=name)
    await made.start()
    await made.wait()


async def read(client: Client, *path: str, **params: str) -> list[tuple[str, bytes]]:
    """What a client gets from a stream of a container, to its end."""
    both = {"stdout": "1", "stderr": "1", **params}
    stream = (await client.call(Verb.CONNECT, ("containers", *path), params=both)).ack.stream
    assert stream is not None
    frames, found = Demultiplexer(), list[tuple[str, bytes]]()
    async with stream:
        async for data in stream:
            found += frames.feed(bytes(data))
    return found


async def logs(client: Client, name: str = "talks", **params: str) -> list[tuple[str, bytes]]:
    return await read(client, name, "logs", **params)


@apart
async def test_the_streams_are_apart_and_in_the_order_of_their_times(place: Place, options: str) -> None:
    async with gateway(place, options) as client:
        await run(client, PROGRAM)
        assert await logs(client) == SHOWN
        assert await logs(client, follow="1") == SHOWN
        for stream in ("stdout", "stderr"):
            found = await logs(client, **{"stdout": "0", "stderr": "0", stream: "1"})
            assert b"".join(data for _, data in found) == b"".join(data for name, data in SHOWN if name == stream)
            assert {name for name, _ in found} == {stream}
        await check_tails(client)
        await check_times(client)


async def check_tails(client: Client) -> None:
    """A tail counts the lines of both streams."""
    assert await logs(client, tail="2") == SHOWN[2:]
    assert await logs(client, tail="2", stderr="0") == SHOWN[2:3]
    assert await logs(client, tail="0") == []
    assert await logs(client, tail="9") == SHOWN


async def check_times(client: Client) -> None:
    """Lines are shown with their times, and found by them."""
    stamped = await logs(client, timestamps="1")
    assert [(name, line.partition(b" ")[2]) for name, line in stamped] == SHOWN
    shown = [line.partition(b" ")[0].decode() for _, line in stamped]
    assert shown == sorted(shown)
    times = [datetime.fromisoformat(each).timestamp() for each in shown]
    first, _, third = (f"{(before + after) / 2:.6f}" for before, after in pairwise(times))
    assert await logs(client, since=first) == SHOWN[1:]
    assert await logs(client, until=third) == SHOWN[:3]
    assert await logs(client, since=first, until=third, tail="1") == SHOWN[2:3]


@apart
async def test_a_client_that_follows_gets_every_line_once(place: Place, options: str) -> None:
    program = "for i in 1 2 3; do echo o$i; echo e$i >&2; done; cat; for i in 4 5 6; do echo o$i; echo e$i >&2; done"
    async with gateway(place, options) as client:
        await create(client, program, "talks", OpenStdin=True, StdinOnce=True)
        attached = (await client.call(Verb.CONNECT, ("containers", "talks"), params={"stream": "1", "stdin": "1"})).ack
        assert isinstance(attached.stream, trio.abc.HalfCloseableStream)
        await client.call(Verb.START, ("containers", "talks"))
        found, late = list[tuple[str, bytes]](), list[tuple[str, bytes]]()

        async def follow(into: list[tuple[str, bytes]], tail: str) -> None:
            into.extend(await logs(client, follow="1", tail=tail))

        async with attached.stream, trio.open_nursery() as nursery:
            nursery.start_soon(follow, found, "3")
            while len(await logs(client)) < 6:
                await trio.lowlevel.checkpoint()
            nursery.start_soon(follow, late, "0")
            await attached.stream.send_eof()
        assert b"".join(data for _, data in late).strip(b"eo456\n") == b""
        lines = [(name, line) for name, data in found for line in data.splitlines()]
        assert len(lines) == len(set(lines))
        for stream, letter in (("stdout", b"o"), ("stderr", b"e")):
            own = [line for name, line in lines if name == stream]
            assert own[-3:] == [letter + digit for digit in (b"4", b"5", b"6")]


@apart
async def test_attach_before_the_start_gets_every_byte_of_both_streams(place: Place, options: str) -> None:
    async with gateway(place, options) as client, trio.open_nursery() as nursery:
        await create(client, PROGRAM, "talks")
        found = list[tuple[str, bytes]]()
        attached = (await client.call(Verb.CONNECT, ("containers", "talks"), params=ALL)).ack
        nursery.start_soon(collect, attached.stream, found)
        await client.call(Verb.START, ("containers", "talks"))
    for stream in ("stdout", "stderr"):
        shown = b"".join(data for name, data in SHOWN if name == stream)
        assert b"".join(data for name, data in found if name == stream) == shown


ALL = {"stream": "1", "stdout": "1", "stderr": "1"}


async def collect(stream: Any, found: list[tuple[str, bytes]]) -> None:
    frames = Demultiplexer()
    async with stream:
        async for data in stream:
            found += frames.feed(bytes(data))


@apart
async def test_attach_with_logs_gives_what_was_missed_then_what_comes(place: Place, options: str) -> None:
    program = "echo early; echo error >&2; cat; echo late"
    async with gateway(place, options) as client, trio.open_nursery() as nursery:
        await create(client, program, "talks", OpenStdin=True, StdinOnce=True)
        await client.call(Verb.START, ("containers", "talks"))
        while len(await logs(client)) < 2:
            await trio.lowlevel.checkpoint()
        assert sorted(await read(client, "talks", logs="1")) == [("stderr", b"error\n"), ("stdout", b"early\n")]
        found = list[tuple[str, bytes]]()
        params = {**ALL, "logs": "1", "stdin": "1"}
        attached = (await client.call(Verb.CONNECT, ("containers", "talks"), params=params)).ack
        nursery.start_soon(collect, attached.stream, found)
        assert isinstance(attached.stream, trio.abc.HalfCloseableStream)
        await attached.stream.send_all(b"typed\n")
        await attached.stream.send_eof()
    assert sorted(found[:2]) == [("stderr", b"error\n"), ("stdout", b"early\n")]
    assert b"".join(data for _, data in found[2:]) == b"typed\nlate\n"


@pytest.mark.parametrize("place", ["1.20"], indirect=True)
async def test_where_nobody_tells_the_streams_apart_all_is_stdout(place: Place) -> None:
    async with gateway(place, "") as client:
        await run(client, PROGRAM)
        assert b"".join(data for name, data in await logs(client) if name == "stdout") == b"o1\ne1\no2\ne2, no end"
        found = await logs(client, stdout="0")
        assert found == []


@pytest.mark.parametrize(
    ("place", "options"),
    [("1.35", ""), ("1.20", "--logs capture"), ("1.35", "--logs capture")],
    indirect=["place"],
)
async def test_a_line_that_is_too_long_breaks_off_the_logs_and_nothing_else(
    place: Place, options: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_lines, "_MAX_LINE", 1000)
    async with gateway(place, options) as client:
        await run(client, f"echo first; sleep 0.5; printf {'x' * 5000} >&2")
        with pytest.raises(trio.BrokenResourceError, match="a line of more than 1000 bytes in a container's logs"):
            await logs(client, tail="5")
        assert (await client.get("containers", "talks"))["State"]["Status"] == "exited"
    assert "logs break off here" in caplog.text
