"""A small service for tests of clients outside of its loop: any thread can see what happens in it."""

import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import trio
from trio.testing import MemoryReceiveStream, memory_stream_pair

from swarmlib import NotFound, Request, Server


def python(program: str, warnings: str = "error") -> str:
    """What a program prints, in an interpreter of its own, that ends well."""
    run = [sys.executable, "-W", warnings, "-c", program]
    done = subprocess.run(run, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


CLOSING = """
from contextlib import asynccontextmanager
from swarmlib import Server, aio, sync

class Stage(Server):
    @asynccontextmanager
    async def lifespan(self):
        yield
        print("closed")

    async def ls(self, message):
        return []
"""
"""The beginning of such a program: a stage that says when it is closed."""


@dataclass(eq=False)
class Desk(Server):
    """Things by name; `told` says what began and ended."""

    told: SimpleQueue[str] = field(default_factory=SimpleQueue)

    def seen(self) -> str:
        """The next thing that happened."""
        return self.told.get(timeout=20)

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        self.things: dict[str, Any] = {}
        self.news = trio.Event()
        async with trio.open_nursery() as self.nursery:
            self.told.put("open")
            try:
                yield
            finally:
                self.told.put("closed")
                self.nursery.cancel_scope.cancel()

    async def ls(self, request: Request) -> list[Any]:
        return [{"Id": name} for name in self.things]

    async def get(self, request: Request) -> Any:
        name = request.path[-1]
        if name == "deadline":
            return request.deadline - trio.current_time()
        if name == "never":
            await self.forever("never")
        if name not in self.things:
            raise NotFound(f"no {name}")
        return self.things[name]

    async def forever(self, what: str) -> None:
        self.told.put(what)
        try:
            await trio.sleep_forever()
        finally:
            self.told.put(f"{what} ended")

    async def spawn(self, request: Request) -> Any:
        name = str(request.params.get("name") or request.json["Name"])
        self.things[name] = request.json
        self.news.set()
        self.news = trio.Event()
        return {"Id": name}

    async def start(self, request: Request) -> None:
        """Break."""

        async def fail() -> None:
            raise NotFound("the desk broke")

        self.nursery.start_soon(fail)

    async def watch(self, request: Request) -> None:
        await request.reply.ack()
        known = 0
        self.told.put("watched")
        try:
            while True:
                for name in list(self.things)[known:]:
                    await request.reply.set({"Action": name})
                known = len(self.things)
                await self.news.wait()
        finally:
            self.told.put("watched ended")

    async def attach(self, request: Request) -> None:
        await request.reply.ack()
        await request.reply.log(b"a line")
        await request.reply.set({"ExitCode": 3})

    async def connect(self, request: Request) -> None:
        """An echo; `broken` is one that goes away when it is spoken to."""
        near, far = memory_stream_pair()
        self.nursery.start_soon(self.echo, far, request.path[-1] == "broken")
        await request.reply.ack(stream=near)

    async def echo(self, stream: trio.StapledStream[Any, Any], broken: bool) -> None:
        with suppress(trio.BrokenResourceError):
            async with stream:
                async for part in stream:
                    if broken:
                        return
                    await stream.send_all(part)
                await stream.send_eof()
        self.told.put("echo ended")

    async def file(self, request: Request) -> None:
        if request.upload is not None:
            async with request.upload:
                self.things["tar"] = b"".join([bytes(part) async for part in request.upload]).decode()
        else:
            tar = MemoryReceiveStream()
            tar.put_data(b"first\nsecond\n")
            tar.put_eof()
            await request.reply.ack(stream=tar)
