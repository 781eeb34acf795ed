"""The ssh host keys of machines. Each machine is asked for its own through Azure, before ssh first connects to it.

Azure's run command runs a script on a machine by the agent in it, so that whoever is between here and the machine can't
answer in its place. An image may have no agent, and a role may not allow commands: then the keys are taken from the
machine's boot log, which only its kernel and root write; cloud-init prints them there. They are kept in a file of
ssh's, `azure_known_hosts`, which ssh then trusts alone.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Final

import trio

from swarmlib import Conflict, NotFound, SwarmError, TimedOut, Unavailable

from . import patience
from .client import Arm, parts
from .console import console
from .objects import Machine
from .spec import REACH, Body
from .spec import parts as listed

_log = logging.getLogger(__name__)

SCRIPT: Final = "cat /etc/ssh/ssh_host_*_key.pub"
_KEY: Final = re.compile(
    r"^((?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d{3}) [A-Za-z0-9+/]+={0,2})(?: .*)?$", re.MULTILINE
)
_OUTPUT: Final = re.compile(r"\[stdout\]\n(.*)\n\[stderr\]", re.DOTALL)
_LOGGED: Final = re.compile(
    r"-----BEGIN SSH HOST KEY KEYS-----\n(.*?)\n[^\n]*-----END SSH HOST KEY KEYS-----", re.DOTALL
)
"""What cloud-init's module keys_to_console prints."""


class HostKeys:
    """The keys that are known, in a file."""

    def __init__(self, arm: Arm, file: Path) -> None:
        self._arm = arm
        self._file = file
        self._failed: dict[str, tuple[float, SwarmError]] = {}

    def ssh_options(self, machine: Machine) -> dict[str, str]:
        """Return the options by which ssh trusts a machine's known keys, and no others."""
        return {
            "HostKeyAlias": _alias(machine),
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": f'"{self._file}"',
        }

    async def learn(self, machine: Machine) -> None:
        """Note the keys of a machine that runs, unless they are known, or the machine is not reached by ssh.

        Raises:
            Conflict: the machine is off. NotFound: it is gone.
            TimedOut: the machine did not tell them within ten minutes.
            SwarmError: it told something else, or Azure refuses or fails. This, and that it takes too long, is raised
                again, without asking, for the next ten minutes.
        """
        alias = _alias(machine)
        if machine.tags.get(REACH) == "tls" or await trio.to_thread.run_sync(self._is_known, alias):
            return
        until, failure = self._failed.get(alias, (0.0, None))
        if failure is not None and trio.current_time() < until:
            raise failure
        try:
            keys = await self._asked(machine)
        except (Conflict, NotFound):
            raise
        except SwarmError as exc:
            self._failed[alias] = (trio.current_time() + patience.KEYS_SECONDS, exc)
            raise
        await trio.to_thread.run_sync(self._note, alias, keys)

    async def learn_all(self, machines: Iterable[Machine]) -> None:
        """Note the keys of machines, all at the same time; `learn` raises the failure of a single one."""

        async def learn(machine: Machine) -> None:
            try:
                await self.learn(machine)
            except SwarmError:
                return  # who uses the machine asks again, and is told

        async with trio.open_nursery() as nursery:
            for each in machines:
                nursery.start_soon(learn, each)

    async def _asked(self, machine: Machine) -> list[str]:
        """Return the keys by a command; or by the boot log, if the command fails."""
        failure: SwarmError | None = None
        with trio.move_on_after(patience.KEYS_SECONDS):
            try:
                return await self._by_command(machine)
            except SwarmError as exc:
                failure = exc
            while True:
                if keys := await self._logged(machine):
                    return keys
                if not _may_be_logged(failure):
                    break
                await trio.sleep(patience.LOG_SECONDS)
        if isinstance(failure, Conflict | NotFound):
            raise failure
        seconds = f"{patience.KEYS_SECONDS:g}"
        failure = failure or TimedOut(f"{machine.name} did not tell its ssh host keys within {seconds} s")
        raise type(failure)(f"{failure.message}{self._advice(machine)}", details=failure.details) from failure

    async def _logged(self, machine: Machine) -> list[str]:
        """Return the keys that the machine's boot log shows last; none if there is no log, or no keys in it yet."""
        try:
            text = (await console(self._arm, machine.arm_id)).decode("utf-8", "replace")
        except SwarmError as exc:
            _log.info("the boot log of %s can't be read: %s", machine.name, exc.message)
            return []
        blocks = _LOGGED.findall(text.replace("\r", ""))
        return _KEY.findall(blocks[-1]) if blocks else []

    async def _by_command(self, machine: Machine) -> list[str]:
        group, _, name = parts(machine.arm_id)
        command = {"commandId": "RunShellScript", "script": [SCRIPT]}
        begin = partial(self._arm.compute.virtual_machines.begin_run_command, group, name, command)
        while True:
            try:
                return self._keys(machine, await self._arm.finished(begin))
            except Conflict as exc:
                if exc.details.get("azure") != "Conflict":
                    raise
            await trio.sleep(patience.RETRY_SECONDS)  # another command is running on the machine

    def _keys(self, machine: Machine, answer: Body) -> list[str]:
        said = "".join(str(each.get("message", "")) for each in listed(answer, "value"))
        output = _OUTPUT.search(said)
        if keys := _KEY.findall(output[1]) if output else []:
            return keys
        raise Unavailable(f"{machine.name} did not tell its ssh host keys, but {said[:200]!r}")

    def _advice(self, machine: Machine) -> str:
        return f" (nor does its boot log). If you know a key, add it to {self._file}: {_alias(machine)} TYPE KEY"

    def _is_known(self, alias: str) -> bool:
        try:
            lines = self._file.read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return False
        except OSError as exc:
            raise Unavailable(f"can't read {self._file}: {exc.strerror}") from exc
        return any(line.startswith(f"{alias} ") for line in lines)

    def _note(self, alias: str, keys: Iterable[str]) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="ascii") as file:
                file.write("".join(f"{alias} {key}\n" for key in keys))
        except OSError as exc:
            raise Unavailable(f"can't note host keys in {self._file}: {exc.strerror}") from exc


def _may_be_logged(failure: SwarmError) -> bool:
    """Return whether a machine may still print its keys after a command has failed: not if it is off, or gone."""
    if isinstance(failure, Conflict):
        return "extension operations are disallowed" in failure.message  # there is no agent, rather than no machine
    return "azure" in failure.details and not isinstance(failure, NotFound)


def _alias(machine: Machine) -> str:
    """Return the name by which ssh knows a machine; a recreated machine gets another one."""
    return machine.id[:32]
