"""Which chains are members: those that were given, and those of a file that is read again when it changes."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path as FilePath
from typing import Any, Final

import trio

from swarmlib import Chain, ChainSyntaxError, Invalid, SwarmError, Unavailable
from swarmlib.errors import sole
from swarmlib.supervision import supervised

from ..calls import distinct
from .index import Index
from .lasting import lasting, pauses
from .members import Member
from .versions import Advertised, Bridge

_log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 1.0
"""Between two looks at the file."""
_UNREAD_EVENTS: Final = 1000
_JOINING: Final = 4
"""Deadlines that a member has to list all its objects before requests are answered without it."""


@dataclass
class _Joined:
    """A member, and the scope in which its chain is open now."""

    member: Member
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    left: bool = False


class Roster:
    """The members, who come and go."""

    def __init__(self, deadline: float, nursery: trio.Nursery) -> None:
        self.index = Index()
        self.advertised = Advertised()
        self._deadline = deadline
        self._nursery = nursery
        self._joined: list[_Joined] = []
        self._from_file: dict[str, _Joined] = {}
        self._listeners: set[trio.MemorySendChannel[dict[str, Any]]] = set()
        self._members: list[Member] = []
        self._unknown: list[Member] = []
        """Those of which it was not known, when last looked, whether they are up."""

    @property
    def members(self) -> list[Member]:
        """All of them, in the order that they were given; those that are down too."""
        return self._members

    def named(self, name: str) -> Member | None:
        """The member of a name."""
        return next((member for member in self._members if member.name == name), None)

    async def known(self) -> None:
        """Wait until it is known of each whether it is up, or it has had time enough to show it since it joined."""
        while self._unknown:
            member = self._unknown[-1]
            with trio.move_on_at(member.joined + _JOINING * self._deadline):
                await member.known.wait()
            self._unknown = [each for each in self._unknown if each is not member and not each.known.is_set()]

    async def join(self, chain: Chain) -> _Joined:
        """Open a chain and make it a member.

        Raises:
            SwarmError: it can't be opened.
        """
        name = distinct(chain.name, {member.name for member in self._members})
        joined: _Joined = await self._nursery.start(self._live, chain, name)
        self._joined.append(joined)
        self._unknown.append(joined.member)
        self._members = [each.member for each in self._joined]
        return joined

    async def _live(self, chain: Chain, name: str, *, task_status: trio.TaskStatus[_Joined]) -> None:
        """Keep a member's chain open, and open it again when one of its stages has ended."""
        bridge = Bridge(self.advertised)
        joined = _Joined(Member(name, bridge, self.index, self._deadline, self.announce))
        await self._open(chain, bridge, joined, task_status)
        waits = pauses()
        while not joined.left:
            await joined.member.fail(Unavailable(f"{name}: one of its stages ended; the log says how", backend=name))
            await trio.sleep(next(waits))
            opening = partial(self._open, chain, bridge, joined)
            await supervised(f"balance: opening {name} again", opening, expected=(SwarmError,))

    async def _open(
        self, chain: Chain, bridge: Bridge, joined: _Joined, task_status: trio.TaskStatus[_Joined] | None = None
    ) -> None:
        """Open a member's chain, and keep the member until it leaves. Raises what ends the chain before it is open."""
        opened = False
        try:
            async with chain.open() as sender:
                bridge.connect(sender)
                opened = True
                if task_status is not None:
                    task_status.started(joined)
                with trio.CancelScope() as joined.scope:
                    await joined.member.keep()
        except Exception as exc:
            if not opened:
                raise
            found = sole(exc)
            unexpected = None if isinstance(found, SwarmError) else exc
            _log.error("%s is lost, and is opened again: %s", joined.member.name, found, exc_info=unexpected)

    async def leave(self, joined: _Joined) -> None:
        """End a membership; what waits for an answer of it is told so."""
        self._joined.remove(joined)
        self._members = [each.member for each in self._joined]
        joined.left = True
        joined.scope.cancel()
        self.advertised.forget(joined.member.sender)
        await joined.member.leave()

    # What happens to members, for those who watch events.

    def announce(self, event: dict[str, Any]) -> None:
        """Tell all who listen."""
        for listener in list(self._listeners):
            try:
                listener.send_nowait(event)
            except trio.WouldBlock:
                self._listeners.discard(listener)
                listener.close()

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[trio.MemoryReceiveChannel[dict[str, Any]]]:
        """The events of members that come and go; it ends early for who doesn't read."""
        sender, receiver = trio.open_memory_channel[dict[str, Any]](_UNREAD_EVENTS)
        self._listeners.add(sender)
        with sender, receiver:
            try:
                yield receiver
            finally:
                self._listeners.discard(sender)

    # The file.

    async def read(self, path: FilePath) -> None:
        """Make the members those of the file, beside those that were given.

        Raises:
            Invalid: the file can't be read, or a line of it is no chain; nothing is changed then.
            SwarmError: one can't be opened; the others are.
        """
        wanted = await _chains_in(path)
        for text, joined in list(self._from_file.items()):
            if text not in wanted:
                del self._from_file[text]
                await self.leave(joined)
        for text, chain in wanted.items():
            if text not in self._from_file:
                self._from_file[text] = await self.join(chain)

    async def follow(self, path: FilePath, seen: object) -> None:
        """Read the file again whenever it changes; one that can't be used is logged, and changes nothing."""
        self._seen = seen
        await lasting(f"balance: following {path}", self._follow, path)

    async def _follow(self, path: FilePath) -> None:
        while True:
            await trio.sleep(_LOOK_SECONDS)
            now = await stamp(path)
            if now != self._seen:
                self._seen = now
                try:
                    await self.read(path)
                except SwarmError as exc:
                    _log.error("the members stay as they are: %s", exc.message)


async def stamp(path: FilePath) -> object:
    """What changes when a file does."""
    try:
        found = await trio.Path(path).stat()
    except OSError as exc:
        return str(exc)
    return found.st_mtime_ns, found.st_size, found.st_ino


async def _chains_in(path: FilePath) -> Mapping[str, Chain]:
    try:
        lines = (await trio.Path(path).read_text("utf-8")).splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise Invalid(f"{path}: {exc}") from exc
    return _chains(path, lines)


def _chains(path: FilePath, lines: Sequence[str]) -> Mapping[str, Chain]:
    found: dict[str, Chain] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            found[text] = Chain.read(text)
        except ChainSyntaxError as exc:
            raise Invalid(f"{path}, line {number}: {exc.message}") from exc
    return found
