"""One machine as an engine: a stage before its `docker`, which keeps the machine's place while it is deallocated.

messages ──▶ Sleeper ──▶ docker ssh://swarm@… or tcp://…:2376
                │ asleep
                ▼
      what was known when it fell asleep; or, for what needs the engine, the machine is started again
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson
import trio

from swarmlib import (
    Ack,
    Client,
    NotFound,
    ReplyReceiver,
    ReplySender,
    Request,
    Server,
    SwarmError,
    Tap,
    TimedOut,
    Unavailable,
    Verb,
    ask,
    next_reply,
)
from swarmlib.service import Handler

from ..docker import Docker
from ..docker.engine import open_engine
from ..docker.locate import locate
from ..dockerapi.filters import decode
from ..dockerapi.matching import named
from ..dockerapi.values import is_true, labels_fit
from ..enginekit.pong import pong
from .spec import Body

_log = logging.getLogger(__name__)

READY_SECONDS: Final = 600.0
"""How long a machine may take from its start until its engine answers."""
_READY_PAUSE: Final = 0.5
_LOOKS: Final = frozenset({Verb.LS, Verb.GET})
_PLACES: Final = ("containers", "images", "networks", "volumes")
_KNOWN_FILTERS: Final = frozenset({"id", "name", "label", "status"})

Power = Callable[[], Awaitable[None]]


class MachineEngine(Docker):
    """A machine's Docker engine. By ssh, the machine's key is its own, and learnt at the first time."""

    ssh_options: Mapping[str, str]

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the connections to the engine."""
        async with open_engine(
            replace(locate(self.address, "", self.cert_path), ssh_options=self.ssh_options)
        ) as self._engine:
            yield


class Memory:
    """What an engine said before it fell asleep, kept in a file for after a restart of swarmd."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.known: dict[str, Any] = {}

    def load(self) -> None:
        """Remember what was kept."""
        try:
            self.known = orjson.loads(self._file.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            self.known = {}  # nobody has kept anything, or not all of it: it is known again once the machine runs

    def save(self) -> None:
        """Keep what is known."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_bytes(orjson.dumps(self.known))
        except OSError as exc:
            _log.warning("what is on a machine that sleeps is forgotten with swarmd: %s", exc)

    async def learn(self, engine: Client) -> None:
        """Ask an engine for all that is asked of one that sleeps."""
        known: dict[str, Any] = {"info": await engine.get(), "version": await engine.get("version"), "df": {}}
        known["containers"] = (await engine.call(Verb.LS, ("containers",), params={"all": "1"})).value or []
        for place in _PLACES[1:]:
            known[place] = (await engine.call(Verb.LS, (place,))).value
        for place in ("containers", "networks"):
            entries: list[Body] = known[place] or []
            for each in entries:
                known[f"{place}/{each['Id']}"] = await engine.get(place, each["Id"])
        self.known = known

    @property
    def running(self) -> bool:
        """Whether a container ran."""
        return any(each.get("State") == "running" for each in self.known.get("containers", []))

    def answer(self, request: Request) -> Any:
        """The answer to what asks for no more than is known.

        Raises:
            LookupError: it asks for more. NotFound: there is no such thing.
        """
        if request.verb is Verb.LS and len(request.path) == 1:
            return self._listed(request)
        if request.verb is not Verb.GET:
            raise LookupError
        match request.path:
            case ():
                return self.known["info"]
            case ("version",):
                return self.known["version"]
            case ("containers" | "networks" as place, ref) if place in self.known:
                for each in self.known[place]:
                    if ref in (each["Id"], *_names(each, "/")):
                        return self.known[f"{place}/{each['Id']}"]
                raise NotFound(f"No such {place.removesuffix('s')}: {ref}")
            case _:
                raise LookupError

    def _listed(self, request: Request) -> Any:
        place, filters = request.path[0], decode(request.params)
        if place != "containers":
            if filters:
                raise LookupError
            return self.known[place]
        if set(filters) - _KNOWN_FILTERS or request.params.get("size") or request.params.get("limit"):
            raise LookupError
        found: list[Body] = self.known[place]
        has_name = named(filters.get("name", []))
        shown = [each for each in found if _fits(each, filters) and has_name(*_names(each), *_names(each, "/"))]
        return shown if is_true(request.params.get("all")) or "status" in filters else []


def _names(entry: Body, without: str = "") -> list[str]:
    return [str(name).removeprefix(without) for name in entry.get("Names") or [entry.get("Name", "")]]


def _fits(entry: Body, wanted: Mapping[str, list[str]]) -> bool:
    tests: dict[str, Callable[[str], bool]] = {
        "id": str(entry["Id"]).startswith,
        "status": lambda value: entry.get("State") == value,
    }
    plain = all(any(tests[key](value) for value in values) for key, values in wanted.items() if key in tests)
    return plain and labels_fit(entry.get("Labels") or {}, wanted.get("label", []))


class Sleeper(Server):
    """The stage. `asleep`: whether the machine was deallocated, or what else is to be taken for that."""

    def __init__(self, machine: str, memory: Memory, unknown: Body, switch_on: Power, *, asleep: bool) -> None:
        self._machine = machine
        self._memory = memory
        self._unknown = unknown
        """What is said of the engine while nothing is known of it."""
        self._switch_on = switch_on
        self._life = _Life(asleep=asleep)

    @property
    def asleep(self) -> bool:
        """Whether its machine is deallocated."""
        return self._life.asleep

    @property
    def changing(self) -> bool:
        """Whether it is about to fall asleep, or to wake."""
        return self._life.changing.locked()

    @property
    def name(self) -> str:
        """The machine's."""
        return self._machine

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Nothing but the engine's channel."""
        self._life.engine = Client(self.next)
        yield

    def handlers(self) -> Mapping[Verb, Any]:
        """Every verb goes to the engine, or wakes it."""
        every = dict.fromkeys(Verb, self._any)
        return every | {Verb.WATCH: self._watch}

    @property
    def idle(self) -> float:
        """Seconds since something was asked of it that is more than a look; 0 while that goes on."""
        return 0.0 if self._life.active else trio.current_time() - self._life.used

    def use(self) -> None:
        """Count it as used now."""
        self._life.used = trio.current_time()

    def choose(self, request: Request) -> Handler | None:
        """While the machine is awake, what only looks goes straight on."""
        return None if request.verb in _LOOKS and not self.asleep else super().choose(request)

    async def _any(self, request: Request) -> Any:
        if request.path[:1] == ("ping",):
            await pong(request.reply)
            return None
        if request.verb in _LOOKS:
            try:
                return self._remembered(request)
            except LookupError:
                pass
        await self._used(request)
        return None

    def _remembered(self, request: Request) -> Any:
        known = self._memory.known
        if known:
            return self._memory.answer(request)
        if request.verb is Verb.GET and request.path == ():
            return self._unknown
        if request.verb is Verb.LS and request.path[0] in _PLACES:
            return [] if request.path != ("volumes",) else {"Volumes": []}
        if request.verb is Verb.GET and request.path == ("version",):
            return {"ApiVersion": "1.41", "MinAPIVersion": "1.12"}
        raise LookupError  # somebody else put it to sleep, so what is on it only it can tell

    async def _used(self, request: Request) -> None:
        """Hand on what needs the engine, which is in use until that is answered."""
        life = self._life
        await self.wake()
        life.active += 1
        try:
            ended = trio.Event()
            await self.next.send(request.replace(reply=_Counted(request.reply, ended)))
            await ended.wait()
        finally:
            life.active -= 1
            self.use()

    async def _watch(self, request: Request) -> None:
        if request.path:
            await self._used(request)
        else:
            await self._events(request, request.reply)

    async def _events(self, request: Request, reply: ReplySender) -> None:
        """The engine's events, over its sleep: what happens while nobody can tell is asked for afterwards."""
        params = dict(request.params)
        while True:
            if self.asleep:
                if not reply.answered:
                    await reply.ack()
                await self._life.awake.wait()
            try:
                async with await ask(self.next, request.replace(params=params)) as replies:
                    await self._relay(replies, reply)
            except (trio.EndOfChannel, SwarmError) as exc:
                params["since"] = f"{time.time():.9f}"
                if not self.asleep:
                    raise exc if isinstance(exc, SwarmError) else Unavailable("its events ended") from exc

    async def _relay(self, replies: ReplyReceiver, to: ReplySender) -> None:
        while True:
            reply = await next_reply(replies)
            if not isinstance(reply, Ack) or not to.answered:
                await to.send(reply)

    # Sleeping.

    async def fall_asleep(self, switch_off: Power) -> bool:
        """Deallocate the machine, unless a container runs after all; says whether it was done."""
        life = self._life
        async with life.changing:
            if life.asleep or life.active:
                return False
            await self._memory.learn(life.engine)
            if self._memory.running or life.active:
                self.use()
                return False
            self._memory.save()
            self._sleeps()
            await switch_off()
            return True

    def lost(self) -> None:
        """Somebody else has deallocated it: take it for asleep."""
        self._sleeps()

    def _sleeps(self) -> None:
        if not self._life.asleep:
            self._life.asleep = True
            self._life.awake = trio.Event()

    async def wake(self) -> None:
        """Return once the machine runs and its engine answers.

        Raises:
            TimedOut: it does not within `READY_SECONDS`. SwarmError: what Azure says.
        """
        life = self._life
        if not life.asleep:
            return
        async with life.changing:
            if not life.asleep:
                return
            await self._switch_on()
            await self.answers()
            self.use()
            life.asleep = False
            life.awake.set()

    async def answers(self) -> None:
        """Return once the engine answers. Raises TimedOut if it does not in time; says why it did not last."""
        failure: SwarmError | None = None
        with trio.move_on_after(READY_SECONDS):
            while True:
                try:
                    await self._life.engine.call(Verb.GET, ("ping",))
                except SwarmError as exc:
                    failure = exc
                    await trio.sleep(_READY_PAUSE)
                else:
                    return
        why = failure.message if failure else "it said nothing"
        raise TimedOut(f"{self._machine}: its engine did not answer within {READY_SECONDS:g} s: {why}")


class _Life:
    """How it is; shared by the stage and who made it, as a stage that is opened is a copy."""

    engine: Client

    def __init__(self, *, asleep: bool) -> None:
        self.asleep = asleep
        self.awake = trio.Event()
        if not asleep:
            self.awake.set()
        self.changing = trio.Lock()
        self.active = 0
        self.used = trio.current_time()


class _Counted(Tap):
    """A caller's reply channel that says when the call has ended."""

    def __init__(self, inner: ReplySender, ended: trio.Event) -> None:
        super().__init__(inner, lambda reply: reply)
        self._ended = ended
        inner.on_gone(ended.set)

    async def _finish(self) -> None:
        try:
            await super()._finish()
        finally:
            self._ended.set()


def capacity(sizes: list[Body], size: str, machines: int) -> tuple[int, int]:
    """The CPUs and the bytes of memory of so many machines of a size; 0 where Azure doesn't know it."""
    for each in sizes:
        if str(each.get("name", "")).lower() == size.lower():
            return int(each["numberOfCores"]) * machines, int(each["memoryInMB"]) * machines * 2**20
    return 0, 0
