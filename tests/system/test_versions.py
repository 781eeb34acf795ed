"""API versions bridged: real engines of which one seems older or newer, and the real docker CLI over both."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import trio

from swarmlib import Ack, Chain, Filter, Invalid, Json, Meta, Reply, Request, Set, Tap, Verb
from swarmlib.asking import call
from swarmlib_backends.balance import Balance
from swarmlib_backends.balance.versions import common
from swarmlib_backends.docker import Docker
from swarmlib_backends.dockerapi.versions import Range, parsed
from swarmlib_backends.dockerserver import DockerServer
from tests.support.engines import Engine, docker, free_port

REAL = "1.41"


@dataclass
class Speaks(Filter):
    """Makes an engine one of another range of API versions, which refuses all others in an engine's words."""

    oldest: str
    newest: str

    async def send(self, request: Request) -> None:
        if request.meta.version:
            Range(parsed(self.oldest), parsed(self.newest)).check(parsed(request.meta.version))
            request = request.replace(meta=request.meta.replace(version=REAL))
        if request.path[:1] in (("ping",), ("version",)):
            request = request.replace(reply=Tap(request.reply, self._disguised))
        await self.next.send(request)

    def _disguised(self, reply: Reply) -> Reply:
        if not isinstance(reply, Ack | Set):
            return reply
        if isinstance(reply.value, Json) and reply.value.raw.startswith(b"{"):
            about = reply.json | {"ApiVersion": self.newest, "MinAPIVersion": self.oldest}
            reply = reply.replace(value=Json.from_data(about))
        headers = [
            (name, self.newest.encode() if name == b"Api-Version" else value)
            for name, value in reply.details.get("headers", ())
        ]
        return reply.replace(details={**reply.details, "headers": headers})


@asynccontextmanager
async def over(engines: tuple[Engine, Engine], disguise: Speaks) -> AsyncGenerator[str]:
    """A gateway over an engine as it is, and one in disguise; gives its address."""
    address = f"tcp://127.0.0.1:{free_port()}"
    members = [Chain(Docker(engines[0].host)), Chain(disguise, Docker(engines[1].host))]
    async with Chain(DockerServer([address]), Balance(members)).open():
        yield address


async def cli(host: str, *args: str) -> str:
    done = await trio.to_thread.run_sync(partial(docker, host, *args))
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


@pytest.mark.engine
@pytest.mark.parametrize(
    ("oldest", "newest", "advertised"),
    [
        ("1.24", "1.40", "1.40 1.24"),
        ("1.30", "1.50", "1.41 1.30"),
        ("1.44", "1.52", "1.41 1.41"),  # no version in common
    ],
)
async def test_the_cli_works_on_both_engines(
    oldest: str, newest: str, advertised: str, engines: tuple[Engine, Engine]
) -> None:
    async with over(engines, Speaks(oldest, newest)) as host:
        shown = await cli(host, "version", "-f", "{{.Server.APIVersion}} {{.Server.MinAPIVersion}}")
        assert shown == advertised
        try:
            for name in ("one", "two"):
                assert await cli(host, "run", "-d", "--name", name, "busybox", "sleep", "1000")
            assert set((await cli(host, "ps", "--format", "{{.Names}}")).split()) == {"one", "two"}
            assert [await cli(each.host, "ps", "-q") != "" for each in engines] == [True, True]
            for name in ("one", "two"):
                assert await cli(host, "exec", name, "echo", "hello") == "hello"
        finally:
            await cli(host, "rm", "-f", "one", "two")


@pytest.mark.engine
async def test_a_version_that_is_not_advertised_is_refused_in_dockers_words(engines: tuple[Engine, Engine]) -> None:
    members = [Chain(Docker(engines[0].host)), Chain(Speaks("1.30", "1.40"), Docker(engines[1].host))]
    async with Chain(Balance(members)).open() as sender:

        async def ask(version: str) -> Any:
            return (await call(sender, Request(Verb.LS, ("containers",), meta=Meta(version=version)))).value

        assert await ask("1.40") == []
        with pytest.raises(Invalid, match=r"client version 1\.41 is too new\. Maximum supported API version is 1\.40"):
            await ask("1.41")
        with pytest.raises(Invalid, match=r"client version 1\.29 is too old\. Minimum supported API version is 1\.30"):
            await ask("1.29")
        with pytest.raises(Invalid, match=r"'1\.x' is not an API version"):
            await ask("1.x")


def test_what_is_advertised() -> None:
    def ranged(oldest: str, newest: str) -> Range:
        return Range(parsed(oldest), parsed(newest))

    assert common([ranged("1.24", "1.41")]) == ranged("1.24", "1.41")
    assert common([ranged("1.24", "1.41"), ranged("1.12", "1.9")]) == ranged("1.9", "1.9")
    assert ranged("1.24", "1.41").nearest((1, 9)) == (1, 24)
    assert ranged("1.24", "1.41").nearest((1, 50)) == (1, 41)
