"""The verbs as methods: a program that uses a chain calls these instead of handling requests and replies."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, overload

from ..chain import Chain, Stages
from .caller import WORKLOADS, Caller, named
from .handles import Attachment, Handle, Workload, attached, spawned
from .objects import Finished
from .parameters import Param
from .run import run


@asynccontextmanager
async def connect(*stages: Stages) -> AsyncGenerator[Client]:
    """Open a chain (its text, a `Chain`, or its stages) and yield a client of it; leaving the context closes the chain.

    Raises:
        ChainSyntaxError: the text isn't a chain; the error points at the place.
        SwarmError: a stage can't be opened.
    """
    async with Chain(*stages).open() as sender:
        yield Client(sender)


class Client(Caller):
    """Typed verbs over a sender. Paths are given as words: `swarm.get("containers", "web")`.

    Keywords are the Engine API's query parameters, and may be Python values: `swarm.ls(all=True, filters={"label":
    "tier=web"})`. Listed objects and events are records (`Record`): mappings of the Engine API's own JSON.

    Every method raises the error of an `error` reply (a `SwarmError` of the class of its code). A cancelled call is
    cancelled in every stage; a deadline around it (`trio.fail_after`) travels with it.
    """

    @overload
    async def spawn(self, value: Any = None, /, **params: Param) -> Workload: ...
    @overload
    async def spawn(self, value: Any, /, *path: str, **params: Param) -> Handle: ...
    async def spawn(self, value: Any = None, /, *path: str, **params: Param) -> Handle:
        """Make an object in `path` (by default a workload) from its description, and return a handle to it."""
        return await spawned(self, path or WORKLOADS, value, params)

    def workload(self, name: str) -> Workload:
        """Return a handle to a workload, by its id, name or unique id prefix. No request is sent: it may not exist."""
        return Workload(self, (*WORKLOADS, name))

    def attach(self, /, *path: str, **params: Param) -> AbstractAsyncContextManager[Attachment]:
        """Open a conversation with an object, until either side ends it; one word is a workload's name."""
        return attached(self, named(path), params)

    async def run(
        self,
        /,
        image: str,
        command: str | Sequence[str] = (),
        *,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        name: str = "",
        check: bool = False,
        **config: Param,
    ) -> Finished:
        """Run a workload to its end, remove it whatever happens, and return its output and exit code.

        command: words, or text that is split as a shell would; by default the image's own. stdin: all of its input;
        None for no input at all. env: variables. check: raise if it fails. config: more of the Engine API's container,
        such as `User="nobody"`, `HostConfig={"Memory": 1 << 26}`. Its output is held in memory. When this is cancelled,
        the workload is ended and removed.

        Raises:
            Failed: with `check`, it ended with another code than 0.
            NotFound: the service doesn't have the image.
            TimedOut: the workload could not be removed within `CLEANUP_SECONDS`.
        """
        finished = await run(self, image, command, stdin=stdin, env=env, name=name, config=config)
        return finished.check() if check else finished
