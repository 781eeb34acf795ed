"""The events of machines. Azure has no event stream for them, so the machines are listed periodically and compared.

Azure is only polled while somebody watches. Changes by the backend itself trigger a poll at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import trio

from swarmlib import Request
from swarmlib.errors import ungrouped

from ..enginekit import events as docker
from ..enginekit.clock import Clock
from .objects import Machine
from .spec import Body, is_reserved

_ACTIONS: Final = {(False, True): "start", (True, False): "die"}


class Events:
    """Changes of machines. `listed` returns all of them; `poll` is the time between two polls, in seconds."""

    def __init__(self, listed: Callable[[], Awaitable[list[Machine]]], poll: float) -> None:
        self._listed = listed
        self._poll = poll
        self._looks: set[trio.Event] = set()

    def look(self) -> None:
        """Make all watchers poll now, because something was changed."""
        for event in self._looks:
            event.set()

    async def _pause(self) -> None:
        event = trio.Event()
        self._looks.add(event)
        try:
            with trio.move_on_after(self._poll):
                await event.wait()
        finally:
            self._looks.discard(event)

    async def send(self, request: Request) -> None:
        """Acknowledge a watch, and send it the events that it asks for, until its `until`.

        Raises:
            Invalid, Unsupported: its filters are invalid.
            SwarmError: Azure refuses, or fails.
        """
        known = {each.id: each for each in await self._listed()}
        told = docker.Events(Clock())
        with ungrouped():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._compare, known, told)
                await told.send(request)
                nursery.cancel_scope.cancel()

    async def _compare(self, known: Mapping[str, Machine], told: docker.Events) -> None:
        while True:
            await self._pause()
            found = {each.id: each for each in await self._listed()}
            for event in changes(known, found):
                told.tell(event)
            known = found

    async def stopped(self, id: str, condition: str) -> None:
        """Return once a machine is off or gone; `condition` is Docker's."""
        seen_running = condition != "next-exit"
        while True:
            found = next((each for each in await self._listed() if each.id == id), None)
            if found is None or (condition != "removed" and seen_running and not found.running):
                return
            seen_running = seen_running or found.running
            await self._pause()


def changes(before: Mapping[str, Machine], after: Mapping[str, Machine]) -> list[Body]:
    """Return the events between two polls."""
    found: list[Body] = []
    for id, machine in before.items():
        if id not in after:
            found += [event(machine, "die")] if machine.running else []
            found.append(event(machine, "destroy"))
    for id, machine in after.items():
        old = before.get(id)
        if old is None:
            found.append(event(machine, "create"))
        if action := _ACTIONS.get((old is not None and old.running, machine.running)):
            found.append(event(machine, action))
        if old is not None and (_tags(old), old.size) != (_tags(machine), machine.size):
            found.append(event(machine, "update"))
    return found


def _tags(machine: Machine) -> dict[str, str]:
    """Return the tags but swarmlib's own, which change without any change of the machine."""
    return {name: value for name, value in machine.tags.items() if not is_reserved(name)}


def event(machine: Machine, action: str) -> Body:
    """Return an event of the Engine API, without its time: that is added when the event is sent."""
    return docker.container_event(machine.id, machine.name, machine.image, machine.tags, action, {})
