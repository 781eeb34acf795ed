"""How machines are reached: their addresses, the networks that may connect, and ssh or TLS."""

from __future__ import annotations

import ipaddress
import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

import trio
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from swarmlib import Invalid, Unavailable

from ..stream_wrappers import StreamWrapper
from . import authority
from .client import Arm
from .firewall import Firewall
from .host_keys import HostKeys
from .objects import Machine
from .options import AzureOptions
from .ports import Port
from .spec import REACH, TLS_PORT, Spec, part, parts

_KEYS: Final = ("id_ed25519.pub", "id_rsa.pub")
_KEY_TYPES: Final = ("ssh-ed25519", "ssh-rsa")
_RSA_BITS: Final = 2048
"""The types that Azure takes, and the length of an RSA key: https://learn.microsoft.com/azure/virtual-machines/linux/create-ssh-keys-detailed"""


class Access:
    """The ways to reach the machines, according to the options."""

    def __init__(self, options: AzureOptions, arm: Arm) -> None:
        self._options = options
        self._arm = arm
        self._own: list[str] = []
        self.host_keys = HostKeys(arm, state_folder() / "azure_known_hosts")

    def public_key(self) -> str:
        """Return the public key that may log in.

        Raises:
            Invalid: there is no key file, or it can't be read, or holds no public key, or one that Azure does not take:
                it takes Ed25519, and RSA of 2048 bits or more.
        """
        file = self._key_file()
        try:
            text = file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise Invalid(f"can't read the public key in {file}: {exc}") from exc
        if len(text.split()) < 2 or "PRIVATE" in text:
            raise Invalid(f"{file} does not contain a public ssh key, such as ssh-ed25519 AAAA…")
        if text.split()[0] not in _KEY_TYPES:
            raise Invalid(f"{file} has a key of type {text.split()[0]}: Azure takes {' and '.join(_KEY_TYPES)} only")
        try:
            key = load_ssh_public_key(text.encode())
        except (ValueError, UnsupportedAlgorithm) as exc:
            raise Invalid(f"the key in {file} is malformed: {exc}") from exc
        if isinstance(key, RSAPublicKey) and key.key_size < _RSA_BITS:
            raise Invalid(f"the RSA key in {file} has {key.key_size} bits: the minimum is {_RSA_BITS}")
        return text

    def _key_file(self) -> Path:
        if self._options.ssh_key:
            return Path(self._options.ssh_key).expanduser()
        folder = Path("~/.ssh").expanduser()
        for name in _KEYS:
            if (folder / name).exists():
                return folder / name
        raise Invalid(f"no ssh key found in {folder}: give one by --ssh-key, or make one with ssh-keygen")

    def user_id(self) -> str:
        """Return a name for the user of this machine, which stays the same, and differs from those of others.

        Raises:
            Invalid: the folder for state can't be written.
        """
        file = state_folder() / "azure-user"
        try:
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(secrets.token_hex(4), "ascii")
            return file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise Invalid(f"can't keep a name for this user in {file}: {exc}") from exc

    def firewall(self, group: str) -> Firewall:
        """Return this user's rules in a resource group. Raises as `user_id`."""
        return Firewall(self._arm, group, self.user_id(), [*map(Port.read, self._options.open_port)])

    async def allowed(self, *, private: bool = False) -> list[str] | None:
        """Return the addresses that may reach machines: those of `--allow`, or else only this machine's public address.

        Of private machines, which a public address does not reach, None without `--allow`: the rules stay as they are.

        Raises:
            Unavailable: this machine's public address can't be determined.
            Invalid: an entry of `--allow` is no address or network.
        """
        for each in self._options.allow:
            _check_network(each)
        if self._options.allow:
            return self._options.allow
        if private:
            return None
        if not self._own:
            url = self._options.whoami
            text = (await self._arm.fetch(url)).decode("ascii", "replace").strip()
            try:
                self._own = [str(ipaddress.ip_address(text))]
            except ValueError:
                raise Unavailable(
                    f"{url} returned {text[:40]!r} as this machine's address: give the address by --allow"
                ) from None
        return self._own

    async def addresses(self, interfaces: Sequence[str]) -> tuple[str, str]:
        """Return the public and the private address of a machine with these interfaces; "" for a missing one."""
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
        """Return the address at which a machine is reached: the public one, if it has one and there is no jump host.

        Raises:
            Unavailable: the machine has no address.
        """
        public, private = await self.addresses(machine.interfaces)
        if self._options.via and private:
            return private
        if not (public or private):
            raise Unavailable(f"{machine.name} has no address")
        return public or private

    async def engine(self, machine: Machine) -> tuple[str, str]:
        """Return the address of a machine's engine, and the folder with the certificates for it, or "" without TLS."""
        host = await self.host(machine)
        if machine.tags.get(REACH) != "tls":
            return f"ssh://{self.user(machine)}@{host}", ""
        return f"tcp://{host}:{TLS_PORT}", str(await trio.to_thread.run_sync(authority.folder, state_folder()))

    async def certified(self, spec: Spec, interface: str) -> Spec:
        """Return the spec of a machine whose interface exists, with a certificate for its addresses added.

        Raises:
            Invalid: the certificate authority can't be created or read.
        """
        hosts = [each for each in await self.addresses([interface]) if each]

        def config() -> bytes:
            return authority.server_config(authority.folder(state_folder()), hosts)

        return replace(spec, cloud_init=(*spec.cloud_init, await trio.to_thread.run_sync(config)))

    def user(self, machine: Machine) -> str:
        """Return the user that logs in."""
        profile = part(machine.body, "properties", "osProfile")
        return str(profile.get("adminUsername") or self._options.admin)

    def ssh_options(self, machine: Machine) -> Mapping[str, str]:
        """Return the options for ssh, which trusts the keys that `host_keys` has learnt from the machine."""
        options = {"ProxyJump": self._options.via} if self._options.via else {}
        options |= self.host_keys.ssh_options(machine)
        private = self._key_file().with_suffix("")
        return options | ({"IdentityFile": f'"{private}"'} if private.exists() else {})

    def ssh_config(self, machine: Machine, host: str) -> str:
        """Return the part of ~/.ssh/config by which ssh, and so the docker CLI, reaches a machine as this backend."""
        lines = [f"  {name} {value}" for name, value in self.ssh_options(machine).items()]
        return "\n".join([f"Host {host}", *lines])

    async def command(self, machine: Machine) -> list[str]:
        """Return the ssh command that opens a shell on a machine that runs, with a terminal.

        Raises:
            SwarmError: the machine's host key can't be learnt.
        """
        await self.host_keys.learn(machine)
        options = {"BatchMode": "yes", "LogLevel": "ERROR", **self.ssh_options(machine)}
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", "-tt", *words, "-l", self.user(machine), "--", await self.host(machine)]


def state_folder() -> Path:
    """Return the folder for state that must outlive swarmd: the machines' host keys, and what sleeping ones hold."""
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "swarmlib"


def _check_network(text: str) -> None:
    try:
        ipaddress.ip_network(text)
    except ValueError as exc:
        raise Invalid(f"--allow {text}: {exc}") from exc


class Shell(StreamWrapper):
    """A program's input and output as one stream. Closing the stream ends the program."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdio is not None
        super().__init__(process.stdio)
        self._process = process

    @classmethod
    async def open(cls, command: Sequence[str]) -> Self:
        """Start the program; its standard error is merged into its output.

        Raises:
            Unavailable: the program can't be started.
        """
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        try:
            return cls(await trio.lowlevel.open_process(list(command), **pipes))
        except OSError as exc:
            raise Unavailable(f"can't run {command[0]}: {exc.strerror}") from exc

    async def aclose(self) -> None:
        """Kill the program, and close the stream."""
        if self._process.returncode is None:
            self._process.kill()
        await trio.aclose_forcefully(self.inner)
        with trio.CancelScope(shield=True):  # the program was killed, so this does not block
            await self._process.wait()
