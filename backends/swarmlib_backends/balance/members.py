"""The members of a balance, which join and leave: their chains are opened, kept open, and closed here."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Final

import trio

from swarmlib import Chain, SwarmError, Unavailable, observing
from swarmlib.errors import sole
from swarmlib.supervision import supervised

from ..calls import distinct
from ..clients import asked_by
from ..pauses import pauses
from .index import Index
from .kept import Kept
from .member import Member
from .node import Node
from .shared import Hear, Shared
from .versions import Advertised, Bridge

_log = logging.getLogger(__name__)

_UNREAD_EVENTS: Final = 1000
_TAKING_STOCK: Final = 32
"""Members that are asked for all that they have at the same time."""
_JOINING: Final = 4
"""Deadlines that a member has to list all its objects before requests are answered without it."""


class Members:
    """The registry of the members."""

    def __init__(self, deadline: float, nursery: trio.Nursery) -> None:
        self.index = Index()
        self.kept = Kept()
        self.advertised = Advertised()
        self.all: list[Member] = []
        """All members, in the order in which they joined, including those that are down."""
        self.deadline = deadline
        """Seconds that one member may delay an answer of several."""
        self.overlay = False
        """Whether new networks span the nodes of a swarm."""
        stock = trio.CapacityLimiter(_TAKING_STOCK)
        self._shared = Shared(self.index, self.kept, deadline, self.announce, self._hear, stock)
        self._nursery = nursery
        self._observer = observing.here.get()  # of this stage: a member may join in a task of another one
        self._by_node: dict[Node, Member] = {}
        self._by_name: dict[str, Member] = {}
        self._hearers: list[Hear] = []
        self._listeners: set[trio.MemorySendChannel[dict[str, Any]]] = set()
        self._unknown: list[Member] = []
        """Members of which it was not known, at the last check, whether they are up."""

    def of(self, node: Node) -> Member:
        """Return the member that a node is.

        Raises:
            Unavailable: the member has left.
        """
        if node not in self._by_node:
            raise Unavailable(f"{node.name} was removed from the members")
        return self._by_node[node]

    def named(self, name: str) -> Member | None:
        """Return the member of a name; None if there is none."""
        return self._by_name.get(name)

    async def known(self) -> None:
        """Wait until each member is known to be up or down, or has had enough time to show it since it joined."""
        while self._unknown:
            member = self._unknown[-1]
            with trio.move_on_at(member.joined + _JOINING * self.deadline):
                await member.known.wait()
            self._unknown = [each for each in self._unknown if each is not member and not each.known.is_set()]

    async def join(self, chain: Chain, node_id: str = "") -> Member:
        """Open a chain and add it as a member.

        node_id: the id that its engine must have as the node of a swarm, if it is one.

        Raises:
            SwarmError: the chain can't be opened.
        """
        name = distinct(chain.name, self._by_name)
        member = Member(name, Bridge(self.advertised), self._shared)
        member.node_id = node_id
        await self._nursery.start(self._live, chain, member)
        self._by_node[member] = self._by_name[name] = member
        self.kept.clear()
        self._unknown.append(member)
        self.all = [*self.all, member]
        return member

    async def _live(self, chain: Chain, member: Member, *, task_status: trio.TaskStatus[None]) -> None:
        """Keep a member's chain open, and reopen it when one of its stages has ended."""
        await self._open(chain, member, task_status)
        waits = pauses()
        while not member.left:
            text = f"{member.name}: one of its stages ended; see the log"
            await member.fail(Unavailable(text, backend=member.name))
            await trio.sleep(next(waits))
            opening = partial(self._open, chain, member)
            await supervised(f"balance: opening {member.name} again", opening, expected=(SwarmError,))

    async def _open(self, chain: Chain, member: Member, task_status: trio.TaskStatus[None] | None = None) -> None:
        """Open a member's chain, and hold it open until the member leaves. Raise what ends it before it is open."""
        opened = False
        try:
            with asked_by("balance"):
                async with Chain(chain, label=member.name).open(observer=self._observer) as sender:
                    member.sender.connect(sender)
                    opened = True
                    if task_status is not None:
                        task_status.started()
                    await member.keep()
        except Exception as exc:
            if not opened:
                raise
            found = sole(exc)
            unexpected = None if isinstance(found, SwarmError) else exc
            _log.error("%s failed, and is opened again: %s", member.name, found, exc_info=unexpected)

    async def leave(self, member: Member) -> None:
        """End a membership; calls that wait for the member end with an error."""
        self.all = [each for each in self.all if each is not member]
        self.advertised.forget(member.sender)
        await member.leave()
        del self._by_node[member], self._by_name[member.name]

    # Events of members, for stages that follow them, and about members, for those who watch events.

    @contextmanager
    def heard_by(self, hear: Hear) -> Generator[None]:
        """Call a function with each event of any member's engine, at once."""
        self._hearers.append(hear)
        try:
            yield
        finally:
            self._hearers.remove(hear)

    def _hear(self, event: Mapping[str, Any]) -> None:
        for hear in self._hearers:
            hear(event)

    def announce(self, event: dict[str, Any]) -> None:
        """Send an event to all listeners."""
        for listener in list(self._listeners):
            try:
                listener.send_nowait(event)
            except trio.WouldBlock:
                self._listeners.discard(listener)
                listener.close()

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[trio.MemoryReceiveChannel[dict[str, Any]]]:
        """Yield a channel of the events about members; it is closed early if the listener does not read."""
        sender, receiver = trio.open_memory_channel[dict[str, Any]](_UNREAD_EVENTS)
        self._listeners.add(sender)
        with sender, receiver:
            try:
                yield receiver
            finally:
                self._listeners.discard(sender)
