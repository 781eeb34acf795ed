"""Runs a chain, or other work, until a signal; every stage is closed before the process ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import trio

from swarmlib import Chain
from swarmlib.errors import ungrouped
from swarmlib_backends import control, reopening
from swarmlib_backends.reopening import Reopening

from .logs import say

_FILES: Final = 65_536
_HANGUP: Final[int | None] = getattr(signal, "SIGHUP", None)


def run_until_signal(work: Callable[[], Awaitable[None]]) -> int:
    """Run `work` until its end, or until SIGINT, SIGTERM or SIGHUP (a closed terminal; ignored under nohup).

    In a process that was started without a terminal, as a service is, SIGHUP has files opened again instead, if a stage
    has such files.

    Return the exit code: 0, or what shells expect for the signal, 128 + its number.
    """
    _allow_many_files()
    return trio.run(_run, work)


async def serve(chain: Chain, control_socket: Path | None) -> None:
    """Hold `chain` open until cancelled, and serve what its stages offer to the operator on a control socket."""
    with control.desk() as desk:
        async with chain.open(), control.serving(desk, control_socket):
            say("serving; press Ctrl-C to stop")
            await trio.sleep_forever()


def _allow_many_files() -> None:
    """Raise the limit of open files. A client takes two, its own and the engine's, and the usual limit of 1024 is meant
    for programs that use select(), which this one doesn't. Processes that it starts get the previous limit.
    """
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _run(work: Callable[[], Awaitable[None]]) -> int:
    with ungrouped(), reopening.holding() as files, trio.open_signal_receiver(*_ending_signals()) as signals:
        ending = _Ending(files)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ending.watch, signals)
            with ending.scope:
                await work()
            nursery.cancel_scope.cancel()
    return ending.exit_code


def _ending_signals() -> list[signal.Signals]:
    """Return the signals that end the work; Windows has no SIGHUP, and under nohup it stays ignored."""
    found = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        found.append(signal.SIGHUP)
    return found


def _has_terminal() -> bool:
    """Return whether this process has a controlling terminal, whose end SIGHUP tells."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        return False
    return True


class _Ending:
    """Ends the work at the first signal, and drops later ones: the closing of every stage is bounded."""

    def __init__(self, files: Reopening) -> None:
        self.scope = trio.CancelScope()
        self.exit_code = 0
        self._files = files
        self._has_terminal = _has_terminal()  # now: a terminal that is closed sends SIGHUP, and is gone then

    async def watch(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            if number == _HANGUP and not self._has_terminal and self._files():
                continue
            self.exit_code = self.exit_code or 128 + number
            self.scope.cancel()
