"""A real sshd for tests, and an ssh client that has its key."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.engines import free_port, wait_until


@contextmanager
def sshd(folder: Path, name: str = "", prefix: Sequence[str] = ()) -> Iterator[int]:
    """An sshd on a port of the loopback, and a program `ssh` in `folder/bin` that knows its key; gives the port.

    With a name, it is that of a machine whose commands are those of this environment; the port is 22. prefix: what
    starts it there.
    """
    port = 22 if name else free_port()
    for each in ("host", "user"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / each)]
        subprocess.run(key, check=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized",
        "PidFile": folder / "pid",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "yes",
    }
    if name:
        settings["SetEnv"] = f"PATH={Path(sys.executable).parent}:{os.environ['PATH']}"
    (folder / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    known = name or f"[127.0.0.1]:{port}"
    (folder / "known").write_text(f"{known} {(folder / 'host.pub').read_text()}")
    (folder / "config").write_text(f"IdentityFile {folder}/user\nUserKnownHostsFile {folder}/known\n")
    (folder / "bin").mkdir()
    (folder / "bin" / "ssh").write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {folder}/config "$@"\n')
    (folder / "bin" / "ssh").chmod(0o755)
    Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen([*prefix, "/usr/sbin/sshd", "-D", "-f", str(folder / "sshd_config")])
    try:
        wait_until((folder / "pid").exists, "sshd")
        yield port
    finally:
        process.terminate()
        process.wait()
