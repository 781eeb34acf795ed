"""Writes an audit's entries from a task of its own, many at once, so that no call waits for the disk unless it must."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import trio

from swarmlib import CLEANUP_SECONDS, UNSENT, SwarmError, Unavailable

from .journal import Journal, event
from .line import Line

MAX_UNWRITTEN: Final = 16 * 1024 * 1024
"""Bytes of entries that may wait to be written; further ones are lost, and counted."""
GATHER_SECONDS: Final = 0.05
"""How long entries are gathered after a write: a thread for each would cost more than the calls themselves."""
RETRY_SECONDS: Final = 1.0
"""Seconds between two attempts to write a file that can't be written."""
GATHERED_LINES: Final = 64
"""The most lines that wait to be worked out. Each keeps its request and its answer until then, and takes about 10 µs,
in which no other call goes on.
"""
GATHERED_BYTES: Final = 256 * 1024
"""The most bytes of bodies and answers that they keep, those of the last line aside."""
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
        self._ended: list[Line] = []
        """Those that are not worked out yet."""
        self._held = 0
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
        if missing := self.unwritten() + self._lost:
            _log.error("audit: %d lines are lost: they could not be written to %s", missing, self._name)

    def unwritten(self) -> int:
        """Count the entries that wait to be written."""
        return len(self._ended) + len(self._batch.entries)

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

    def put(self, line: Line) -> None:
        """Have the line of a call that has ended written. Never blocks."""
        self._ended.append(line)
        self._held += line.received + line.sent
        if len(self._ended) == 1:  # the writer is told of the others by the first
            self.wake()
        if self._sync or len(self._ended) == GATHERED_LINES or self._held > GATHERED_BYTES:
            self._make_entries()

    async def write(self, line: Line) -> None:
        """Have a line written; with `sync`, wait for it.

        Raises:
            Unavailable: it can't be written now, with `sync`.
        """
        batch, lost = self._batch, self._lost
        self.put(line)
        if not self._sync:
            return
        if self._lost > lost:
            raise self._unaudited("it could not be made, or too many wait to be written", unsent=False)
        await batch.done.wait()
        if batch.problem:
            raise self._unaudited(batch.problem, unsent=False)

    def _make_entries(self) -> None:
        """Work out the lines of the calls that have ended. One that fails is lost, and ends no other call."""
        ended, self._ended, self._held = self._ended, [], 0
        batch = self._batch
        for line in ended:
            try:
                entry = line.entry()
            except Exception:  # noqa: BLE001 - it is logged and counted, and with `sync` it fails the call
                _log.exception("audit: a line is lost: it could not be made")
                self._lost += 1
                continue
            size = batch.size + len(entry)
            if size > MAX_UNWRITTEN:
                self._lost += 1
            else:
                batch.size = size
                batch.entries.append(entry)

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
            self._make_entries()
            self._batch.entries.append(event("closed"))
            await self._write_batch()
            await trio.to_thread.run_sync(self._journal.close)

    async def _write_batch(self) -> None:
        self._make_entries()
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
