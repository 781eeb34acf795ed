"""`balance`: many engines as one. Where each verb goes follows from the verb (design, section 9)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Final

import trio

from swarmlib import (
    Chain,
    Invalid,
    Path,
    Request,
    Server,
    Stages,
    SwarmError,
    Unavailable,
    Verb,
    argument,
    option,
)
from swarmlib.asking import Answer
from swarmlib.errors import ungrouped

from ..dockerapi.canonical import canonical
from ..dockerapi.nulls import fields, items
from ..dockerapi.rows import WHOLE
from ..dockerapi.versions import parsed
from . import contexts, effects, events, everywhere, holders, labels, lists, merge, owners, roster, together
from .asking import CLIENTS_FAULT, Outcome, ask_all
from .members import Member
from .placement import Placement, Strategy
from .rescheduling import Rescheduler
from .roster import Roster
from .router import Router
from .select import Selection
from .spawning import Spawner
from .versions import at_version

__all__ = ["Balance"]

_CONTAINERS: Final[Path] = ("containers",)
_IMAGES: Final[Path] = ("images",)
_SWARM_MODE: Final = frozenset({"swarm", "nodes", "services", "tasks", "secrets", "configs"})
_BUILDKIT: Final = ("/session", "/grpc")
_ANYWHERE: Final = frozenset({"distribution"})
_WITH_NODE: Final = frozenset({"containers", "networks", "volumes"})


@dataclass
class Balance(Server):
    """Many engines as one: lists merged, each object's calls sent to its owner, new containers placed.

    Name the members (a=docker …): objects then say `Node: a`, and `--filter node=a` and `a/web` mean it. Where a
    container goes can be said as in the old Swarm: `-e constraint:region==us`, `-e affinity:container==web`.
    """

    members: list[Chain] = argument("a chain for each engine, quoted or in parentheses", default=[])
    watch_file: str = option("a FILE of members, a chain a line, read again when it changes", default="", name="watch")
    strategy: Strategy = option("where new containers go", default="spread")
    deadline: float = option("seconds that one engine may hold up an answer of several", default=5.0)
    strict: bool = option("refuse an answer from which an engine is missing", default=False)
    reschedule_after: float = option("seconds after which what may be rescheduled leaves a dead engine", default=30.0)

    if TYPE_CHECKING:

        def __init__(
            self,
            *members: Stages,
            watch_file: str = "",
            strategy: Strategy = "spread",
            deadline: float = 5.0,
            strict: bool = False,
            reschedule_after: float = 30.0,
        ) -> None: ...

    def __post_init__(self) -> None:
        if not self.members and not self.watch_file:
            raise Invalid("it needs members, or --watch with a file of them")

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the members open, and follow what happens to them."""
        with ungrouped():
            async with trio.open_nursery() as nursery:
                self._roster = Roster(self.deadline, nursery)
                for chain in self.members:
                    await self._roster.join(chain)
                if self.watch_file:
                    path = FilePath(self.watch_file)
                    seen = await roster.stamp(path)
                    await self._roster.read(path)
                    nursery.start_soon(self._roster.follow, path, seen)
                self._router = Router(self._roster, lambda handler, request: self.take_up(handler, request))
                self._spawner = Spawner(self._roster, Placement(self.strategy, self._roster.index))
                nursery.start_soon(Rescheduler(self._roster, self._spawner, self.reschedule_after).run)
                yield
                nursery.cancel_scope.cancel()

    def handlers(self) -> Mapping[Verb, Any]:
        """The verbs; what speaks of swarm mode goes to a manager, whatever the verb."""
        return {verb: partial(self._routed, handler) for verb, handler in super().handlers().items()}

    async def _routed(self, handler: Callable[[Request], Awaitable[Any]], request: Request) -> Any:
        request = labels.unreserved(canonical(request))
        await self._roster.known()
        if request.meta.version:
            self._check_version(request.meta.version)
        if request.path[:1] and request.path[0] in _SWARM_MODE:
            return await self._router.to(await owners.manager(self._roster), request)
        return await handler(request)

    # Looking.

    async def ls(self, request: Request) -> Any:
        """What every member has, merged."""
        if request.path not in merge.LISTS:
            return await self._router.to_owner(request)
        return await lists.answer(request, self._roster, strict=self.strict)

    async def get(self, request: Request) -> Any:
        """A summary of all members, or one object's state, from its owner."""
        if request.path in merge.SUMMARIES:
            return await self._summary(request)
        if request.path[:1] == ("ping",):
            return await self._ping(request)
        if len(request.path) < 2 or request.path[0] in _ANYWHERE:
            return await self._to_any(request)
        if len(request.path) == 2 and request.path[0] in _WITH_NODE:
            return await self._router.to_owner(request, effects.says_node)
        return await self._router.to_owner(request)

    async def watch(self, request: Request) -> Any:
        """Every member's events; or one object's changes, from its owner."""
        if request.path:
            learn = effects.touches if request.path[2:] == ("wait",) else None
            return await self._router.to_owner(request, learn)
        await events.relay(self._roster, request)
        return None

    async def _summary(self, request: Request) -> Any:
        outcome = await self._ask(request)
        merged = merge.SUMMARIES[request.path](outcome.values)
        if not request.path:
            merged["Warnings"] = [*items(merged["Warnings"]), *outcome.missing] or None
        await lists.reply(request, merged, outcome.missing)

    async def _ask(self, request: Request) -> Outcome:
        """Every engine's answer; what is none (a backend without networks) is not missing."""
        outcome = await ask_all(self._roster.members, request)
        lists.partial(outcome.missing, strict=self.strict)
        outcome.must_have_answers()
        return outcome

    # Changing one object.

    async def set(self, request: Request) -> Any:
        """A change to one object; a tag goes to every member that has the image."""
        match request.path:
            case ("images", _, "tag"):
                return await self._to_holders(request)
            case ("images", name, "push") if tag := request.params.get("tag"):
                return await self._router.forward(request, await self._router.owner(*_IMAGES, f"{name}:{tag}"))
            case ("networks", _, "connect" | "disconnect") if fields(request.json).get("Container"):
                return await together.connected(self._router, self._roster.index, request)
            case ("containers", _, "rename") if request.params.get("name"):
                return await self._rename(request)
            case _:
                pass
        if len(request.path) < 2:
            return await self._to_any(request)
        return await self._router.to_owner(request, effects.touches)

    async def _rename(self, request: Request) -> None:
        """To the owner, which knows what names it has; the other engines' are known here."""
        owner = await self._router.owner(*request.path)
        name = str(request.params["name"]).removeprefix("/")
        async with self._spawner.renaming(name, owner.member):
            renamed = request.replace(path=(*_CONTAINERS, owner.ref, "rename"))
            answer = await self._router.ask(renamed, owner, effects.touches)
        await _pass_on(answer, request)

    async def start(self, request: Request) -> Any:
        """To the owner."""
        return await self._router.to_owner(request, effects.touches)

    stop = start

    async def attach(self, request: Request) -> Any:
        """To the owner."""
        return await self._router.to_owner(request)

    async def connect(self, request: Request) -> Any:
        """To the owner; BuildKit's sessions to the builder."""
        if request.path == WHOLE.path("") and str(request.params.get("target", "")).endswith(_BUILDKIT):
            return await self._router.to(self._builder(), request)
        return await self._router.to_owner(request)

    async def file(self, request: Request) -> Any:
        """To the owner; images are loaded where the strategy says, and several saved from one engine."""
        if request.path != _IMAGES:
            return await self._router.to_owner(request)
        if request.upload is not None:
            return await self._router.to(self._spawner.choose(), request, effects.touches_images)
        names: str | list[str] = request.params.get("names", "")
        if isinstance(names, str) or len(names) == 1:
            owner = await self._router.owner(*_IMAGES, names if isinstance(names, str) else names[0])
            return await self._router.forward(request, owner)
        return await self._router.to(await self._spawner.gathered(names), request)

    async def rm(self, request: Request) -> Any:
        """To the owner; a prune to every member, an image's removal to every one that has it."""
        if len(request.path) == 1:
            return await self._prune(request)
        if request.path[0] == "images":
            return await self._to_holders(request)
        return await self._router.to_owner(request, effects.removes)

    async def _prune(self, request: Request) -> Any:
        selection = Selection.of(request.params)
        members = selection.chosen(self._roster.members)
        outcome = await ask_all(members, request.replace(params=selection.params))
        lists.partial(outcome.missing, strict=self.strict)
        outcome.must_have_answers()
        kind = request.path[0]
        for member, answer in outcome.answers:
            member.mirror.touch_kind(kind)
            for id in items(fields(answer.value).get("ContainersDeleted")):
                member.mirror.removed("containers", id)
        await lists.reply(request, merge.deleted(outcome.values), outcome.missing)

    async def _to_holders(self, request: Request) -> None:
        outcome = await holders.change(self._roster, request)
        absent = lists.missing(self._roster.members)
        lists.partial(absent, strict=self.strict)
        await lists.reply(request, merge.deleted(outcome.values), absent)

    # Making.

    async def spawn(self, request: Request) -> Any:
        """A new object where the strategy says; an exec or a commit at its container's owner; a pull everywhere."""
        match request.path:
            case ("containers",):
                return await self._create(request)
            case ("images",) if request.upload is None:
                return await self._everywhere(request)
            case ("networks" | "volumes" as kind,):
                await _pass_on(await self._spawner.make_part(kind, request), request)
                return None
            case ("commit",):
                container = str(request.params.get("container", ""))
                owner = await self._router.owner(*_CONTAINERS, container)
                params = {**request.params, "container": owner.ref}
                return await self._router.forward(request.replace(params=params), owner, effects.touches_images)
            case ("build",):
                return await self._build(request)
            case (_, _, *_):
                return await self._router.to_owner(request, effects.makes_exec)
            case _:
                return await self._router.to(self._spawner.choose(), request, effects.touches_images)

    async def _create(self, request: Request) -> Any:
        await _pass_on(await self._spawner.create(request), request)

    async def _everywhere(self, request: Request) -> None:
        await everywhere.relay(self._roster.members, request, strict=self.strict)

    async def _build(self, request: Request) -> Any:
        fixed = together.builder(self._roster.index, request.params)
        images: list[str] = []
        if request.upload is not None and request.params.get("version") != "2":
            images, context = await contexts.images(request.upload, request.params)
            request = request.replace(upload=context)
        builder = await self._spawner.builder(images, fixed)
        return await self._router.to(builder, request, effects.touches_images)

    def _builder(self) -> Member:
        """The first that is up. A build by BuildKit takes several connections, which must meet; and its cache stays."""
        return owners.first_up(self._roster.members)

    # Asking one of all.

    async def _to_any(self, request: Request) -> Any:
        """Answer what is asked of no object, and so is the same everywhere."""
        await _pass_on(await self._first_answer(request), request)

    async def _first_answer(self, request: Request) -> Answer:
        """The answer of the first member that gives one."""
        failure: SwarmError | None = None
        for member in self._roster.members:
            try:
                member.must_be_up()
                return await member.ask(request)
            except CLIENTS_FAULT:
                raise  # another engine would say the same, and count a wrong password again
            except SwarmError as exc:
                failure = failure or exc
        raise failure or Unavailable("balance has no members now")

    # API versions.

    def _check_version(self, asked: str) -> None:
        """Refuse a version that the gateway doesn't advertise, as an engine would."""
        if (advertised := self._roster.advertised.range) is not None:
            advertised.check(parsed(asked))

    async def _ping(self, request: Request) -> None:
        """One member's answer, with the API version that works on all."""
        answer = await self._first_answer(request)
        if (advertised := self._roster.advertised.range) is not None:
            before = [reply.replace(details=at_version(reply.details, advertised)) for reply in answer.before]
            answer = Answer(answer.ack.replace(details=at_version(answer.ack.details, advertised)), before)
        await _pass_on(answer, request)


async def _pass_on(answer: Answer, request: Request) -> None:
    """Give a request the answer that one engine gave."""
    for reply in [*answer.before, answer.ack]:
        await request.reply.send(reply)
