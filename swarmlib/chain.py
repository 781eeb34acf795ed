"""A chain: backends in a row, opened from right to left and closed from left to right."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from itertools import pairwise
from typing import Annotated, Any, TypeAlias, cast

import trio

from . import observing, registry
from .binding import build, stage
from .errors import Invalid, SwarmError, ungrouped
from .grammar import ChainSyntaxError, ChainText, parse
from .observing import Observer
from .options import Reader
from .reply_channel import CLEANUP_SECONDS
from .request import Sender
from .service import Backend, Unhandled

_ADDRESS = re.compile(r"[a-z]+://")
_place: ContextVar[tuple[str, int]] = ContextVar("place", default=("", 0))


def place() -> tuple[str, int]:
    """Return where the stage stands that is being opened: the labels of the chains that it is in, joined by `/`, and
    its number in the innermost one, from 1.
    """
    return _place.get()


class Chain:
    """Backends in a row. Opening it any number of times gives chains that share nothing.

    >>> Chain.read("debug | exec")
    <Chain debug | exec>
    """

    def __init__(self, *stages: Stages, label: str = "") -> None:
        """Make a chain of backends, other chains and their texts: `Chain("debug", Docker("unix:///a.sock"))`.

        Raises:
            Invalid: no stage is given; otherwise as `read`.
        """
        _refuse_split(stages)
        self.backends: tuple[Backend, ...] = tuple(backend for each in stages for backend in _backends(each))
        self.label = label
        if not self.backends:
            raise Invalid("a chain needs at least one backend")

    def __repr__(self) -> str:
        stages = " | ".join(backend.name for backend in self.backends)
        return f"<Chain {self.label}={stages}>" if self.label else f"<Chain {stages}>"

    @property
    def name(self) -> str:
        """Its label, else the names of its backends, for errors and for people."""
        return self.label or " | ".join(backend.name for backend in self.backends)

    @classmethod
    def read(cls, source: Stages | ChainText | Sequence[Any]) -> Chain:
        """Read a chain from its text, its tree, a backend, or a list of tables (`{"backend": "debug", "json": true}`).

        Raises:
            ChainSyntaxError: the text isn't a chain, or an argument is wrong; the error points at the place.
            Invalid: a table is wrong; the error names the key.
            Internal: a backend's package can't be imported.
        """
        if isinstance(source, Chain):
            return source
        if isinstance(source, Backend):
            return cls(source)
        if isinstance(source, str):
            source = parse(source)
        if isinstance(source, ChainText):
            text = source.source
            return cls(*(stage(each.name, each.arguments, text) for each in source.stages), label=source.label)
        if not isinstance(source, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance] - from untyped code
            raise Invalid(f"invalid chain {source!r}: expected backends, chains or text")
        return cls(*(_from_table(table) for table in source))

    @asynccontextmanager
    async def open(self, next: Sender | None = None, *, observer: Observer | None = None) -> AsyncGenerator[Sender]:
        """Open every stage, the last one first, and yield the channel of the first, which is also the first to close.

        A stage has `CLEANUP_SECONDS` to close before it is cancelled, also when the caller itself is cancelled.
        `next` follows the last stage; by default a request that reaches it is answered `not_implemented`.
        `observer` observes the stages; by default that of the stage which opens the chain, if it is observed.

        Raises:
            SwarmError: a stage can't be opened, or failed while open (the body is cancelled then).
        """
        async with opened(self.stages(observer or observing.here.get()), next or Unhandled()) as sender:
            yield sender

    def stages(self, observer: Observer | None) -> Sequence[OpenStage]:
        """Return the stages, of which none is open yet, for whoever opens them one by one."""
        observers = [None] * len(self.backends) if observer is None else observer.chain(self.label, self.backends)
        places = enumerate(zip(self.backends, observers, strict=True), 1)
        return [OpenStage(backend, each, self.label, number) for number, (backend, each) in places]


Stages: TypeAlias = Annotated[str | Backend | Chain, Reader(Chain.read)]
"""What a chain can be made of: a backend, a chain, or its text."""


def _refuse_split(stages: Sequence[Stages]) -> None:
    """Refuse an argument of a stage that stands as a stage of its own: a shell splits what has no quotes."""
    for before, each in pairwise(stages):
        if isinstance(before, str) and isinstance(each, str) and _belongs(each, before):
            problem = f"a stage and its arguments stand in the same quotes: '{before} {each}'"
            raise ChainSyntaxError(problem, each, 0, len(each))


def _belongs(text: str, before: str) -> bool:
    """Whether a text is an argument of the stage before it: an option, or the address that this one lacks."""
    if not _ADDRESS.match(text):
        return text.startswith("-")
    try:
        Chain.read(before)
    except ChainSyntaxError:
        return True
    return False


def _backends(stages: Stages) -> Sequence[Backend]:
    return (stages,) if isinstance(stages, Backend) else Chain.read(stages).backends


class OpenStage:
    """A stage in a task of its own, so that closing it can have a deadline of its own.

    Opening can be cancelled. Once open, the stage is shielded from whatever cancels the chain's user: it ends when its
    turn to close comes.
    """

    def __init__(self, backend: Backend, observer: Observer | None, label: str, number: int) -> None:
        self.backend = backend
        self._observer = observer
        self._label, self._number = label, number
        self._begun = False
        self._scope = trio.CancelScope()
        self._closing = trio.Event()
        self._closed = trio.Event()

    async def open(self, next: Sender, nursery: trio.Nursery) -> Sender:
        """Open the stage in a task of `nursery`, and return its channel.

        Raises:
            SwarmError: it can't be opened. If it fails later, its task does.
        """
        self.sender = cast("Sender", await nursery.start(self._run, next))
        self._scope.shield = True
        return self.sender

    async def _run(self, next: Sender, *, task_status: trio.TaskStatus[Sender]) -> None:
        self._begun = True
        _place.set(("/".join(filter(None, (place()[0], self._label))), self._number))
        if self._observer is not None:
            observing.here.set(self._observer)  # for this task, and those that the stage starts
        try:
            with self._scope, ungrouped():
                async with self.backend.open(next) as sender:
                    task_status.started(sender if self._observer is None else self._observer.inlet(sender))
                    await self._closing.wait()
        except SwarmError as exc:
            exc.backend = exc.backend or self.backend.name
            raise
        finally:
            self._closed.set()

    async def close(self) -> None:
        """Close the stage, within `CLEANUP_SECONDS`, if it was opened. May be called twice."""
        if self._begun:
            self._closing.set()
            self._scope.deadline = min(self._scope.deadline, trio.current_time() + CLEANUP_SECONDS)
            with trio.CancelScope(shield=True):  # bounded by the deadline just set
                await self._closed.wait()
        if self._observer is not None:
            self._observer.closed()
            self._observer = None


@asynccontextmanager
async def opened(stages: Sequence[OpenStage], next: Sender) -> AsyncGenerator[Sender]:
    """Open stages in front of `next`, the last one first, and yield the channel of the first, which closes first.

    Raises:
        SwarmError: one can't be opened, or failed while open (the body is cancelled then).
    """
    sender = next
    with ungrouped():
        async with trio.open_nursery() as nursery:
            try:
                for stage in reversed(stages):
                    sender = await stage.open(sender, nursery)
                yield sender
            finally:
                for stage in stages:
                    await stage.close()


def _from_table(table: Any) -> Backend:
    if isinstance(table, Backend):
        return table
    if not isinstance(table, Mapping):
        raise Invalid(f"invalid stage {table!r}: expected a table with backend = …")
    values = dict(cast("Mapping[str, Any]", table))
    name = values.pop("backend", None)
    if not isinstance(name, str):
        raise Invalid(f'invalid stage: expected a table with backend = "…", found {", ".join(values) or "nothing"}')
    try:
        return build(name, registry.find(name), values)
    except SwarmError as exc:
        raise Invalid(exc.message) from exc
