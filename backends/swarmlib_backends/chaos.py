"""`chaos`: the faults of real networks and engines, at random, and the same ones each time for the same seed."""

from __future__ import annotations

import itertools
import logging
import math
import random
import re
import secrets
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, Self, TypeAlias

import trio

from swarmlib import (
    ERRORS,
    UNSENT,
    Ack,
    Handler,
    Invalid,
    Reply,
    ReplySender,
    Request,
    Server,
    Unavailable,
    ask,
    discard,
    option,
)
from swarmlib.quantities import ByteRate, Rate, seconds
from swarmlib.reply import FINAL
from swarmlib.suggestions import nearest

from .calls import forward, relay_replies
from .patterns import Judge, Rule, fitting
from .stream_wrappers import StreamWrapper

_log = logging.getLogger(__name__)
_Draw: TypeAlias = Callable[[random.Random], float]

_MEAN_CUT_BYTES: Final = 16 * 1024
_MEAN_CUT_REPLIES: Final = 3
_PIECE_SECONDS: Final = 0.05
_MAX_PIECE: Final = 256 * 1024
_MAX_SIGMA: Final = 10
"""With a larger sigma, a lognormal distribution reaches times that no float can hold."""


@dataclass(frozen=True)
class Latency:
    """How long messages are delayed: a distribution of seconds."""

    draw: _Draw
    text: str

    @classmethod
    def read(cls, text: object) -> Self:
        """Read one of the forms that the docstring of `Chaos` lists.

        Raises:
            ValueError: the text has none of these forms.
        """
        given = str(text)
        try:
            return cls(_distribution(given), given)
        except (ValueError, KeyError, TypeError, ZeroDivisionError) as exc:
            forms = "50ms, 50ms±20ms, uniform(10ms,90ms), normal(50ms,20ms), lognormal(50ms,0.5) or exponential(50ms)"
            raise ValueError(f"invalid latency {given!r}: expected a form such as {forms}") from exc

    def __str__(self) -> str:
        return self.text


def _distribution(text: str) -> _Draw:
    if function := _FUNCTION.fullmatch(text):
        return _DISTRIBUTIONS[function[1]](*(part.strip() for part in function[2].split(",")))
    middle, _, spread = text.replace("+-", "±").partition("±")
    around, either = seconds(middle), seconds(spread or "0")
    return lambda chance: chance.uniform(around - either, around + either)


def _uniform(least: str, most: str) -> _Draw:
    bounds = seconds(least), seconds(most)
    return lambda chance: chance.uniform(*bounds)


def _normal(mean: str, deviation: str) -> _Draw:
    parameters = seconds(mean), seconds(deviation)
    return lambda chance: chance.normalvariate(*parameters)


def _lognormal(median: str, sigma: str) -> _Draw:
    parameters = math.log(seconds(median)), float(sigma)
    if not 0 <= parameters[1] <= _MAX_SIGMA:
        raise ValueError(f"sigma must be from 0 to {_MAX_SIGMA}")
    return lambda chance: chance.lognormvariate(*parameters)


def _exponential(mean: str) -> _Draw:
    rate = 1 / seconds(mean)
    return lambda chance: chance.expovariate(rate)


_FUNCTION: Final = re.compile(r"\s*(\w+)\((.*)\)\s*")
_DISTRIBUTIONS: Final[dict[str, Callable[..., _Draw]]] = {
    "uniform": _uniform,
    "normal": _normal,
    "lognormal": _lognormal,
    "exponential": _exponential,
}


@dataclass(frozen=True)
class _Faults:
    """The faults of one call."""

    delay: float = 0.0
    error: str = ""
    lost: bool = False
    cut_bytes: float = math.inf
    cut_replies: float = math.inf

    def __str__(self) -> str:
        told = {"held up": self.delay, "fails": self.error, "lost": self.lost, "cut after bytes": self.cut_bytes}
        return ", ".join(f"{what} {how}" for what, how in told.items() if how and how != math.inf)


_NONE: Final = _Faults()


@dataclass
class Chaos(Server):
    """Injects faults: delays, errors, lost replies, broken and slow streams, chosen by a seed.

    Each call's faults depend only on the seed and the call's number, so that the same messages in the same order meet
    the same faults, however long they take. The seed is logged; give it with `--seed` to repeat the faults.

    latency: `50ms`, `50ms±20ms` (or `50ms+-20ms`: uniform around it), `uniform(10ms,90ms)`, `normal(50ms,20ms)`,
    `lognormal(50ms,0.5)` (the median, and the sigma of its logarithm), `exponential(50ms)`.
    errors: `PATTERN=CHANCE` or `PATTERN=CHANCE:CODE`; the codes are those of swarmlib's errors, such as unavailable.

    chaos --latency '50ms±20ms' --errors 'ls containers=0.1' --errors 'spawn *=0.5:conflict' --drop 0.01 --seed 7
    """

    position = "between"

    latency: Latency | None = option("delay of each message", default=None)
    errors: list[Rule] = option(
        "messages that fail, such as 'ls containers=0.1'", default=[], metavar="PATTERN=CHANCE[:CODE]"
    )
    drop: float = option(
        "chance that a call gets no replies, so that only its caller's deadline ends it", default=0.0, metavar="CHANCE"
    )
    cut: float = option(
        "chance that a call's streams break, or its watch ends (after 16 KiB or 3 replies on average)",
        default=0.0,
        metavar="CHANCE",
    )
    slow: ByteRate | None = option("speed limit of streams, such as 64KiB/s", default=None, metavar="RATE")
    filter: list[str] = option(
        "affect only messages whose 'verb path' matches, such as 'connect *'", default=[], metavar="PATTERN"
    )
    seed: int | None = option("seed of the faults (default: a random one)", default=None)

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        self._errors = [_error(rule) for rule in self.errors]
        _chance("--drop", self.drop)
        _chance("--cut", self.cut)

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Set up the filter, the numbers of the calls and the seed."""
        self._fits = fitting(self.filter, otherwise=True)
        self._numbers = itertools.count(1)
        self._seed = secrets.randbits(32) if self.seed is None else self.seed
        _log.warning("chaos: the faults are those of --seed %d", self._seed)
        yield

    def choose(self, request: Request) -> Handler | None:
        """Take the messages that meet a fault; the rest passes."""
        if not self._fits(request):
            return None
        number = next(self._numbers)
        faults = self._faults(number, request)
        if faults != _NONE:
            _log.info("chaos: call %d, %s %s: %s", number, request.verb, "/".join(request.path), faults)
        elif self.slow is None:
            return None
        return partial(self._suffer, faults)

    def _faults(self, number: int, request: Request) -> _Faults:
        """Draw the faults of call `number`. Each kind has its own chances, so that options are independent."""

        def chance(kind: str) -> random.Random:
            return random.Random(f"{self._seed} {number} {kind}")

        delay = max(0.0, self.latency.draw(chance("latency"))) if self.latency else 0.0
        error = self._error(chance("errors"), request) if self._errors else ""
        lost = self.drop > 0 and chance("drop").random() < self.drop
        cut = chance("cut") if self.cut else None
        if cut is None or cut.random() >= self.cut:
            return _Faults(delay, error, lost)
        size, replies = cut.expovariate(1 / _MEAN_CUT_BYTES), cut.expovariate(1 / _MEAN_CUT_REPLIES)
        return _Faults(delay, error, lost, int(size), int(replies))

    def _error(self, chance: random.Random, request: Request) -> str:
        rolls = [chance.random() for _ in self._errors]
        hit = (error for roll, error in zip(rolls, self._errors, strict=True) if roll < error.chance)
        return next((error.code for error in hit if error.fits(request)), "")

    async def _suffer(self, faults: _Faults, request: Request) -> None:
        await trio.sleep(faults.delay)
        if faults.error:
            # It did not happen, which `retry` may know. `--drop` is for calls that happened without an answer.
            raise ERRORS[faults.error](f"chaos: {faults.error}", details={UNSENT: True})
        if request.upload is not None:
            request = request.replace(upload=self._troubled(request.upload, faults))
        replies = await ask(self.next, request)
        if faults.lost:
            await relay_replies(replies, discard)
            await trio.sleep_forever()
        await relay_replies(replies, partial(self._forward, faults, itertools.count(), request.reply))

    async def _forward(self, faults: _Faults, passed: Iterator[int], to: ReplySender, reply: Reply) -> bool:
        if not isinstance(reply, FINAL) and next(passed) >= faults.cut_replies:
            return True
        if isinstance(reply, Ack) and reply.stream is not None:
            reply = reply.replace(stream=self._troubled(reply.stream, faults))
        await forward(reply, to)
        return False

    def _troubled(self, stream: trio.abc.ReceiveStream, faults: _Faults) -> trio.abc.ReceiveStream:
        return _Troubled(stream, self.slow, faults.cut_bytes).alike


class _Troubled(StreamWrapper):
    """A stream that is slow, or breaks after some bytes."""

    def __init__(self, inner: trio.abc.ReceiveStream, rate: Rate | None, cut_after: float) -> None:
        super().__init__(inner)
        self._rate = rate.per_second if rate else math.inf
        self._left = cut_after
        self._waiting = b""
        self._receiving = trio.CancelScope()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if not self._waiting:
            with trio.CancelScope() as self._receiving:
                self._waiting = bytes(await super().receive_some(max_bytes))
            if self._receiving.cancelled_caught:
                raise _cut()
        size = min(self._piece, max_bytes or self._piece)
        piece = await self._passing(self._waiting[:size])
        self._waiting = self._waiting[size:]  # only now: a wait that is cancelled loses nothing
        return piece

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        for start in range(0, len(data), self._piece):
            await super().send_all(await self._passing(bytes(data[start : start + self._piece])))

    @property
    def _piece(self) -> int:
        """Bytes that are passed at once: few enough for an even rate."""
        return max(1, int(min(self._rate * _PIECE_SECONDS, _MAX_PIECE)))

    async def _passing(self, piece: bytes) -> bytes:
        await trio.sleep(len(piece) / self._rate)
        self._left -= len(piece)
        if self._left < 0:
            self._receiving.cancel()  # a task that waits to receive gets the error too
            await trio.aclose_forcefully(self.inner)
            raise _cut()
        return piece


def _cut() -> trio.BrokenResourceError:
    return trio.BrokenResourceError("chaos: the stream was cut")


@dataclass(frozen=True)
class _Error:
    fits: Judge
    chance: float
    code: str


def _error(rule: Rule) -> _Error:
    chance, _, code = rule.value.partition(":")
    code = code or Unavailable.code
    if code not in ERRORS:
        raise Invalid(f"--errors {rule}: unknown code {code!r}; {nearest(code, list(ERRORS))}")
    return _Error(rule.fits, _chance(f"--errors {rule}", chance), code)


def _chance(what: str, given: float | str) -> float:
    try:
        chance = float(given)
    except ValueError:
        chance = math.nan
    if not 0 <= chance <= 1:
        raise Invalid(f"{what}: invalid chance {given!r}: expected a number from 0 to 1")
    return chance
