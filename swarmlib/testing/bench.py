"""The bench that a rule works on: one opening of the backend under test, with the kit's leaf and witnesses."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Unpack

import trio

from ..chain import Chain
from ..client.client import Client
from ..client.handles import Handle
from ..client.keywords import SpawnParams
from ..errors import SwarmError, ungrouped
from ..names import Path
from ..reply_channel import CLEANUP_SECONDS
from ..request import Request, Sender
from ..service import Backend, Server, Source, Unhandled
from ..verbs import Verb
from .asking import Broken, error_of, must, told
from .leaf import REFERENCE, Leaf
from .reference import Reference
from .transcript import Transcript, Witness, WitnessStage

NOSUCH: Final = "swarmlib-nosuch"
"""A name that no object and no place has."""
REFUSALS: Final = frozenset({"not_found", "not_implemented", "invalid", "denied", "too_large"})
"""The errors with which a request can be refused for its content."""


@dataclass(eq=False)
class Subject:
    """The backend under test and how to check it: the arguments of `check_backend`."""

    make: Callable[[], Backend]
    leaf: Leaf | None = None
    over: Reference | None = None
    client: Callable[[], Backend] | None = None
    verbs: frozenset[Verb] | None = None

    @cached_property
    def sample(self) -> Backend:
        """A backend that is inspected, but never opened."""
        return self.make()

    @property
    def is_source(self) -> bool:
        """Whether the backend stands at the head of a chain, and takes no requests."""
        return isinstance(self.sample, Source)

    @cached_property
    def does(self) -> frozenset[Verb]:
        """The verbs that its maker declares; by default all, or a leaf's and a client's own methods."""
        if self.verbs is not None:
            return self.verbs
        answering = self.client() if self.client else self.sample
        if isinstance(answering, Server) and (self.leaf is not None or self.client is not None):
            return frozenset(answering.handlers())
        return frozenset(Verb)

    @property
    def some_verb(self) -> tuple[Verb, Path]:
        """A request that it supports and that changes nothing: about an object that doesn't exist, or a list."""
        place = (self.leaf or REFERENCE).place
        verb = next(verb for verb in (Verb.GET, Verb.LS, *sorted(Verb)) if verb in self.does)
        return verb, place if verb is Verb.LS else (*place, NOSUCH)

    def lacks(self, need: str) -> str | None:
        """Return why a rule with this need does not apply, or None if it does.

        need: a verb, a field of `Leaf`, or one of the words below.
        """
        if need in frozenset(Verb):
            return None if Verb(need) in self.does else f"it does no {need}"
        unless = {
            "reference": (self.leaf is None, "it is a leaf: there is no next stage to watch"),
            "messages": (not self.is_source or self.client, "no client for this source was given"),
            "stage": (not self.is_source, "it is a source"),
            "source": (self.is_source, "it is not a source"),
            "alone": (self.client is None, "it sends requests only for a client"),
            "declared": (self.verbs is not None, "no verbs were declared"),
        }
        if need in unless:
            holds, reason = unless[need]
            return None if holds else reason
        if self.leaf is None:
            return None
        described = getattr(self.leaf, need) is not None
        return self.lacks(Verb.SPAWN) if described else f"its maker describes none (Leaf.{need})"

    @asynccontextmanager
    async def opened(
        self, transcript: Transcript, backend: Backend | None = None, *, held: bool = False
    ) -> AsyncGenerator[Bench]:
        """Open the backend, with witnesses on both sides. The kit's leaf is open as long as the bench; if `held`, it
        answers nothing.
        """
        reference = None if self.leaf else self.over or Reference()
        if reference:
            reference.holds_all = held
        bench = Bench(self, reference, transcript)
        with ungrouped():
            async with trio.open_nursery() as nursery, (reference or _Empty()).open(Unhandled()) as straight:
                await nursery.start(bench.hold_open, backend or self.make())
                async with Chain(self.client() if self.client else _Through(bench)).open() as sender:
                    bench.swarm = Client(Witness(sender, transcript))
                    bench.setup = Client(straight) if reference else bench.swarm
                    async with bench.cleaned_up():
                        yield bench
                bench.closing.set()


class _Empty(Backend):
    """Takes the place of the kit's leaf, where there is none."""

    @asynccontextmanager
    async def open(self, next: Sender, /) -> AsyncGenerator[Sender]:
        yield next


@dataclass
class _Through(Backend):
    """Reaches a backend that is not a source by its own channel."""

    bench: Bench

    @asynccontextmanager
    async def open(self, next: Sender, /) -> AsyncGenerator[Sender]:
        yield self.bench.inlet


@dataclass(eq=False)
class Bench:
    """One opening. A rule's own requests go through `swarm`, its preparations through `setup`, which bypasses the
    backend if possible.
    """

    subject: Subject
    watched: Reference | None
    transcript: Transcript
    swarm: Client = field(init=False)
    setup: Client = field(init=False)
    inlet: Sender = field(init=False)
    """The backend's own channel."""
    closing: trio.Event = field(default_factory=trio.Event)
    _closed: trio.Event = field(default_factory=trio.Event)
    _made: list[Path] = field(default_factory=list[Path])

    @property
    def leaf(self) -> Leaf:
        """The description of the workloads."""
        return self.subject.leaf or REFERENCE

    @property
    def reference(self) -> Reference:
        """The kit's own leaf, for rules that need `reference`."""
        assert self.watched is not None
        return self.watched

    async def hold_open(self, backend: Backend, *, task_status: trio.TaskStatus[None]) -> None:
        """Hold the backend open until it is told to close."""
        behind = () if self.watched is None else (WitnessStage(self.transcript), self.watched)
        try:
            async with Chain(backend, *behind).open() as self.inlet:
                task_status.started()
                await self.closing.wait()
        finally:
            self._closed.set()

    async def close(self) -> float:
        """Close the backend, before anything else is closed, and return how many seconds that took."""
        began = trio.current_time()
        self.closing.set()
        await self._closed.wait()
        return trio.current_time() - began

    # Workloads.

    async def spawned(
        self, kind: str, by: Client | None = None, more: Mapping[str, Any] | None = None, **args: Unpack[SpawnParams]
    ) -> Handle:
        """Make a workload of that kind (`idle`, `talks`, `echoes`), without starting it.

        more: fields that its body has besides.
        """
        body = getattr(self.leaf, kind)
        made = await (by or self.setup).spawn({**body, **more} if more else body, *self.leaf.place, **args)
        self._made.append(made.path)
        return Handle(self.swarm, made.path, made.made)

    async def started(self, kind: str) -> Handle:
        """Make and start a workload of that kind."""
        made = await self.spawned(kind)
        await self.setup.start(*made.path)
        return made

    @asynccontextmanager
    async def cleaned_up(self) -> AsyncGenerator[None]:
        """Remove at the end what was made, as a leaf may be a real engine. One that has closed is opened once more."""
        try:
            yield
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLEANUP_SECONDS):
                if self._closed.is_set() and self.watched is None and self._made:
                    async with Chain(self.subject.make()).open() as sender:
                        await self._remove_all(Client(sender))
                else:
                    await self._remove_all(self.setup)

    async def _remove_all(self, by: Client) -> None:
        for path in self._made:
            for undo in (by.stop, by.rm):
                with suppress(SwarmError):  # the rule has done it already, or has broken the backend
                    await undo(*path)

    # Requests.

    async def error_of(self, verb: Verb, path: Path, like: Request | None = None) -> SwarmError | None:
        """Send a request and return the error that answers it; None if it is acknowledged."""
        return await error_of(self.swarm.sender, verb, path, like)

    async def arrived(self, calls: int) -> None:
        """Wait until `calls` calls are under way in the kit's leaf."""
        with trio.move_on_after(CLEANUP_SECONDS):
            await self.reference.until(lambda: len(self.reference.under_way) >= calls)
            return
        hint = "check a backend that answers itself with `leaf`"
        raise Broken(f"of {calls} calls {len(self.reference.under_way)} reached the next stage; {hint}")

    async def works(self, after: str) -> None:
        """Check that the backend still answers."""
        verb, path = self.subject.some_verb
        with trio.move_on_after(CLEANUP_SECONDS):
            error = await self.error_of(verb, path)
            must(error is None or error.code in REFUSALS, f"{after}, it answers with {told(error)}")
            return
        raise Broken(f"{after}, it does not answer within {CLEANUP_SECONDS:g} s")
