"""Runs chains, or other work, until a signal; every stage is closed before the process ends."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from swarmlib import Chain, SwarmError, Unhandled
from swarmlib.chain import opened
from swarmlib.errors import ungrouped
from swarmlib.net.handover import Handover
from swarmlib_backends import control, reopening
from swarmlib_backends.control import Desk
from swarmlib_backends.observe import status
from swarmlib_backends.observe.observation import Observation
from swarmlib_backends.observe.status import Status
from swarmlib_backends.reopening import Reopening, reopened

from .announcing import announce
from .logs import say
from .running import Fleet
from .service_manager import keep_watchdog, notify, reloading
from .settings import Settings, read_file

_FILES: Final = 65_536
_READY: Final = "serving; press Ctrl-C to stop"
_HANGUP: Final[int | None] = getattr(signal, "SIGHUP", None)


def run_until_signal(work: Callable[[], Awaitable[None]], hurry: Callable[[], None] = lambda: None) -> int:
    """Run `work` until its end, or until SIGINT, SIGTERM or SIGHUP (ignored under nohup).

    Unless it means that the terminal was closed, SIGHUP has files read or opened again instead, if there are any.

    hurry: is called at each further signal, while the work that was cancelled is still ending.

    Return the exit code: 0, or what shells expect for the signal, 128 + its number.
    """
    _allow_many_files()
    return trio.run(_run, work, hurry)


async def serve(chain: Chain, control_socket: Path | None) -> None:
    """Hold `chain` open until cancelled; serve its state, and what its stages offer, on a control socket."""
    async with _operated() as (desk, observation, nursery), AsyncExitStack() as stack:
        source, *others = chain.stages(observation.root)
        next = await stack.enter_async_context(opened(others, Unhandled()))
        with Handover().server() as listening:
            await stack.enter_async_context(opened([source], next))
        await stack.enter_async_context(control.serving(desk, control_socket))
        _ready(nursery)
        announce(chain, listening, nursery)
        await trio.sleep_forever()


def _ready(nursery: trio.Nursery) -> None:
    """Tell the terminal and the service manager that calls are served."""
    say(_READY)
    notify("READY=1")
    nursery.start_soon(keep_watchdog)


async def serve_file(path: Path, chains: Mapping[str, Chain], settings: Settings, given: Settings) -> None:
    """Hold the chains of a configuration file open until cancelled; read it again when that is asked for (SIGHUP).

    settings: those of the file. given: those of the command line, which have precedence.
    """
    process = _Process(path, given, given.over(settings))
    async with _operated() as (desk, observation, nursery):
        fleet = Fleet(nursery, observation.root)
        try:
            await fleet.open(chains)
            async with control.serving(desk, process.settings.control):
                _ready(nursery)
                fleet.announce()
                await process.read_again(fleet)
        finally:
            await fleet.close()


@asynccontextmanager
async def _operated() -> AsyncGenerator[tuple[Desk, Observation, trio.Nursery]]:
    """Observe the chains that are opened in this context, and offer their state to the operator."""
    observation = Observation()
    with control.desk() as desk:
        async with (
            control.offering(status.KIND, Status(observation, desk), needed=False),
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(observation.sample)
            yield desk, observation, nursery


@dataclass
class _Process:
    """What a configuration file says of the process, and what holds of it now.

    given: the settings of the command line.
    """

    path: Path
    given: Settings
    settings: Settings

    async def read_again(self, fleet: Fleet) -> None:
        """Read the configuration again whenever that is asked for. While it has a mistake, the former one stays."""
        asked, wait = trio.open_memory_channel[None](1)

        def ask() -> None:
            with suppress(trio.WouldBlock):
                asked.send_nowait(None)

        with reopened(ask):
            async for _ in wait:
                with reloading():
                    await self._become(fleet)

    async def _become(self, fleet: Fleet) -> None:
        try:
            configuration, new = await trio.to_thread.run_sync(read_file, self.path)
        except SwarmError as exc:
            say(f"error: the configuration stays as it was: {exc.message}", logging.ERROR)
            return
        self.settings, said = self.settings.become(self.given.over(new))
        for line in [*said, *await fleet.become(configuration.chains)] or ["nothing has changed"]:
            say(f"{self.path}: {line}")
        fleet.announce()


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


async def _run(work: Callable[[], Awaitable[None]], hurry: Callable[[], None]) -> int:
    with ungrouped(), reopening.holding() as files, trio.open_signal_receiver(*_ending_signals()) as signals:
        ending = _Ending(files, hurry)
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
    """Ends the work at the first signal, and tells it of later ones."""

    def __init__(self, files: Reopening, hurry: Callable[[], None]) -> None:
        self.scope = trio.CancelScope()
        self.exit_code = 0
        self._files = files
        self._hurry = hurry
        self._had_terminal = _has_terminal()

    async def watch(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            if number == _HANGUP and not self._terminal_closed() and self._files():
                continue
            if self.exit_code:
                self._hurry()
            self.exit_code = self.exit_code or 128 + number
            notify("STOPPING=1")
            self.scope.cancel()

    def _terminal_closed(self) -> bool:
        return self._had_terminal and not _has_terminal()
