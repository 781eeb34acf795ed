"""The contract of a backend, and the three helper bases that cover nearly all backends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self, TypeAlias

import trio

from .errors import Unsupported
from .options import read_all
from .refusing import as_error, closed, end_dropped, refuse
from .request import Handler, Request, Sender
from .server_inlet import FORWARDED, ServerInlet
from .verbs import Verb

Position: TypeAlias = Literal["first", "between", "last", "anywhere"]


@dataclass(eq=False)
class Backend(ABC):
    """The plug-in: it holds its arguments, and can be opened any number of times at once.

    It is a dataclass without an `__init__` of its own, whose fields are its arguments (see `options`). A declared
    argument may be given as text too: `Balance(["docker unix:///a.sock", Exec()])`.
    """

    position: ClassVar[Position] = "anywhere"
    """Where in a chain it can stand: no stage follows one that is `last`, and one that is `between` needs one."""

    written: tuple[str, int, int] | None = field(default=None, init=False, repr=False, compare=False)
    """The text that its stage was read from, with the beginning and the end of its name there, for errors."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__init__" in vars(cls):
            raise TypeError(f"{cls.__name__} must declare its arguments as fields of a dataclass, without an __init__")

    def __post_init__(self) -> None:
        read_all(self)
        self.check_options()

    def check_options(self) -> None:  # noqa: B027 - most backends have nothing to check
        """Check what the arguments' types do not ensure; override it to raise `Invalid`."""

    async def preflight(self) -> None:  # noqa: B027 - most backends need nothing
        """Find out, without any effect, whether the stage could be opened now; override it if it needs files and such.

        Raises:
            SwarmError: what `open` would raise.
        """

    async def greet(self) -> str:
        """Reach what the stage stands for, and return a phrase about who answered; "" if there is nobody to reach.

        Raises:
            SwarmError: nobody answers.
        """
        return ""

    @property
    def endpoints(self) -> Sequence[str]:
        """The addresses that a source serves, or that another stage connects to, such as unix:///run/docker.sock.

        Raises:
            SwarmError: they can't be known now.
        """
        return ()

    @property
    def name(self) -> str:
        """The backend's name in errors: its class's, in lower case."""
        return type(self).__name__.lower()

    @abstractmethod
    def open(self, next: Sender, /) -> AbstractAsyncContextManager[Sender]:
        """Open a stage: take the channel of the stage after it, and yield the channel of this one.

        Its tasks run in a nursery inside the context, and have ended when the context ends. The stage must not close
        `next`: it belongs to the chain.

        Raises:
            SwarmError: the stage can't be opened (a port in use, material that can't be read).
        """


class _Stage(Backend):
    """What the bases share: each opening makes a new stage from the arguments, so that no two share any state."""

    next: Sender

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Enclose the stage's life; override it to set up this stage's own state, and to clean up after it."""
        yield

    def make_stage(self) -> Self:
        """Return the stage of one opening: a new one, made from the arguments."""
        return replace(self)

    def _bound_to(self, next: Sender) -> Self:
        stage = self.make_stage()
        stage.next = next
        return stage


class Filter(_Stage):
    """A stage that forwards requests, in the sender's own task: no queue, no hop.

    Override `send`; forward with `await self.next.send(request)`, which may return before the answer or after it. What
    `send` raises becomes the `error` reply. A request that it neither answers nor forwards is answered `unavailable`
    when it returns, unless it declares that it keeps the request (`request.keep()`).
    To see or change replies, put a `Tap` around `request.reply`. A class that does not override `send` costs a call
    next to nothing.
    """

    position: ClassVar[Position] = "between"

    async def send(self, request: Request) -> None:
        """Check, change, answer or forward one request."""
        await self.next.send(request)

    @asynccontextmanager
    async def open(self, next: Sender, /) -> AsyncGenerator[Sender]:
        """See `Backend.open`."""
        stage = self._bound_to(next)
        async with stage.lifespan():
            inlet = _PassingInlet(stage) if type(stage).send is Filter.send else _FilterInlet(stage)
            try:
                yield inlet
            finally:
                await inlet.aclose()


class _FilterInlet(trio.abc.SendChannel[Request]):
    """A filter's channel: it turns what `send` raises into the error reply, and refuses once the stage is closed."""

    def __init__(self, stage: Filter) -> None:
        self._stage = stage
        self._send = stage.send
        self._closed = False

    async def send(self, value: Request) -> None:
        if self._closed:
            await refuse(value, closed(self._stage.name))
            return
        reply = value.reply
        reply.pass_to(self)
        try:
            await self._send(value)
        except Exception as exc:  # noqa: BLE001 - the contract: whatever happens, the caller is answered
            await refuse(value, as_error(exc, self._stage.name, value))
        else:
            if reply.is_with(self):
                await end_dropped(value, self._stage.name)

    async def aclose(self) -> None:
        self._closed = True


class _PassingInlet(trio.abc.SendChannel[Request]):
    """The channel of a filter that forwards every request as it is. Until the stage is closed, its `send` is that of
    the next stage's channel, since one of its own would cost each call.
    """

    def __init__(self, stage: Filter) -> None:
        self._stage = stage
        self.send = stage.next.send  # type: ignore[method-assign]

    async def send(self, value: Request) -> None:
        """Refuse the request: the stage is closed."""
        await refuse(value, closed(self._stage.name))

    async def aclose(self) -> None:
        vars(self).pop("send", None)


class Server(_Stage):
    """A stage that answers: one async method per verb. Each request is handled in a task of its own, or in its sender's
    if that waits for the call anyway.

    The value that a method returns is the answer (of `spawn` in the `ack`, of the others in a `set` before it). If it
    returns None, the request is acknowledged, unless the method has replied itself. Verbs without a method go to
    `next`. When the caller goes away or the deadline passes, the method is cancelled.
    """

    max_calls: ClassVar[int] = 10_000
    """The most calls under way at once; further senders wait."""

    inlet: Sender
    """This stage's own channel, for an answer that needs several of its verbs."""

    take_up: Callable[[Handler, Request], Awaitable[None]]
    """Handles a request that was forwarded and came back as if it had just arrived, in a task of its own."""

    _by_verb: Mapping[Verb, Handler]

    @asynccontextmanager
    async def open(self, next: Sender, /) -> AsyncGenerator[Sender]:
        """See `Backend.open`."""
        stage = self._bound_to(next)
        stage._by_verb = stage.handlers()
        async with stage.lifespan(), trio.open_nursery() as nursery:
            inlet = stage.inlet = ServerInlet(lambda: stage.name, stage.choose, stage.next, stage.max_calls, nursery)
            stage.take_up = inlet.take_up
            try:
                yield inlet
            finally:
                await inlet.aclose()
                nursery.cancel_scope.cancel()

    @staticmethod
    async def forward(request: Request, to: Sender) -> Any:
        """Forward a request to another channel, which answers it: `return await self.forward(request, to)`."""
        await to.send(request)
        return FORWARDED

    def handlers(self) -> Mapping[Verb, Handler]:
        """Return the methods by the verb that they are named for."""
        return {verb: getattr(self, verb.value) for verb in Verb if hasattr(self, verb.value)}

    def choose(self, request: Request) -> Handler | None:
        """Return the handler of a request, or None to forward it to `next`. Called as requests arrive, in that order.

        By default it is the verb's method. Override it in a stage that handles only some requests: the others cost
        neither a task nor a hop.
        """
        return self._by_verb.get(request.verb)


class Source(_Stage):
    """A stage at the head of a chain: it takes no requests, and sends its own to `next`."""

    position: ClassVar[Position] = "first"

    def invitation(self, address: str) -> str:
        """Return a line about who can use the server at `address`, and how."""
        return f"{self.name} serves {address}"

    @abstractmethod
    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Send to `self.next` until cancelled; call `task_status.started()` once ready (sockets bound)."""

    @asynccontextmanager
    async def open(self, next: Sender, /) -> AsyncGenerator[Sender]:
        """See `Backend.open`."""
        stage = self._bound_to(next)
        async with stage.lifespan(), trio.open_nursery() as nursery:
            await nursery.start(stage.run)
            try:
                yield _SourceInlet(stage.name)
            finally:
                nursery.cancel_scope.cancel()


class _SourceInlet(trio.abc.SendChannel[Request]):
    def __init__(self, name: str) -> None:
        self._name = name

    async def send(self, value: Request) -> None:
        await refuse(value, Unsupported(f"{self._name} does not take requests: it is a source"))

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""


class Unhandled(trio.abc.SendChannel[Request]):
    """Stands after the last stage, and answers every request `not_implemented`."""

    async def send(self, value: Request) -> None:
        """Answer `value`."""
        where = f" for {'/'.join(value.path)}" if value.path else ""
        await refuse(
            value, Unsupported(f"{value.verb}{where} is not supported by any backend of this chain", path=value.path)
        )

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""
