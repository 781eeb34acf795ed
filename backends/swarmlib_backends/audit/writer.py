"""Writes an audit's entries from a task of its own, many at once, so that no call waits for the disk unless it must."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import trio

from swarmlib import CLEANUP_SECONDS, UNSENT, SwarmError, Unavailable

from .journal import Journal, event

MAX_UNWRITTEN: Final = 16 * 1024 * 1024
"""Bytes of entries that may wait to be written; further ones are lost, and counted."""
GATHER_SECONDS: Final = 0.05
"""How long entries are gathered after a write: a thread for each would cost more than the calls themselves."""
RETRY_SECONDS: Final = 1.0
"""Seconds between two attempts to write a file that can't be written."""
CLOSE_SECONDS: Final = CLEANUP_SECONDS - 1
"""Seconds that the stage's closing waits for what is not written yet."""
_log = logging.getLogger(__name__)


class _Batch:
    """Entries that are written together."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.size = 0
        self.done = trio.Event()
        self.problem = ""
        """Why they were not written, once `done` is set."""


class Writer:
    """Writes entries to a journal in the order in which they were put.

    What can't be written stays, up to MAX_UNWRITTEN bytes, until it can; a line of the file then says how many entries
    were lost.
    """

    def __init__(self, journal: Journal, name: str, *, sync: bool) -> None:
        self._journal = journal
        self._name = name
        self._sync = sync
        self._batch = _Batch()
        self._lost = 0
        self._problem = ""
        self._closing = trio.Event()
        self._wake = trio.Event()
        self._patience = trio.CancelScope(shield=True)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Write inside the context; at its end, what remains, for some seconds at most."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run)
            try:
                yield
            finally:
                self._patience.deadline = trio.current_time() + CLOSE_SECONDS
                self._closing.set()
                self.wake()
        if missing := len(self._batch.entries) + self._lost:
            _log.error("audit: %d lines are lost: they could not be written to %s", missing, self._name)

    def unwritten(self) -> int:
        """Count the entries that wait to be written."""
        return len(self._batch.entries)

    def wake(self) -> None:
        """Look at the file again, even if there is nothing to write: it may have been renamed."""
        self._wake.set()

    def check(self) -> None:
        """Check before a call that the file can be written.

        Raises:
            Unavailable: it could not the last time.
        """
        if self._problem:
            raise self._unaudited(self._problem, unsent=True)

    def put(self, entry: bytes) -> None:
        """Have an entry written. Never blocks."""
        batch = self._batch
        size = batch.size + len(entry)
        if size > MAX_UNWRITTEN:
            self._lost += 1
            return
        batch.size = size
        batch.entries.append(entry)
        if len(batch.entries) == 1:  # the writer is told of the others by the first
            self.wake()

    async def write(self, entry: bytes) -> None:
        """Have an entry written; with `sync`, wait for it.

        Raises:
            Unavailable: it can't be written now, with `sync`.
        """
        batch = self._batch
        self.put(entry)
        if not self._sync:
            return
        await batch.done.wait()
        if batch.problem:
            raise self._unaudited(batch.problem, unsent=False)

    def _unaudited(self, problem: str, *, unsent: bool) -> Unavailable:
        what = "was not carried out" if unsent else "may have had its effect"
        details = {UNSENT: True} if unsent else {}
        return Unavailable(f"the call {what}: its line can't be written to {self._name}: {problem}", details=details)

    async def _run(self) -> None:
        with self._patience:
            while not self._closing.is_set():
                await self._wake.wait()
                self._wake = trio.Event()
                await self._write_batch()
                pause = RETRY_SECONDS if self._problem else 0 if self._sync else GATHER_SECONDS
                if pause:
                    with trio.move_on_after(pause):
                        await self._closing.wait()
            self.put(event("closed"))
            await self._write_batch()
            await trio.to_thread.run_sync(self._journal.close)

    async def _write_batch(self) -> None:
        batch, self._batch = self._batch, _Batch()
        lost, self._lost = self._lost, 0
        entries = [*batch.entries, *([event("lost", {"lines": lost})] if lost else [])]
        try:
            await trio.to_thread.run_sync(self._journal.append, entries, abandon_on_cancel=True)
        except (OSError, SwarmError) as exc:
            self._failed(batch, lost, str(exc))
        except trio.Cancelled:
            self._failed(batch, lost, "the disk did not answer in time")
            raise
        else:
            self._succeeded(lost)
        batch.done.set()

    def _failed(self, batch: _Batch, lost: int, problem: str) -> None:
        """Keep the entries for the next attempt, before those that came meanwhile."""
        if not self._problem:
            _log.error("audit: can't write %s: %s; its lines wait until it can be written", self._name, problem)
        self._problem = batch.problem = problem
        self._batch.entries[:0] = batch.entries
        self._batch.size += batch.size
        self._lost += lost
        self.wake()

    def _succeeded(self, lost: int) -> None:
        if self._problem:
            _log.warning("audit: %s can be written again; %d lines are lost", self._name, lost)
        self._problem = ""
