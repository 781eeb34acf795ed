"""The nodes of a swarm as members of a balance: they join, change and leave as a manager's events tell."""

from __future__ import annotations

import logging
import random
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import trio

from swarmlib import UNSENT, Ack, Request, Sender, SwarmError, TimedOut, Unavailable, Verb, ask, next_reply
from swarmlib.asking import Answer, call
from swarmlib.errors import ungrouped
from swarmlib.supervision import supervised

from ..balance.member import Member
from ..balance.members import Members
from ..dockerapi.filters import encode
from ..pauses import pauses
from .nodes import SwarmNode, listed
from .reaching import Template

_log = logging.getLogger(__name__)

_LONGEST_PAUSE: Final = 5.0
_READS: Final = frozenset({Verb.LS, Verb.GET})
_NODE_EVENTS: Final = {"filters": encode({"type": ["node"]})}


@dataclass(eq=False)
class _Joined:
    """A node that is a member, by a chain that the template made of it (`way`)."""

    node: SwarmNode
    way: str
    member: Member

    def tell(self, node: SwarmNode) -> None:
        """Tell the member what its swarm says of it now."""
        self.node = node
        self.member.attributes, self.member.closed = node.attributes, node.closed


class Membership:
    """Keeps the members of a balance in step with the nodes of a swarm.

    given: channels to the managers that the user named. template: how the engines of nodes are reached.
    """

    def __init__(self, members: Members, given: Sequence[Sender], template: Template) -> None:
        self._members = members
        self._given = given
        self._template = template
        self._joined: dict[str, _Joined] = {}
        self._left_out: dict[str, SwarmNode] = {}
        """Nodes that can't be members as they are, by their ids."""

    async def begin(self) -> None:
        """Add the nodes that there are.

        Raises:
            SwarmError: no manager lists them: the error of the first.
        """
        failure: SwarmError | None = None
        for manager in self._given:
            try:
                await self._sync(manager)
            except SwarmError as exc:
                failure = failure or exc
            else:
                return
        raise failure or Unavailable("no manager is given")

    async def follow(self) -> None:
        """Follow what the managers tell of nodes, one after the other, forever."""
        waits = pauses(_LONGEST_PAUSE)
        while True:
            for manager in self.managers():
                ended = await self._followed(manager)
                _log.warning("swarm: its manager is no longer followed: %s", ended)
            await trio.sleep(next(waits) * random.uniform(0.75, 1.25))

    def managers(self) -> list[Sender]:
        """Return the channels to managers: those of nodes that are up, then those that were given."""
        up = [each.member.calls for each in self._joined.values() if each.node.manages and each.member.up]
        return [*up, *self._given]

    async def ask(self, request: Request) -> Answer:
        """Ask the managers, one after the other, until one answers.

        Raises:
            SwarmError: one refuses the request, or may have carried it out without an answer; or none can be asked.
        """
        failure: SwarmError = Unavailable("no manager of the swarm is known")
        for manager in self.managers():
            try:
                return await self._ask(manager, request)
            except (Unavailable, TimedOut) as exc:
                if request.verb not in _READS and not exc.details.get(UNSENT):
                    raise
                failure = exc
        raise failure

    def is_down(self, id: str) -> bool:
        """Return whether the swarm says that a node is down, by the node's id."""
        return id in self._joined and self._joined[id].node.down

    def about(self) -> dict[str, Any]:
        """Return what an engine of the swarm that manages nothing says of it in its `info`."""
        managers = [{"NodeID": id} for id, each in self._joined.items() if each.node.manages]
        return {"LocalNodeState": "active", "ControlAvailable": False, "RemoteManagers": managers}

    def member_of(self, id: str) -> Member | None:
        """Return the member that a node is, by the node's id; None if it is not a member."""
        joined = self._joined.get(id)
        return None if joined is None else joined.member

    async def _followed(self, manager: Sender) -> str:
        """Follow one manager until that fails; return why it ended."""
        why = "following it failed"

        async def follow() -> None:
            nonlocal why
            try:
                with ungrouped():
                    await self._follow(manager)
            except SwarmError as exc:
                why = exc.message

        await supervised("swarm: following the nodes", follow)
        return why

    async def _follow(self, manager: Sender) -> None:
        """Follow one manager.

        Raises:
            SwarmError: it does not answer, or its events end.
        """
        async with await ask(manager, Request(Verb.WATCH, params=_NODE_EVENTS)) as replies:
            with self._in_time():
                while not isinstance(await next_reply(replies), Ack):
                    pass
            changes, changed = trio.open_memory_channel[None](1)
            async with trio.open_nursery() as nursery, changes, changed:
                nursery.start_soon(self._keep_in_step, manager, changed)
                while True:
                    try:
                        await next_reply(replies)
                    except trio.EndOfChannel:
                        raise Unavailable("its events ended") from None
                    with suppress(trio.WouldBlock):
                        changes.send_nowait(None)

    async def _keep_in_step(self, manager: Sender, changed: trio.MemoryReceiveChannel[None]) -> None:
        """List the nodes after each event, as it does not tell all. That a manager hangs is told by no event."""
        told = True
        while True:
            if told:
                await self._sync(manager)
            else:
                await self._ask(manager, Request(Verb.GET, ("ping",)))
            told = False
            with trio.move_on_after(self._members.deadline):
                await changed.receive()
                told = True

    async def _ask(self, manager: Sender, request: Request) -> Answer:
        with self._in_time():
            return await call(manager, request)

    @contextmanager
    def _in_time(self) -> Generator[None]:
        deadline = self._members.deadline
        try:
            with trio.fail_after(deadline):
                yield
        except trio.TooSlowError:
            raise TimedOut(f"it did not answer within {deadline:g} s") from None

    # The members.

    async def _sync(self, manager: Sender) -> None:
        """Let the members be the nodes that a manager lists.

        Raises:
            SwarmError: it does not list them.
        """
        found = {node.id: node for node in listed((await self._ask(manager, Request(Verb.LS, ("nodes",)))).value)}
        for id in self._joined.keys() - found.keys():
            await self._leave(id)
        for node in found.values():
            if self._left_out.get(node.id) != node:
                await self._update(node)
        self._left_out = {id: node for id, node in self._left_out.items() if id in found}

    async def _update(self, node: SwarmNode) -> None:
        """Add a node, or tell its member what has changed. A node that can't be reached as asked is left out."""
        joined = self._joined.get(node.id)
        try:
            way, chain = self._template.chain(node)
            if joined is not None and joined.way != way:
                await self._leave(node.id)
                joined = None
            if joined is None:
                joined = self._joined[node.id] = _Joined(node, way, await self._members.join(chain, node.id))
        except SwarmError as exc:
            self._left_out[node.id] = node
            _log.error("swarm: %s (%s) is left out: %s", node.hostname, node.id, exc.message)
        else:
            joined.tell(node)

    async def _leave(self, id: str) -> None:
        await self._members.leave(self._joined.pop(id).member)
