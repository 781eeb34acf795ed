"""`replay`: a recording answers in place of the recorded engine."""

from __future__ import annotations

import difflib
import logging
import math
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, NoReturn, cast

import orjson
import trio

from swarmlib import Ack, Handler, Invalid, Json, NotFound, Reply, Request, Server, Unavailable, argument, option
from swarmlib.wire.references import RefKind

from . import redact
from .calls import apart, forward
from .json_differences import differing, in_words
from .recording import Event, Recording, What, reply_in, request_in
from .stream_wrappers import OneWay

_NEAREST: Final = 3
_COMPARED: Final = 1000
"""Requests that are searched for the nearest one, at most: it takes a millisecond for a few."""
_SHOWN: Final = 100
"""Characters or bytes of any value that is shown in an error."""
_PATIENCE: Final = 5.0
"""Seconds that an answer waits for what the caller had sent before it: their order may have been a coincidence."""
_OF_STREAMS: Final = frozenset({What.SENT, What.RECEIVED, What.BROKE})
_log = logging.getLogger(__name__)


@dataclass
class Replay(Server):
    """Answers from a file written by `record`, in place of the recorded engine.

    A request gets the recorded answer to an identical one: with the same verb, path, parameters, headers and body
    (apart from secrets), from any caller and in any version of the API. Several identical requests get the recorded
    answers in their order; after the last one, its answer repeats. With `--match order`, requests must come in the
    order in which they were recorded. A request that was not recorded is `not_found`, and the error names the nearest
    recorded one; with `--pass-through` it goes to the next stage.

    A conversation is replayed as it was recorded: what came after the caller's first 5 bytes comes once they have
    arrived, or after 5 seconds without them. If the caller's bytes differ from the recorded ones, the conversation
    breaks off. Bytes of an upload are read, but not compared. A damaged file is replayed up to the damage, and the log
    says how much that is.

    replay session.swarm
    """

    file: str = argument("recording to replay")
    match: Literal["request", "order"] = option("how to find the recorded call", default="request")
    speed: float = option("speed relative to the recording; 0: without delays", default=0.0, metavar="FACTOR")
    pass_through: bool = option("forward requests that were not recorded to the next stage", default=False)

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        if not 0 <= self.speed < math.inf:
            raise Invalid(f"--speed must be 0 or more, not {self.speed:g}")

    async def preflight(self) -> None:
        """See `Backend.preflight`."""
        Recording(self.file).close()

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the file open."""
        with closing(Recording(self.file)) as self._recording:
            calls = _calls(self._recording)
            if self._recording.damage:
                _log.warning("replay: %s", self._recording.damage)
            self._found = _InOrder(calls) if self.match == "order" else _ByRequest(calls)
            yield

    def choose(self, request: Request) -> Handler | None:
        """Find the recorded call that answers the request, as it arrives."""
        asked = _Asked.of(request, upload=request.upload is not None)
        call = self._found.take(asked.key)
        if call is not None:
            return partial(self._play, call)
        return None if self.pass_through else partial(self._refuse, asked)

    async def _refuse(self, asked: _Asked, _: Request) -> NoReturn:
        error = NotFound(f"not recorded: {asked}; {self._found.hint(asked)}", backend=self.name)
        _log.warning("replay: %s", error.message)  # the docker CLI reports it as a missing image
        raise error

    async def _play(self, call: _Call, request: Request) -> None:
        reply = request.reply
        pace = _Pace(self.speed, call.at)
        for number, event in enumerate(call.events):
            await pace.until(event.at)
            if event.what is What.SENT and request.upload is not None:
                await _drain(request.upload)
            elif event.what is What.REPLY:
                await forward(self._reply(call, number), reply)
            elif event.what is What.END:
                return
        if not reply.answered:
            raise Unavailable("the recording ends before the answer", backend=self.name)
        await trio.sleep_forever()  # the recorded caller ended the call, as this one will

    def _reply(self, call: _Call, number: int) -> Reply:
        reply, stream = reply_in(self._recording.data(call.events[number]))
        if stream is None or not isinstance(reply, Ack):
            return reply
        pace = _Pace(self.speed, call.events[number].at)
        played = _Conversation(self._recording, call.events[number:], pace, call.asked.name)
        return reply.replace(stream=played if stream is RefKind.DUPLEX else OneWay(played))


async def _drain(upload: trio.abc.ReceiveStream) -> None:
    while await upload.receive_some():
        pass


class _Pace:
    """The recorded time between events, divided by the speed."""

    def __init__(self, speed: float, at: float) -> None:
        self._speed = speed
        self._at = at

    async def until(self, at: float) -> None:
        """Wait until the next event, recorded at `at`."""
        if self._speed:
            await trio.sleep(max(0.0, at - self._at) / self._speed)
        self._at = at


@dataclass(frozen=True)
class _Asked:
    """A request, as it is matched and as it is shown."""

    key: bytes
    name: str
    """Its verb and path."""

    @classmethod
    def of(cls, request: Request, *, upload: bool) -> _Asked:
        shown = redact.request(request)
        # The API version is left out: clients of another version ask for the same.
        parts = (shown.verb, shown.path, shown.params, shown.meta.headers, _data(shown.body), upload)
        key = orjson.dumps(parts, default=apart, option=orjson.OPT_SORT_KEYS)
        return cls(key, f"{request.verb} {'/'.join(request.path)}".rstrip())

    def __str__(self) -> str:
        _, _, params, headers, body, upload = self._parts
        shown = [_short(part) for part in (params, headers, body) if part]
        parts = [self.name, *shown, *(["+stream"] if upload else [])]
        return " ".join(parts)

    @property
    def _parts(self) -> list[Any]:
        return cast("list[Any]", orjson.loads(self.key))

    def differences(self, other: _Asked) -> list[str]:
        """List how the other request differs."""
        mine, others = self._parts, other._parts
        names = ("verb", "path", "params", "headers", "body", "stream")
        pairs = zip(names, mine, others, strict=True)
        differences = (each for name, one, two in pairs for each in differing(one, two, (name,)))
        return [f"{in_words(place)} {_short(value)}" for place, _, value in differences]


def _data(body: Json | None) -> Any:
    if body is None:
        return None
    try:
        return body.data
    except Invalid:
        return body.raw


def _short(data: Any) -> str:
    text = orjson.dumps(data).decode()
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


@dataclass(frozen=True)
class _Call:
    asked: _Asked
    at: float
    events: list[Event]


def _calls(recording: Recording) -> list[_Call]:
    """Read the recorded calls in the order in which they were asked, up to the end of the file or its damage."""
    calls: dict[int, _Call] = {}
    for event in recording.events():
        if event.what is What.ASK:
            request, upload = request_in(recording.data(event))
            calls[event.call] = _Call(_Asked.of(request, upload=upload), event.at, [])
        elif event.call in calls:
            calls[event.call].events.append(event)
    return list(calls.values())


class _ByRequest:
    """Finds a call by its request, in any order."""

    def __init__(self, calls: list[_Call]) -> None:
        self._alike: dict[bytes, deque[_Call]] = defaultdict(deque)
        for call in calls:
            self._alike[call.asked.key].append(call)

    def take(self, key: bytes) -> _Call | None:
        """Return the next of the calls with this request, the last one again and again; None if there is none."""
        alike = self._alike.get(key)
        if alike is None:
            return None
        return alike.popleft() if len(alike) > 1 else alike[0]

    def hint(self, asked: _Asked) -> str:
        """Describe the nearest recorded call: one with this verb and object, and how it differs, else similar names."""
        recorded = [calls[0].asked for calls in self._alike.values()][:_COMPARED]
        same = [asked.differences(other) for other in recorded if other.name == asked.name]
        if same:
            return f"what was has {', '.join(min(same, key=len)[:_NEAREST])}"
        known = dict.fromkeys(other.name for other in recorded)
        names = difflib.get_close_matches(asked.name, known, _NEAREST, cutoff=0)
        return f"the nearest that were: {', '.join(names)}" if names else "nothing was"


class _InOrder:
    """Finds a call only when it is the next one."""

    def __init__(self, calls: list[_Call]) -> None:
        self._waiting = deque(calls)

    def take(self, key: bytes) -> _Call | None:
        """Return the next call, if it has this request."""
        return self._waiting.popleft() if self._waiting and self._waiting[0].asked.key == key else None

    def hint(self, _: _Asked) -> str:
        """Describe the call that should come next."""
        return f"the next that was: {self._waiting[0].asked}" if self._waiting else "all that was has been replayed"


class _Conversation(trio.abc.HalfCloseableStream):
    """A recorded stream: each piece from the service comes once the caller has sent what preceded the piece."""

    def __init__(self, recording: Recording, events: Sequence[Event], pace: _Pace, name: str) -> None:
        self._recording = recording
        self._left = deque(event for event in events if event.what in _OF_STREAMS)
        self._inputs = deque(event for event in self._left if event.what is What.SENT)
        self._came = 0
        """Inputs that have come and are still in `_left`, less those in neither that are still to come."""
        self._expected = b""
        """The rest of the first input."""
        self._pace = pace
        self._name = name
        self._piece = b""
        self._changed = trio.Event()
        self._differs = ""
        self._closed = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the recorded bytes; if the recorded caller disconnected after them, wait forever."""
        if not self._piece:
            self._piece = await self._received()
        size = max_bytes or len(self._piece)
        piece, self._piece = self._piece[:size], self._piece[size:]
        return piece

    async def _received(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self._ready():
            with trio.move_on_after(_PATIENCE if self._left else math.inf) as patience:
                await self._changed.wait()
            if patience.cancelled_caught:
                self._left.popleft()
                self._came -= 1  # it is still to come
        event = self._left[0]
        await self._pace.until(event.at)
        if event.what is What.BROKE:
            raise trio.BrokenResourceError("the recorded stream broke here")
        if event.length:
            self._left.popleft()  # an end stays, for the next call
        return self._recording.data(event)

    def _ready(self) -> bool:
        self._check()
        while self._came > 0 and self._left[0].what is What.SENT:
            self._left.popleft()
            self._came -= 1
        return bool(self._left) and self._left[0].what is not What.SENT

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Compare the data with the recorded input. Data after it is ignored, if its end was not recorded."""
        await trio.lowlevel.checkpoint()
        self._check()
        rest = bytes(data)
        while rest and self._inputs:
            expected = self._expected or self._recording.data(self._inputs[0])
            size = min(len(rest), len(expected))
            if not expected or rest[:size] != expected[:size]:
                self._differ(f"{rest[:_SHOWN]!r} was sent in place of {expected[:_SHOWN] or 'the end'!r}")
            rest, self._expected = rest[size:], expected[size:]
            if not self._expected:
                self._take_input()

    async def send_eof(self) -> None:
        """Compare the end with the recorded one."""
        await trio.lowlevel.checkpoint()
        self._check()
        if self._expected or (self._inputs and self._inputs[0].length):
            self._differ("the caller ended it too early")
        if self._inputs:
            self._take_input()

    def _take_input(self) -> None:
        self._inputs.popleft()
        self._came += 1
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this stream is closed")
        if self._differs:
            raise trio.BrokenResourceError(self._differs)

    def _differ(self, how: str) -> NoReturn:
        self._differs = f"replay: {self._name}: the conversation is not the recorded one: {how}"
        _log.warning("%s", self._differs)
        self._notify()
        raise trio.BrokenResourceError(self._differs)

    async def wait_send_all_might_not_block(self) -> None:
        """Return at once: there is always room."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Close the stream."""
        self._closed = True
        self._notify()
        await trio.lowlevel.checkpoint()
