"""A container of a cluster: its record, its Pod, and what they say together of how it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import trio

from ..dockerapi.nullable import dict_of
from ..enginekit.container import Configured
from .pods import status
from .pods.record import Ended, Health, Record
from .pods.status import State

Pod: TypeAlias = dict[str, Any]

_KILLED: Final = 137


@dataclass(eq=False)
class PodContainer(Configured):
    """A container as the cluster has it now. `Mirror` keeps it up to date."""

    record: Record
    pod: Pod | None = None
    """Its newest Pod; None if it has none (yet, or any more)."""
    stoppers: int = 0
    """Calls and streams for whose time it does not remove itself when it ends."""
    started_here: bool = False
    """Whether this gateway has started it, and so removes it when it ends, if it removes itself."""
    exited: trio.Event = field(default_factory=trio.Event)
    """Set at the end of this run, or of the next one where none is under way; each run has its own."""
    pod_ended: trio.Event = field(default_factory=trio.Event)
    """Set when the processes of its Pod, if it has one, have ended or are gone; each run of them has its own."""
    removed: trio.Event = field(default_factory=trio.Event)
    _changed: trio.Event = field(default_factory=trio.Event)
    _checked: tuple[int, Health] | None = None
    """The last checks of its health, and the run that they are of."""
    _seen: Ended | None = None
    """The end of the run whose Pod is gone: as it was seen, or as the deletion of a Pod that ran."""

    def __post_init__(self) -> None:
        self.id = self.record.id
        self.name = self.record.name
        self.created = self.record.created
        self.config: dict[str, Any] = self.record.config
        self.state: State = status.state(self.record, self.pod)

    @property
    def status(self) -> str:
        """An engine's word for its state."""
        return self.state.status

    @property
    def running(self) -> bool:
        """Whether it runs, or is paused or about to be restarted."""
        return self.state.running

    @property
    def exit_code(self) -> int:
        """That of its last run."""
        return self.state.exit_code

    @property
    def host(self) -> dict[str, Any]:
        """The host's side of its configuration."""
        return self.record.host

    @property
    def address(self) -> str:
        """Its address while it runs; "" for none."""
        return str(dict_of((self.pod or {}).get("status")).get("podIP") or "") if self.running else ""

    @property
    def published_address(self) -> str:
        """The address of its published ports, where its record does not say it; "" for none (yet)."""
        if self.record.via == "pod":
            return self.address
        return str(dict_of((self.pod or {}).get("status")).get("hostIP") or "")

    def update(self, record: Record, pod: Pod | None) -> State:
        """Take what the cluster has now, and wake those who wait; returns the state before."""
        before = self.state
        if pod is None and self.pod is not None:
            self._seen = _end_of(record, before)
        self._end_processes(self.pod, pod)
        self.record, self.pod, self.config = record, pod, record.config
        self.state = self._with_checks(status.state(self._known_record(), pod))
        self.wake()
        if before.running and not self.state.running:
            self.exited.set()
            self.exited = trio.Event()
        return before

    def _end_processes(self, before: Pod | None, now: Pod | None) -> None:
        """Wake those who wait for the end of the processes of its Pod, if they have ended, or were started anew."""
        over, were = now is None or status.is_over(now), status.incarnation(before)
        if over or (were and were != status.incarnation(now)):
            self.pod_ended.set()
        if not over and self.pod_ended.is_set():
            self.pod_ended = trio.Event()

    def _known_record(self) -> Record:
        """Return the record, with the end that was seen and is not written down yet."""
        seen = self._seen
        if seen is None or self.record.last is not None or seen.run != self.record.run:
            return self.record
        return replace(self.record, last=seen)

    def note_health(self, found: Health) -> None:
        """Note the last checks of this run. What the status is, the record says."""
        self._checked = self.record.run, found
        self.state = self._with_checks(self.state)

    def _with_checks(self, state: State) -> State:
        """Return a state with the checks of this run that are known."""
        known, checked = state.health, self._checked
        if known is None or checked is None or checked[0] != self.record.run or known.latest >= checked[1].latest:
            return state
        return replace(state, health=replace(checked[1], status=known.status))

    def wake(self) -> None:
        """Have all that wait for a change look again."""
        self._changed.set()
        self._changed = trio.Event()

    async def next_change(self) -> None:
        """Wait for the next change of its record or its Pod."""
        await self._changed.wait()

    async def until(self, fits: Callable[[PodContainer], bool]) -> None:
        """Wait until it fits, or is removed."""
        while not (fits(self) or self.removed.is_set()):
            await self.next_change()

    @contextmanager
    def kept(self) -> Generator[None]:
        """Keep it from removing itself for the time of the context."""
        self.stoppers += 1
        try:
            yield
        finally:
            self.stoppers -= 1
            self.wake()


def _end_of(record: Record, last: State) -> Ended | None:
    """Return the end of a run whose Pod is gone. last: how it was before that."""
    if last.running:
        return Ended(record.run, _KILLED, last.started, time.time(), error="its Pod was deleted")
    if last.status == "exited":
        return Ended(record.run, last.exit_code, last.started, last.finished, last.oom_killed, last.error)
    return None
