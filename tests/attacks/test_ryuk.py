"""Whoever connects to the simulator's Ryuk may do nothing but name what is to be removed, and harms no other client."""

import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from socket import SO_LINGER, SOL_SOCKET

import pytest
import trio

from swarmlib_backends.simulator import ryuk as program
from tests.backends.simulator.test_simulator import body
from tests.support.ryuk import ACK, Ryuk, ask, ryuk

LINE = b"label=a%3Db\n"


@asynccontextmanager
async def beside_another(running: Ryuk) -> AsyncGenerator[trio.SocketStream]:
    """A connection to attack with, beside one that must not feel it; Ryuk itself must not, either."""
    async with await running.connect() as other, await running.connect() as stream:
        assert await ask(other, LINE) == ACK
        yield stream
        assert await ask(other, b"label=c%3Dd\n") == ACK
        assert (await running.state())["Running"]


async def acknowledged(stream: trio.SocketStream, data: bytes) -> bytes:
    """What is answered to bytes that may be many, until the connection ends."""
    answers = bytearray()

    async def send() -> None:
        try:
            await stream.send_all(data)
            await stream.send_eof()
        except trio.BrokenResourceError:
            pass  # it was ended before

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        try:
            async for part in stream:
                answers += part
        except trio.BrokenResourceError:
            pass
    return bytes(answers)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
async def test_a_line_that_is_too_long_ends_its_own_connection(end: bytes) -> None:
    async with ryuk() as running, beside_another(running) as stream:
        assert await acknowledged(stream, LINE + b"label=" + b"x" * (1 << 20) + end) in (ACK, b"")
        assert "label=" not in "".join(await running.until_said("a line is over"))


async def test_a_line_without_an_end_counts() -> None:
    async with ryuk() as running, beside_another(running) as stream:
        assert await acknowledged(stream, LINE + b"\n\r\n" + b"label=no%20end") == 2 * ACK
        assert 'Adding {"label":["no end"]}' in await running.until_said("no end")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"label=%zz", "invalid URL escape '%zz'"),
        (b"label=\xff", "a filter should be UTF-8"),
        (b"label=%ff", "a filter should be UTF-8"),
        (b"label=a;name=b", "invalid semicolon separator"),
        (b":label=a", None),
        (b"&&", "fit everything"),
        (b"=a", "fit everything"),
        (b"\0", None),
        (b"GET / HTTP/1.1", None),
        (b"label=x%0A2026/01/01 00:00:00 Removed", None),
    ],
)
async def test_what_is_no_filter_removes_nothing(line: bytes, problem: str | None) -> None:
    async with ryuk() as running:
        made = await running.client.spawn(body("sleep", "1000"), name="box")
        await made.start()
        async with beside_another(running) as stream:
            assert await ask(stream, line + b"\n") == ACK
        if problem is not None:
            await running.until_said(problem)
        await running.until_said("Client disconnected", 2)
        await trio.testing.wait_all_tasks_blocked()
        await running.clock.advance(11)
        said = await running.until_said("Removed ")
        assert said[-1].startswith("Removed 0 container(s), 0 network(s), 0 volume(s), 0 image(s)")
        assert await running.client.ls()


async def test_too_many_filters_end_the_connection_that_adds_them() -> None:
    lines = b"".join(b"label=%d\n" % number for number in range(2 * program._MAX_FILTERS))
    async with ryuk() as running:
        async with await running.connect() as other, await running.connect() as stream:
            assert await ask(other, LINE) == ACK
            assert (await acknowledged(stream, lines)).count(ACK) <= program._MAX_FILTERS
            assert await ask(other, LINE) == ACK, "what is known already is no more"
        await running.until_said(f"there are over {program._MAX_FILTERS} filters")


async def test_too_many_clients_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_MAX_CLIENTS", 3)
    async with ryuk() as running, beside_another(running), await running.connect() as third:
        assert await ask(third, LINE) == ACK
        async with await running.connect() as fourth:
            assert await ask(fourth, LINE) == b""
        await third.aclose()
        await running.until_said("Client disconnected")
        async with await running.connect() as fourth:
            assert await ask(fourth, LINE) == ACK


async def test_a_connection_that_is_reset_is_one_that_has_ended() -> None:
    async with ryuk() as running, beside_another(running) as stream:
        await stream.send_all(LINE * 100)
        stream.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()
        await running.until_said("Client disconnected")
