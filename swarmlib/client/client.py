"""The verbs as methods: a program that uses a chain calls these instead of handling requests and replies."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Unpack, overload

from ..chain import Chain, Stages
from ..verbs import Verb
from .caller import WORKLOADS, Caller, named
from .handles import Attachment, Handle, Workload, attached, spawned
from .images import repository_and_tag, with_credentials
from .keywords import ContainerFields, SpawnParams
from .limits import within
from .objects import Finished
from .parameters import container_fields, parameters
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

    Keywords are the Engine API's query parameters, with underscores for hyphens, and may be Python values:
    `swarm.ls(all=True, filters={"label": "tier=web"})`. One that the operation does not have is a TypeError. (An
    operation that is not the Engine API's takes its parameters by `call`.) Listed objects and events are records
    (`Record`): the Engine API's own JSON, with attributes.

    Every method raises the error of an `error` reply (a `SwarmError` of the class of its code). A cancelled call is
    cancelled in every stage; a deadline around it (`trio.fail_after`) travels with it. With `timeout`, in seconds, a
    call that takes longer is cancelled, and raises `TimedOut`.
    """

    @overload
    async def spawn(
        self, value: Any = None, /, *, timeout: float | None = None, **params: Unpack[SpawnParams]
    ) -> Workload: ...
    @overload
    async def spawn(
        self, value: Any, /, *words: str, timeout: float | None = None, **params: Unpack[SpawnParams]
    ) -> Handle: ...
    async def spawn(
        self, value: Any = None, /, *words: str, timeout: float | None = None, **params: Unpack[SpawnParams]
    ) -> Handle:
        """Make an object in a place (by default a workload) from its description, and return a handle to it."""
        return await spawned(self, words or WORKLOADS, value, params, timeout=timeout)

    def workload(self, name: str) -> Workload:
        """Return a handle to a workload, by its id, name or unique id prefix. No request is sent: it may not exist."""
        return Workload(self, (*WORKLOADS, name))

    def attach(self, /, *words: str) -> AbstractAsyncContextManager[Attachment]:
        """Open a conversation with an object, until either side ends it; one word is a workload's name."""
        return attached(self, named(words))

    async def pull(
        self,
        image: str,
        *,
        platform: str = "",
        credentials: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Have the service fetch an image from its registry.

        image: its reference; `latest` is meant where it has no tag and no digest. platform: such as `linux/arm64`; by
        default the service's own. credentials: for the registry, such as `{"username": "me", "password": "secret"}`.

        Raises:
            SwarmError: the registry does not have the image, refuses it, or can't be reached.
        """
        repository, tag = repository_and_tag(image)
        asked = {"fromImage": repository, "tag": tag, **({"platform": platform} if platform else {})}
        params = parameters(Verb.SPAWN, ("images",), asked)
        await self.call(Verb.SPAWN, ("images",), params=params, meta=with_credentials(credentials), timeout=timeout)

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
        timeout: float | None = None,
        **config: Unpack[ContainerFields],
    ) -> Finished:
        """Run a workload to its end, remove it whatever happens, and return its output and exit code.

        command: words, or text that is split as a shell would; by default the image's own. stdin: all of its input;
        None for no input at all. env: variables. check: raise if it fails. config: more of the Engine API's container,
        such as `User="nobody"`, `HostConfig={"Memory": 1 << 26}`. Its output is held in memory. When this is cancelled,
        or the time is up, the workload is ended and removed.

        Raises:
            Failed: with `check`, it ended with another code than 0.
            NotFound: the service doesn't have the image.
            TimedOut: the time is up, or the workload could not be removed within `CLEANUP_SECONDS`.
        """
        fields = container_fields(config)
        with within(timeout):
            finished = await run(self, image, command, stdin=stdin, env=env, name=name, config=fields)
            return finished.check() if check else finished
