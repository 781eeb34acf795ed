"""How a machine is reached: its addresses, who may, and ssh or TLS."""

from __future__ import annotations

import ipaddress
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

import trio

from swarmlib import Invalid, Unavailable

from . import authority
from .client import Arm
from .objects import Machine
from .options import AzureOptions
from .spec import REACH, TLS_PORT, Spec, part, parts

_KEYS: Final = ("id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub")
_READ: Final = 64 * 1024


class Access:
    """The ways to the machines, as the options say."""

    def __init__(self, options: AzureOptions, arm: Arm) -> None:
        self._options = options
        self._arm = arm
        self._own: list[str] = []

    def public_key(self) -> str:
        """The public key that may log in.

        Raises:
            Invalid: there is none, or it can't be read.
        """
        file = self._key_file()
        try:
            text = file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise Invalid(f"can't read the public key in {file}: {exc}") from exc
        if len(text.split()) < 2 or "PRIVATE" in text:
            raise Invalid(f"{file} holds no public key of ssh's, such as ssh-ed25519 AAAA…")
        return text

    def _key_file(self) -> Path:
        if self._options.ssh_key:
            return Path(self._options.ssh_key).expanduser()
        folder = Path("~/.ssh").expanduser()
        for name in _KEYS:
            if (folder / name).exists():
                return folder / name
        raise Invalid(f"there is no ssh key in {folder}: name one by --ssh-key, or make one with ssh-keygen")

    async def allowed(self) -> list[str]:
        """The addresses that may reach machines: those that are named, or this machine's public one alone.

        Raises:
            Unavailable: it can't be told. Invalid: one that is named is none.
        """
        for each in self._options.allow:
            _check_network(each)
        if self._options.allow:
            return self._options.allow
        if not self._own:
            url = self._options.whoami
            text = (await self._arm.fetch(url)).decode("ascii", "replace").strip()
            try:
                self._own = [str(ipaddress.ip_address(text))]
            except ValueError:
                raise Unavailable(f"{url} gave {text[:40]!r} for this machine's address: name it by --allow") from None
        return self._own

    async def addresses(self, interfaces: Sequence[str]) -> tuple[str, str]:
        """The public and the private address of a machine with these interfaces; "" for none."""
        for id in interfaces[:1]:
            interface = await self._arm.find(id)
            for each in parts(part(interface or {}, "properties"), "ipConfigurations"):
                properties = part(each, "properties")
                public = part(properties, "publicIPAddress")
                found = await self._arm.find(str(public["id"])) if public else None
                address = str(found["properties"].get("ipAddress") or "") if found else ""
                return address, str(properties.get("privateIPAddress") or "")
        return "", ""

    async def host(self, machine: Machine) -> str:
        """The address by which a machine is reached: the public one, if it has any.

        Raises:
            Unavailable: it has none.
        """
        public, private = await self.addresses(machine.interfaces)
        if not (public or private):
            raise Unavailable(f"{machine.name} has no address")
        return public or private

    async def engine(self, machine: Machine) -> tuple[str, str]:
        """The address of a machine's engine, and the folder with the certificates for it; "" where it needs none."""
        host = await self.host(machine)
        if machine.tags.get(REACH) != "tls":
            return f"ssh://{self.user(machine)}@{host}", ""
        return f"tcp://{host}:{TLS_PORT}", str(await trio.to_thread.run_sync(authority.folder, state_folder()))

    async def certified(self, spec: Spec, interface: str) -> Spec:
        """A machine that has an interface already, with a certificate for its addresses.

        Raises:
            Invalid: the authority can't be made, or read.
        """
        hosts = [each for each in await self.addresses([interface]) if each]

        def config() -> bytes:
            return authority.server_config(authority.folder(state_folder()), hosts)

        return replace(spec, cloud_init=(*spec.cloud_init, await trio.to_thread.run_sync(config)))

    def user(self, machine: Machine) -> str:
        """Who logs in."""
        profile = part(machine.body, "properties", "osProfile")
        return str(profile.get("adminUsername") or self._options.admin)

    def ssh_options(self, machine: Machine) -> Mapping[str, str]:
        """What ssh needs to know. A machine's key is learnt at the first time, and must stay the same from then on."""
        state = state_folder()
        state.mkdir(parents=True, exist_ok=True)
        options = {
            "HostKeyAlias": machine.id[:32],
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": f'"{state / "azure_known_hosts"}"',
        }
        private = self._key_file().with_suffix("")
        return options | ({"IdentityFile": f'"{private}"'} if private.exists() else {})

    async def command(self, machine: Machine) -> list[str]:
        """The ssh that gives a shell on a machine's terminal."""
        options = {"BatchMode": "yes", "LogLevel": "ERROR", **self.ssh_options(machine)}
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", "-tt", *words, "-l", self.user(machine), "--", await self.host(machine)]


def state_folder() -> Path:
    """Where is kept what must outlive swarmd: the machines' keys, and what is on those that sleep."""
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "swarmlib"


def _check_network(text: str) -> None:
    try:
        ipaddress.ip_network(text)
    except ValueError as exc:
        raise Invalid(f"--allow {text}: {exc}") from exc


class Shell(trio.abc.HalfCloseableStream):
    """A program's input and output as one stream. The program ends with it."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._input, self._output = process.stdin, process.stdout

    @classmethod
    async def open(cls, command: Sequence[str]) -> Self:
        """Start the program; its errors come with its output.

        Raises:
            Unavailable: it can't be started.
        """
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        try:
            return cls(await trio.lowlevel.open_process(list(command), **pipes))
        except OSError as exc:
            raise Unavailable(f"can't run {command[0]}: {exc.strerror}") from exc

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See `trio.abc.ReceiveStream`."""
        return bytes(await self._output.receive_some(max_bytes or _READ))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See `trio.abc.SendStream`."""
        await self._input.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream`."""
        await self._input.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """See `trio.abc.HalfCloseableStream`."""
        await self._input.aclose()

    async def aclose(self) -> None:
        """End the program."""
        if self._process.returncode is None:
            self._process.kill()
        await trio.aclose_forcefully(self._input)
        await trio.aclose_forcefully(self._output)
        with trio.CancelScope(shield=True):  # it was killed, so this does not wait
            await self._process.wait()
