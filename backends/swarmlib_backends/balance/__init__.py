"""`balance`: many engines as one. Where each verb goes follows from the verb (design, section 9)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Final, Literal, TypeAlias, cast

import trio

from swarmlib import (
    Ambiguous,
    Chain,
    Client,
    Conflict,
    Message,
    NotFound,
    Path,
    Reply,
    Server,
    SwarmError,
    Tap,
    Unavailable,
    Unsupported,
    Verb,
    argument,
    next_reply,
    option,
)
from swarmlib.message import FINAL

from ..dockerapi.rows import WHOLE
from . import merge
from .members import Member, Outcome, ask_all, open_members
from .versions import ARG, Range, at_version, common, parsed

__all__ = ["Balance"]

_CONTAINERS: Final[Path] = ("containers",)
_IMAGES: Final[Path] = ("images",)
_SWARM_MODE: Final = frozenset({"swarm", "nodes", "services", "tasks", "secrets", "configs"})
_BUILDKIT: Final = ("/session", "/grpc")
_ANYWHERE: Final = frozenset({"distribution"})
_CHANGE_SECONDS: Final = 60.0
"""How long a member may take over a change that goes to several; it works on the disk."""
_KNOWN_OWNERS: Final = 100_000
"""Ids whose owner is remembered, at most."""


_Found: TypeAlias = tuple[Member, dict[str, Any]]


@dataclass
class Balance(Server):
    """Many engines as one: lists merged, each object's calls sent to its owner, new workloads placed."""

    members: list[Chain] = argument("a chain for each engine, quoted or in parentheses")
    strategy: Literal["spread", "round-robin"] = option("where new workloads go", default="spread")
    deadline: float = option("seconds that one engine may hold up a merged answer", default=5.0)

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the members open."""
        async with open_members(self.members) as self._members:
            # Only full ids are remembered: they never move to another engine, as a name can.
            self._owners = OrderedDict[str, Member]()
            self._turns = count()
            self._ranges_asked = False
            yield

    def handlers(self) -> Mapping[Verb, Any]:
        """The verbs; what speaks of swarm mode goes to a manager, whatever the verb."""
        return {verb: partial(self._routed, handler) for verb, handler in super().handlers().items()}

    async def _routed(self, handler: Callable[[Message], Awaitable[Any]], message: Message) -> Any:
        if ARG in message.args:
            await self._check_version(message.args[ARG])
        if message.path[:1] and message.path[0] in _SWARM_MODE:
            return await self._to_manager(message)
        return await handler(message)

    async def ls(self, message: Message) -> Any:
        """What every member has, merged."""
        merged = merge.LISTS.get(message.path)
        if merged is None:
            return await self._to_owner(message)
        return merged((await self._ask(message)).values)

    async def get(self, message: Message) -> Any:
        """A summary of all members, or one object's state, from its owner."""
        if message.path in merge.SUMMARIES:
            return await self._summary(message)
        if message.path[:1] == ("ping",):
            return await self._ping(message)
        if len(message.path) < 2 or message.path[0] in _ANYWHERE:
            return await self._to_any(message)
        return await self._to_owner(message)

    async def set(self, message: Message) -> Any:
        """A change to one object; a tag goes to every member that has the image."""
        match message.path:
            case ("images", _, "tag"):
                return await self._to_holders(message)
            case ("images", name, "push") if tag := message.args.get("tag"):
                return await self.hand_on(message, (await self._owner((*_IMAGES, f"{name}:{tag}"))).sender)
            case _:
                pass
        if len(message.path) < 2:
            return await self._to_any(message)
        return await self._to_owner(message)

    async def spawn(self, message: Message) -> Any:
        """A new object where the strategy says; an exec or a commit at its container's owner; a pull everywhere."""
        match message.path:
            case ("containers",):
                return await self._place(message)
            case ("images",) if message.att is None and message.ret is not None:
                return await self._everywhere(message, message.ret)
            case ("volumes",):
                return await self.hand_on(message, (await self._for_volume(message)).sender)
            case ("commit",):
                owner = await self._owner((*_CONTAINERS, str(message.args.get("container", ""))))
                return await self.hand_on(message, owner.sender)
            case ("build",) if message.args.get("session"):
                return await self.hand_on(message, (await self._builder()).sender)
            case (_, _, *_):
                return await self._remembering(message, await self._owner(message.path))
            case _:
                return await self._remembering(message, await self._chosen())

    async def start(self, message: Message) -> Any:
        """To the owner."""
        return await self._to_owner(message)

    stop = start
    attach = start

    async def connect(self, message: Message) -> Any:
        """To the owner; BuildKit's sessions to the builder."""
        if message.path == WHOLE.path("") and str(message.args.get(":target", "")).endswith(_BUILDKIT):
            return await self.hand_on(message, (await self._builder()).sender)
        return await self._to_owner(message)

    async def file(self, message: Message) -> Any:
        """To the owner; images are loaded where the strategy says, and several saved where the first is."""
        if message.path != _IMAGES:
            return await self._to_owner(message)
        if message.att is not None:
            return await self.hand_on(message, (await self._chosen()).sender)
        names: str | list[str] = message.args.get("names", "")
        first = names if isinstance(names, str) else names[0]
        return await self.hand_on(message, (await self._owner((*_IMAGES, first))).sender)

    async def rm(self, message: Message) -> Any:
        """To the owner; a prune to every member, an image's removal to every one that has it."""
        if len(message.path) == 1:
            outcome = await ask_all(self._members, message, _CHANGE_SECONDS)
            outcome.must_have_answers()
            return merge.deleted(outcome.values)
        if message.path[0] == "images":
            return await self._to_holders(message)
        return await self._to_owner(message)

    async def watch(self, message: Message) -> Any:
        """Every member's events; or one object's changes, from its owner."""
        if message.path:
            return await self._to_owner(message)
        if message.ret is not None:
            await self._events(message, message.ret)
        return None

    # API versions.

    def _advertised(self) -> Range | None:
        known = [member.sender.range for member in self._members if member.sender.range is not None]
        return common(known) if known else None

    async def _learn_ranges(self, members: Sequence[Member]) -> None:
        async with trio.open_nursery() as nursery:
            for member in members:
                nursery.start_soon(member.learn_range, self.deadline)

    async def _check_version(self, asked: str) -> None:
        """Refuse a version that the gateway doesn't advertise, as an engine would."""
        if not self._ranges_asked:  # a client that knows what it wants need not have begun with a ping
            self._ranges_asked = True
            await self._learn_ranges(self._members)
        if (advertised := self._advertised()) is not None:
            advertised.check(parsed(asked))

    async def _ping(self, message: Message) -> None:
        """One member's answer, with the API version that works on all. A client begins with this, so that it is also
        when an engine that was replaced by one of another version is noticed.
        """
        outcome = await self._ask(message)
        await self._learn_ranges([member for member, answer in outcome.answers if not member.sender.speaks(answer)])
        advertised = self._advertised()
        first = outcome.answers[0][1]
        if message.ret is not None:
            for reply in [*first.before, first.ack]:
                await message.ret.send(reply if advertised is None else at_version(reply, advertised))

    # Asking many.

    async def _ask(self, message: Message) -> Outcome:
        outcome = await ask_all(self._members, message, self.deadline)
        outcome.must_have_answers()
        return outcome

    async def _summary(self, message: Message) -> Any:
        outcome = await self._ask(message)
        merged = merge.SUMMARIES[message.path](outcome.values)
        if not message.path:
            merged["Warnings"] += [f"{member.name} is missing: {exc}" for member, exc in outcome.failures]
        return merged

    async def _to_holders(self, message: Message) -> Any:
        """To every member that has the object; those that have not are no failure while one has."""
        outcome = await ask_all(self._members, message, _CHANGE_SECONDS)
        failed = [exc for _, exc in outcome.failures if not isinstance(exc, NotFound)]
        if failed and not outcome.answers:
            raise failed[0]
        outcome.must_have_answers()
        return merge.deleted(outcome.values)

    async def _events(self, message: Message, ret: Reply) -> None:
        await ret.ack()
        async with trio.open_nursery() as nursery:
            for member in self._members:
                nursery.start_soon(self._relay_events, member, message, ret)

    async def _relay_events(self, member: Member, message: Message, ret: Reply) -> None:
        async with Client(member.sender).request(Verb.WATCH, args=message.args) as replies:
            while True:
                try:
                    reply = await next_reply(replies)
                except (SwarmError, trio.EndOfChannel):
                    return  # its events are missing while it is; the others' go on
                if reply.verb is Verb.SET:
                    await ret.send(reply.but(args={}))

    async def _everywhere(self, message: Message, ret: Reply) -> None:
        async with trio.open_nursery() as nursery:
            for member in self._members:
                nursery.start_soon(self._relay_progress, member, message, ret)

    async def _relay_progress(self, member: Member, message: Message, ret: Reply) -> None:
        fields = {"args": message.args, "value": message.value}
        async with Client(member.sender).request(message.verb, message.path, **fields) as replies:
            while (reply := await next_reply(replies)).verb is not Verb.ACK:
                await ret.send(reply)

    # Finding one.

    async def _to_any(self, message: Message) -> Any:
        """To the first member that answers: what is asked of no object is the same everywhere."""
        failure: SwarmError | None = None
        for member in self._members:
            try:
                answer = await member.ask(message, self.deadline)
            except SwarmError as exc:
                failure = failure or exc
                continue
            if message.ret is not None:
                for reply in [*answer.before, answer.ack]:
                    await message.ret.send(reply)
            return None
        raise failure or Unavailable("there are no members")

    async def _to_manager(self, message: Message) -> Any:
        """To a manager of a swarm; without one, to the first that answers, which says what is missing."""
        about = (await self._ask(Message(Verb.GET))).answers
        managers = [member for member, answer in about if _is_manager(answer.value)]
        return await self.hand_on(message, (managers or [about[0][0]])[0].sender)

    async def _to_owner(self, message: Message) -> Any:
        return await self.hand_on(message, (await self._owner(message.path)).sender)

    async def _owner(self, path: Path) -> Member:
        if len(path) < 2:
            raise Unsupported(f"balance can't tell which engine {'/'.join(path) or 'this'} concerns", path=path)
        known = self._owners.get(path[1])
        if known is not None:
            return known
        return self._pick(path, await ask_all(self._members, Message(Verb.GET, path[:2]), self.deadline))

    def _pick(self, path: Path, outcome: Outcome) -> Member:
        ref = path[1]
        found: list[_Found] = [(member, answer.value or {}) for member, answer in outcome.answers]
        if path[0] == "images" and found:
            return found[0][0]
        exact = [hit for hit in found if ref in (hit[1].get("ID"), hit[1].get("Id"))]
        named = [hit for hit in found if str(hit[1].get("Name", "")).lstrip("/") == ref.lstrip("/")]
        fitting = exact or named or found
        if len(fitting) > 1:
            candidates = ", ".join(f"{member.name}{value.get('Name', '')}" for member, value in fitting)
            raise Ambiguous(f"{ref} fits more than one {path[0].rstrip('s')}: {candidates}", path=path)
        if fitting:
            self._remember(exact[0][1].get("Id", ref) if exact else "", fitting[0][0])
            return fitting[0][0]
        raise self._nobody_has(outcome)

    def _nobody_has(self, outcome: Outcome) -> SwarmError:
        """Not found; but first a refusal (an ambiguous prefix), and that one which might have it can't be asked."""
        errors = [exc for _, exc in outcome.failures]
        refused = [exc for exc in errors if not isinstance(exc, NotFound)]
        return refused[0] if refused else errors[0]

    def _remember(self, full_id: str, member: Member) -> None:
        if len(full_id) == 64:
            self._owners[full_id] = member
            if len(self._owners) > _KNOWN_OWNERS:
                self._owners.popitem(last=False)

    # Placing a new one.

    async def _place(self, message: Message) -> Any:
        name = message.args.get("name")
        if name:
            await self._refuse_taken(str(name))
        member = await self._chosen()
        return await self._remembering(message, member)

    async def _refuse_taken(self, name: str) -> None:
        asked = Message(Verb.GET, (*_CONTAINERS, name))
        for member, answer in (await ask_all(self._members, asked, self.deadline)).answers:
            if str(answer.value["Name"]).lstrip("/") == name:
                raise Conflict(
                    f'Conflict. The container name "/{name}" is already in use by container '
                    f'"{answer.value["Id"]}" on {member.name}. You have to remove (or rename) that container '
                    "to be able to reuse that name."
                )

    async def _for_volume(self, message: Message) -> Member:
        """Where a volume of that name is, so that making it twice makes one; else where the strategy says."""
        body: dict[str, Any] = message.json or {}
        if name := body.get("Name"):
            holders = (await ask_all(self._members, Message(Verb.GET, ("volumes", name)), self.deadline)).answers
            if holders:
                return holders[0][0]
        return await self._chosen()

    async def _builder(self) -> Member:
        """The first that is up. A build by BuildKit takes several connections, which must meet; and its cache stays."""
        return (await self._ask(Message(Verb.GET, ("ping",)))).answers[0][0]

    async def _chosen(self) -> Member:
        outcome = await self._ask(Message(Verb.LS, _CONTAINERS, {"all": "1"}))
        healthy = [member for member, _ in outcome.answers]
        if self.strategy == "round-robin":
            return healthy[next(self._turns) % len(healthy)]
        load = {member: len(answer.value or []) + member.pending for member, answer in outcome.answers}
        return min(healthy, key=load.__getitem__)

    async def _remembering(self, message: Message, member: Member) -> Any:
        """Hand a spawn to a member, and learn its id from the answer."""
        if message.ret is None:
            return await self.hand_on(message, member.sender)
        member.pending += 1
        waiting = True

        def settled() -> None:
            nonlocal waiting
            member.pending -= waiting
            waiting = False

        def learn(reply: Message) -> Message:
            if reply.verb is Verb.ACK:
                self._remember(str(cast("dict[str, Any]", reply.json or {}).get("Id", "")), member)
            if reply.verb in FINAL:
                settled()
            return reply

        message.ret.on_gone(settled)
        return await self.hand_on(message.but(ret=Tap(message.ret, learn)), member.sender)


def _is_manager(info: dict[str, Any]) -> bool:
    swarm: dict[str, Any] = info.get("Swarm") or {}
    return bool(swarm.get("ControlAvailable"))
