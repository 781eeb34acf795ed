"""A container of a cluster: its record, its Pod, and what they say together of how it is."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import trio

from ..dockerapi.nullable import dict_of
from ..enginekit.seen import Seen
from .pods import status
from .pods.record import Ended, Health, Record
from .pods.status import State

Pod: TypeAlias = dict[str, Any]

_KILLED: Final = 137
_ENDED: Final = ("restarting", "exited", "dead")
"""The states after a run."""
_RUNS: Final = ("running", "paused")


@dataclass(eq=False)
class PodContainer(Seen[State]):
    """A container as the cluster has it now. `Mirror` keeps it up to date."""

    record: Record
    pod: Pod | None = None
    """Its newest Pod; None if it has none (yet, or any more)."""
    begins: bool = False
    """Whether this gateway lets it begin now; it may look as if it ran, and nobody is told of a start."""
    gated: str = ""
    """The uid of the Pod whose process this gateway has seen to be at its gate, or beyond it."""
    pod_ended: trio.Event = field(default_factory=trio.Event)
    """Set when the processes of its Pod, if it has one, have ended or are gone; each run of them has its own."""
    read_run: int = 0
    """The last run of a container that is kept whose logs are known to be whole, or were waited for in vain."""
    _checked: tuple[int, Health] | None = None
    """The last checks of its health, and the run that they are of."""
    _seen: Ended | None = None
    """The end of the run whose Pod is gone: as it was seen, or as the deletion of a Pod that ran."""

    def __post_init__(self) -> None:
        self.id = self.record.id
        self.name = self.record.name
        self.created = self.record.created
        self.config: dict[str, Any] = self.record.config
        self.state = status.state(self.record, self.pod)

    @property
    def ended_run(self) -> int:
        """The number of its last run that has ended; 0 for none."""
        return self.record.run - self.running

    @property
    def host(self) -> dict[str, Any]:
        """The host's side of its configuration."""
        return self.record.host

    @property
    def address(self) -> str:
        """Its address while it runs; "" for none."""
        return str(dict_of((self.pod or {}).get("status")).get("podIP") or "") if self.running else ""

    @property
    def pod_uid(self) -> str:
        """The uid of its Pod; "" for none."""
        return str(dict_of((self.pod or {}).get("metadata")).get("uid") or "")

    @property
    def at_gate(self) -> bool:
        """Whether its Pod, if it has one, waits for a run that was not asked for yet."""
        return self.status == "created" or (self.record.keep and self.status == "exited")

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
        failed = self.status == "created" and before.running and not self.begins
        if failed or self.has_ended_since(before) or (before.status == "restarting" and not self.running):
            self.tell_exit()
        return before

    def _end_processes(self, before: Pod | None, now: Pod | None) -> None:
        """Wake those who wait for the end of the processes of its Pod, if they have ended, or were started anew."""
        over, were = now is None or status.is_over(now), status.incarnation(before)
        if over or (were and were != status.incarnation(now)):
            self.pod_ended.set()
        if not over and self.pod_ended.is_set():
            self.pod_ended = trio.Event()

    def has_ended_since(self, before: State) -> bool:
        """Return whether a run has ended between a state and the present one; one that never began does not end."""
        if self.record.error:
            return False
        ended = self.status in _ENDED
        if self.state.restarts > before.restarts:
            return ended or before.status in _RUNS
        return ended and before.status not in _ENDED

    def _known_record(self) -> Record:
        """Return the record, with the end that was seen and is not written down yet."""
        seen, known = self._seen, self.record.last
        if seen is None or seen.run != self.record.run or (known is not None and known.run == seen.run):
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


def _end_of(record: Record, last: State) -> Ended | None:
    """Return the end of a run whose Pod is gone. last: how it was before that."""
    if last.running:
        return Ended(record.run, _KILLED, last.started, time.time(), error="its Pod was deleted")
    if last.status == "exited":
        return Ended(record.run, last.exit_code, last.started, last.finished, last.oom_killed, last.error)
    return None
