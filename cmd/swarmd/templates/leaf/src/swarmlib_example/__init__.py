"""The backend `example`: workloads in memory, each of which says the words of its command."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import trio
from swarmlib import Conflict, Invalid, Request, NotFound, Server, Unsupported, option

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

    async def ls(self, request: Request) -> list[Any]:
        """The workloads that run; with `all`, every one."""
        if request.path != ("containers",):
            raise self._no_such_place(request)
        return [w.summary for w in self._workloads.values() if request.params.get("all") or w.status == "running"]

    async def get(self, request: Request) -> dict[str, Any]:
        """A workload's state."""
        return self._find(request).summary

    async def spawn(self, request: Request) -> dict[str, Any]:
        """A new workload, from a body such as `{"Cmd": ["hello", "world"]}`."""
        if request.path != ("containers",):
            raise self._no_such_place(request)
        if request.params.get("name"):
            raise Unsupported("a workload of this backend takes no name: it is called by its id")
        if len(self._workloads) >= self.most:
            raise Conflict(f"there are {self.most} workloads already")
        made = _Workload(secrets.token_hex(32), self._words(request.json))
        self._workloads[made.id] = made
        return {"Id": made.id}

    async def start(self, request: Request) -> None:
        """Start a workload."""
        found = self._find(request)
        found.status = "running"
        if found.words:
            self._end(found)

    async def stop(self, request: Request) -> None:
        """Stop a workload."""
        self._end(self._find(request))

    async def rm(self, request: Request) -> None:
        """Remove a workload that doesn't run."""
        found = self._find(request)
        if found.status == "running":
            raise Conflict(f"{found.id} is running: stop it first")
        del self._workloads[found.id]

    async def attach(self, request: Request) -> None:
        """A workload's words, a line each, and its state when it has ended."""
        found = self._find(request)
        await request.reply.ack()
        await found.ended.wait()
        for word in found.words:
            await request.reply.log(word.encode(), details={"stream": "stdout"})
        await request.reply.set(found.summary)

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

    def _find(self, request: Request) -> _Workload:
        if len(request.path) != 2 or request.path[0] != "containers":
            raise self._no_such_place(request)
        found = self._workloads.get(request.path[1])
        if found is None:
            raise NotFound(f"no such workload: {request.path[1]}")
        return found

    @staticmethod
    def _no_such_place(request: Request) -> Unsupported:
        return Unsupported(f"example has no {request.verb} for {'/'.join(request.path) or 'the service'}")
