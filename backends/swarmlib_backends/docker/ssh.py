"""The ssh connection to an engine's machine: one for all requests. Each connection to the engine is a channel of it to
the engine's unix socket, which OpenSSH forwards to a socket in a private local folder.

Unlike a `docker system dial-stdio` for each request (the docker CLI's way), this needs no docker CLI on the other
machine and no login for each request, and is not limited by sshd's MaxSessions (ten by default).
"""

from __future__ import annotations

import logging
import shlex
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Final
from urllib.parse import SplitResult

import trio

from swarmlib import Unavailable
from swarmlib.errors import ungrouped
from swarmlib.net.ssh import lines, ssh_command

SOCKET_THERE: Final = "/var/run/docker.sock"
_READY: Final = "swarmlib: ready"
_HOLD: Final = f"""\
if [ ! -S "$0" ]; then echo "there is no socket $0 on this machine: is an engine running there?"; exit 1; fi
if [ ! -w "$0" ]; then echo "the user $(id -un) may not use the socket $0: is it in the group docker?"; exit 1; fi
echo '{_READY}'; exec cat"""
"""Checks the socket $0, and ends with this end of its stdin, so that ssh never outlives a swarmd that was killed."""
_log = logging.getLogger(__name__)


class SshTunnel:
    """Connections to the engine's socket on another machine; ssh is started when it is first needed, and restarted when
    it is needed after it has ended.
    """

    def __init__(self, address: SplitResult, nursery: trio.Nursery, options: Mapping[str, str]) -> None:
        self._options = options
        self._address = address
        self._nursery = nursery
        self._starting = trio.Lock()
        self._socket_here = ""

    async def socket(self) -> str:
        """Return the path of the local unix socket that leads to the engine.

        Raises:
            Unavailable: ssh can't log in; the error has its own words.
            OSError: there is no ssh on this machine.
        """
        async with self._starting:
            if not self._socket_here:
                await self._nursery.start(self._run)
        return self._socket_here

    def _command(self, socket_here: str) -> list[str]:
        address = self._address
        there = address.path if address.path.strip("/") else SOCKET_THERE
        options = [word for name, value in self._options.items() for word in ("-o", f"{name}={value}")]
        tunnel = ("-L", f"{socket_here}:{there}", *options)
        hold = f"exec sh -c {shlex.quote(_HOLD)} {shlex.quote(there)}"
        return ssh_command(address.hostname or "", address.port, address.username, hold, *tunnel)

    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Run ssh until it ends; report `started` once it has logged in."""
        with tempfile.TemporaryDirectory(prefix="swarmlib-ssh-") as folder, ungrouped():
            socket_here = f"{folder}/engine.sock"
            run = partial(trio.run_process, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            async with trio.open_nursery() as nursery:
                process: trio.Process = await nursery.start(partial(run, self._command(socket_here), check=False))
                try:
                    async with aclosing(_said(process)) as said:
                        await _logged_in(said)
                        self._socket_here = socket_here
                        task_status.started()
                        async for line in said:
                            _log.warning("ssh to %s: %s", self._address.hostname, line)
                finally:
                    self._socket_here = ""


def _said(process: trio.Process) -> AsyncGenerator[str]:
    assert process.stdout is not None
    return lines(process.stdout)


async def _logged_in(said: AsyncGenerator[str]) -> None:
    before: list[str] = []
    async for line in said:
        if line == _READY:
            return
        before.append(line)
    raise Unavailable("; ".join(before[-3:]) or "ssh ended without a word")
