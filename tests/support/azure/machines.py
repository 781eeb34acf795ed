"""Real machines for the fake's virtual machines: each an sshd and a dockerd of its own, on the machine's own address.

A private address becomes this machine's own while the machine runs, so tests should choose networks of their own.

A machine has mount and process namespaces of its own: its /etc is this one's with its own changes on top, its /run is
empty at first, and all its processes end with it. Its disk (Docker's data) stays from one start to the next. Of
cloud-init it knows `write_files` below /etc; Docker listens on /run/docker.sock, or where /etc/docker/daemon.json says
(its `hosts` should then have that socket too).
"""

import base64
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import closing
from email import message_from_bytes
from pathlib import Path
from typing import Any

import trio
import yaml

from swarmlib_backends.azure.fakearm import Machine, Machines
from swarmlib_backends.azure.fakearm.machines import console
from tests.support.engines import wait_until

_BOOT = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs "$1/etc"
mkdir "$1/etc/upper" "$1/etc/work" /run/sshd
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/etc/upper,workdir=$1/etc/work" /etc
cp -r "$1/files/." /etc/
cat "$1/passwd" >> /etc/passwd
/usr/sbin/sshd -f "$1/sshd_config"
data="$1/data"
grep -qs '"hosts"' /etc/docker/daemon.json && set -- || set -- -H unix:///run/docker.sock
exec dockerd --data-root="$data" --bridge=none --iptables=false --ip6tables=false "$@"
"""


class RealMachines(Machines):
    """Starts them; `close` removes their disks. Needs root."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="vms-", dir="/tmp"))
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    async def start(self, machine: Machine) -> None:
        await trio.to_thread.run_sync(self._boot, machine)

    async def stop(self, machine: Machine) -> None:
        if (process := self._running.pop(machine.id, None)) is not None:
            _kill(process)
            await trio.to_thread.run_sync(process.wait)
            if not machine.public:
                await trio.run_process(["ip", "address", "delete", f"{machine.private}/32", "dev", "lo"])

    async def run(self, machine: Machine, script: str) -> str:
        (first,) = _children(self._running[machine.id])
        done = await trio.run_process(
            ["nsenter", "-t", str(first), "-m", "-p", "sh", "-c", script], capture_stdout=True
        )
        return done.stdout.decode()

    def console(self, machine: Machine) -> bytes:
        key = (self._folder / machine.name / "host_key.pub").read_text().strip()
        return console(machine.name, key.rpartition(" ")[0])

    def close(self) -> None:
        assert self._running == {}
        shutil.rmtree(self._folder)

    def _boot(self, machine: Machine) -> None:
        folder = self._folder / machine.name
        self._prepare(folder, machine)
        if not machine.public:
            subprocess.run(["ip", "address", "add", f"{machine.private}/32", "dev", "lo"], check=True)
        command = ["unshare", "-mp", "--fork", "--kill-child", "--mount-proc", "sh", "-c", _BOOT, "sh", str(folder)]
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._running[machine.id] = process
        wait_until(lambda: _has_docker(process), f"{machine.name}'s dockerd", process)
        wait_until(lambda: _accepts(socket.AF_INET, (_address(machine), 22)), f"{machine.name}'s sshd", process)

    def _prepare(self, folder: Path, machine: Machine) -> None:
        for name in ("data", "etc", "files"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        if not (folder / "host_key").exists():
            key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "host_key")]
            subprocess.run(key, check=True)
        (folder / "authorized").write_text("".join(f"{each}\n" for each in machine.keys))
        (folder / "passwd").write_text(f"{machine.admin}:x:0:0::/root:/bin/sh\n")
        settings = {
            "ListenAddress": _address(machine),
            "Port": 22,
            "HostKey": folder / "host_key",
            "AuthorizedKeysFile": folder / "authorized",
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PermitRootLogin": "yes",
        }
        (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        for path, content in written_files(machine.custom_data).items():
            file = folder / "files" / path.relative_to("/etc")
            file.parent.mkdir(parents=True, exist_ok=True)
            # All of them have one network here, so each listens at its own address alone.
            file.write_bytes(content.replace(b"0.0.0.0", _address(machine).encode()))
        (folder / "files/ssh").mkdir(exist_ok=True)
        shutil.copy(folder / "host_key.pub", folder / "files/ssh/ssh_host_ed25519_key.pub")


def _address(machine: Machine) -> str:
    return machine.public or machine.private


def _kill(unshare: subprocess.Popen[bytes]) -> None:
    """Kill the first process of the namespace: it is gone when all others in it are, and then unshare ends too."""
    for pid in _children(unshare) or [unshare.pid]:
        os.kill(pid, signal.SIGKILL)


def _children(process: subprocess.Popen[bytes]) -> list[int]:
    return [*map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())]


def _has_docker(unshare: subprocess.Popen[bytes]) -> bool:
    return any(_accepts(socket.AF_UNIX, f"/proc/{pid}/root/run/docker.sock") for pid in _children(unshare))


def written_files(custom_data: bytes) -> dict[Path, bytes]:
    """The files that cloud-init would write, by its `write_files`."""
    parts = message_from_bytes(custom_data).walk() if custom_data.startswith(b"Content-Type") else []
    texts = [part.get_payload(decode=True) for part in parts if not part.is_multipart()] or [custom_data]
    configs = [yaml.safe_load(text) for text in texts if isinstance(text, bytes) and text.startswith(b"#cloud-config")]
    listed: list[dict[str, Any]] = [each for config in configs for each in config.get("write_files", [])]
    return {Path(each["path"]): _content(each) for each in listed}


def _content(file: dict[str, Any]) -> bytes:
    if file.get("encoding") in ("b64", "base64"):
        return base64.b64decode(file["content"])
    return str(file["content"]).encode()


def _accepts(family: int, address: Any) -> bool:
    with closing(socket.socket(family)) as probe:
        try:
            probe.connect(address)
        except OSError:
            return False
        return True
