"""The system's ssh: its command line, and a stream to a program that it runs on another machine."""

from __future__ import annotations

import logging
import shlex
import subprocess
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Final

import trio

from ..errors import SwarmError, Unavailable, ungrouped
from .address import Address

_OPTIONS: Final = {
    "BatchMode": "yes",  # a question would have nobody to answer it
    "ConnectTimeout": "10",
    "ControlPath": "none",  # a connection of the user's own could end at any time
    "ExitOnForwardFailure": "yes",
    "ServerAliveInterval": "15",  # with three unanswered ones, a dead machine is found within a minute
}
_WORDS: Final = 3
"""Lines of what ssh said, at most, that an error repeats."""
_LONGEST: Final = 8192
"""Bytes of a line that are kept: the far side decides how long it is."""
_LINGER_SECONDS: Final = 1.0
_log = logging.getLogger(__name__)


def ssh_command(host: str, port: int | None, user: str | None, program: str, *options: str) -> list[str]:
    """Return the command that runs `program`, a line for the far side's shell, without a terminal.

    options: what ssh shall do besides; of an option that is given twice, ssh takes the first.
    """
    command = ["ssh", "-T", *options]
    for name, value in _OPTIONS.items():
        command += ["-o", f"{name}={value}"]
    command += ["-p", str(port)] if port else []
    command += ["-l", user] if user else []
    return [*command, "--", host, program]


async def lines(stream: trio.abc.ReceiveStream) -> AsyncGenerator[str]:
    """Return the whole lines of what a program says."""
    rest = b""
    async for part in stream:
        *whole, rest = (rest + bytes(part)).split(b"\n")
        rest = rest[-_LONGEST:]
        for line in whole:
            yield line.decode("utf-8", "replace").strip()


@asynccontextmanager
async def far_program(address: Address, program: Sequence[str]) -> AsyncGenerator[trio.abc.Stream]:
    """Open a stream to the stdio of a program that runs on another machine; it is ended with the context.

    Raises:
        Unavailable: there is no ssh here.
        SwarmError: the body raised one; this one has what ssh said as well.
    """
    command = ssh_command(address.host, address.port, address.user, shlex.join(program))
    run = partial(trio.run_process, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    with ungrouped():
        async with trio.open_nursery() as nursery:
            try:
                process: trio.Process = await nursery.start(run, command)
            except OSError as exc:
                raise Unavailable(f"can't run ssh: {exc.strerror or exc}") from exc
            said = _Said(process)
            nursery.start_soon(said.listen)
            assert process.stdio is not None
            try:
                yield process.stdio
            except SwarmError as exc:
                raise type(exc)(await said.added_to(exc.message), details=exc.details) from exc
            await _end(process)
            nursery.cancel_scope.cancel()


async def _end(process: trio.Process) -> None:
    """Close its stdin, and leave it a moment to pass on what it has."""
    assert process.stdin is not None
    await process.stdin.aclose()
    with trio.move_on_after(_LINGER_SECONDS):
        await process.wait()


class _Said:
    """What ssh, or the far side's shell, said on stderr."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._last: deque[str] = deque(maxlen=_WORDS)
        self._ended = trio.Event()

    async def listen(self) -> None:
        assert self._process.stderr is not None
        async with aclosing(lines(self._process.stderr)) as said:
            async for line in said:
                _log.info("ssh: %s", line)
                self._last.append(line)
        self._ended.set()

    async def added_to(self, message: str) -> str:
        """Add the last words to an error's message: where ssh failed, they say why."""
        with trio.move_on_after(_LINGER_SECONDS):
            await self._ended.wait()
        return "; ".join([message, *self._last])
