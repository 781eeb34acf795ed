"""The backend `example`: workloads in memory, each of which says the words of its command."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import trio
from swarmlib import Conflict, Invalid, Message, NotFound, Server, Unsupported, option

__all__ = ["Example"]


@dataclass
class _Workload:
    id: str
    words: list[str]
    status: str = "created"
    ended: trio.Event = field(default_factory=trio.Event)

    @property
    def summary(self) -> dict[str, Any]:
        return {"Id": self.id, "Names": [f"/{self.id[:12]}"], "State": self.status}


@dataclass
class Example(Server):
    """Workloads in memory: each says the words of its `Cmd` and ends; one without any runs until it is stopped."""

    most: int = option("workloads at once, at most", default=1000)

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the workloads. What must be undone when the stage closes goes after the `yield`."""
        self._workloads: dict[str, _Workload] = {}
        yield

    async def ls(self, message: Message) -> list[Any]:
        """The workloads that run; with `all`, every one."""
        if message.path != ("containers",):
            raise self._no_such_place(message)
        return [w.summary for w in self._workloads.values() if message.args.get("all") or w.status == "running"]

    async def get(self, message: Message) -> dict[str, Any]:
        """A workload's state."""
        return self._find(message).summary

    async def spawn(self, message: Message) -> dict[str, Any]:
        """A new workload, from a body such as `{"Cmd": ["hello", "world"]}`."""
        if message.path != ("containers",):
            raise self._no_such_place(message)
        if message.args.get("name"):
            raise Unsupported("a workload of this backend takes no name: it is called by its id")
        if len(self._workloads) >= self.most:
            raise Conflict(f"there are {self.most} workloads already")
        made = _Workload(secrets.token_hex(32), self._words(message.json))
        self._workloads[made.id] = made
        return {"Id": made.id}

    async def start(self, message: Message) -> None:
        """Start a workload."""
        found = self._find(message)
        found.status = "running"
        if found.words:
            self._end(found)

    async def stop(self, message: Message) -> None:
        """Stop a workload."""
        self._end(self._find(message))

    async def rm(self, message: Message) -> None:
        """Remove a workload that doesn't run."""
        found = self._find(message)
        if found.status == "running":
            raise Conflict(f"{found.id} is running: stop it first")
        del self._workloads[found.id]

    async def attach(self, message: Message) -> None:
        """A workload's words, a line each, and its state when it has ended."""
        found = self._find(message)
        if message.ret is None:
            return  # nobody listens
        await message.ret.ack()
        await found.ended.wait()
        for word in found.words:
            await message.ret.log(word.encode(), stream="stdout")
        await message.ret.set(found.summary)

    @staticmethod
    def _end(workload: _Workload) -> None:
        workload.status = "exited"
        workload.ended.set()

    @staticmethod
    def _words(body: Any) -> list[str]:
        """The command. A field that can't be honoured is refused by its name, never ignored."""
        if not isinstance(body, dict):
            raise Invalid("the body of a spawn should be a JSON object")
        fields = cast("dict[str, Any]", body)
        if unknown := [name for name in fields if name not in ("Cmd", "Image")]:
            raise Unsupported(f"a workload of example can't have {', '.join(unknown)}")
        words: Any = fields.get("Cmd") or []
        if not isinstance(words, list) or not all(isinstance(word, str) for word in cast("list[Any]", words)):
            raise Invalid("Cmd should be a list of words")
        return cast("list[str]", words)

    def _find(self, message: Message) -> _Workload:
        if len(message.path) != 2 or message.path[0] != "containers":
            raise self._no_such_place(message)
        found = self._workloads.get(message.path[1])
        if found is None:
            raise NotFound(f"no such workload: {message.path[1]}")
        return found

    @staticmethod
    def _no_such_place(message: Message) -> Unsupported:
        return Unsupported(f"example has no {message.verb} for {'/'.join(message.path) or 'the service'}")
