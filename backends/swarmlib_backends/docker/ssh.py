"""The ssh connection to an engine's machine: one, however many requests there are. Each request's connection is a
channel of it, to the engine's unix socket there, which OpenSSH forwards to a socket in a private folder here.

Unlike a `docker system dial-stdio` for each request (the docker CLI's way), this needs no docker CLI on the other side,
no login for each request, and is not held to sshd's MaxSessions (ten, unless changed).
"""

from __future__ import annotations

import logging
import subprocess
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Final
from urllib.parse import SplitResult

import trio

from swarmlib import Unavailable
from swarmlib.errors import ungrouped

SOCKET_THERE: Final = "/var/run/docker.sock"
_READY: Final = "swarmlib: ready"
_HOLD: Final = f"echo '{_READY}'; exec cat"
"""Ends with our end of its stdin, so that ssh never outlives a swarmd that was killed."""
_OPTIONS: Final = {
    "BatchMode": "yes",  # a question would have nobody to answer it
    "ControlPath": "none",  # a connection of the user's own could end at any time
    "ExitOnForwardFailure": "yes",
    "ServerAliveInterval": "15",  # with three unanswered ones, a dead machine is found within a minute
}
_log = logging.getLogger("swarmlib")


class SshTunnel:
    """Connections to the engine's socket on another machine; ssh is started when it is first needed, and again after
    it has ended.
    """

    def __init__(self, address: SplitResult, nursery: trio.Nursery) -> None:
        self._address = address
        self._nursery = nursery
        self._starting = trio.Lock()
        self._socket_here = ""

    async def connect(self) -> trio.SocketStream:
        """A connection to the engine.

        Raises:
            Unavailable: ssh can't log in; in its own words. OSError: there is no ssh here, or it ended just now.
        """
        async with self._starting:
            if not self._socket_here:
                await self._nursery.start(self._run)
        return await trio.open_unix_socket(self._socket_here)

    def _command(self, socket_here: str) -> list[str]:
        address = self._address
        there = address.path if address.path.strip("/") else SOCKET_THERE
        command = ["ssh", "-T", "-L", f"{socket_here}:{there}"]
        for name, value in _OPTIONS.items():
            command += ["-o", f"{name}={value}"]
        command += ["-p", str(address.port)] if address.port else []
        command += ["-l", address.username] if address.username else []
        return [*command, "--", address.hostname or "", _HOLD]

    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Run ssh until it ends; `started` once it has logged in."""
        with tempfile.TemporaryDirectory(prefix="swarmlib-ssh-") as folder, ungrouped():
            socket_here = f"{folder}/engine.sock"
            run = partial(trio.run_process, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            async with trio.open_nursery() as nursery:
                process: trio.Process = await nursery.start(partial(run, self._command(socket_here), check=False))
                try:
                    async with aclosing(_lines(process)) as lines:
                        await _logged_in(lines)
                        self._socket_here = socket_here
                        task_status.started()
                        async for line in lines:
                            _log.warning("ssh to %s: %s", self._address.hostname, line)
                finally:
                    self._socket_here = ""


async def _logged_in(lines: AsyncGenerator[str]) -> None:
    said: list[str] = []
    async for line in lines:
        if line == _READY:
            return
        said.append(line)
    raise Unavailable("; ".join(said[-3:]) or "ssh ended without a word")


async def _lines(process: trio.Process) -> AsyncGenerator[str]:
    assert process.stdout is not None
    rest = b""
    async for part in process.stdout:
        *whole, rest = (rest + bytes(part)).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace").strip()
