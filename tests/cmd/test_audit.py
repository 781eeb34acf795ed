"""A swarmd with an audit, as a process: it is rotated by SIGHUP, and goes on after SIGKILL; and its guide is true."""

import json
import os
import re
import shlex
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmlib_backends.policy.policy import preset_text
from tests.support.command import invoke
from tests.support.engines import wait_until
from tests.support.paths import ROOT
from tests.support.processes import Swarmd

GUIDE = (ROOT / "docs" / "audit.md").read_text("utf-8")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="audit-", dir="/tmp") as path:
        yield Path(path)


def running(folder: Path, *options: str) -> Swarmd:
    """A swarmd without a terminal."""
    audit = " ".join(("audit", str(folder / "log"), *options))
    words = (f"dockerserver unix://{folder}/docker.sock", audit, "simulator")
    return Swarmd(*words, errors=folder / "errors", prefix=["setsid"])


def ping(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(folder / "docker.sock"))
        client.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b" 200 " in client.recv(64)
        while client.recv(4096):
            pass


def test_sighup_opens_the_file_again(folder: Path) -> None:
    log, before = folder / "log", folder / "log.1"
    with running(folder) as swarmd:
        ping(folder)
        log.rename(before)
        swarmd.process.send_signal(signal.SIGHUP)
        wait_until(log.exists, "a new file", swarmd.process)
        ping(folder)
        swarmd.process.terminate()
        assert swarmd.process.wait(20) == 143
    assert "lines in order: 5" in invoke("audit", "verify", str(before), str(log)).stdout


def test_sigkill_loses_no_line_of_a_call_that_was_answered(folder: Path) -> None:
    for _ in range(2):
        with running(folder, "--sync") as swarmd:
            ping(folder)
            swarmd.kill()
    with running(folder) as swarmd:
        swarmd.process.terminate()
        swarmd.process.wait(20)
    assert "lines in order: 6" in invoke("audit", "verify", str(folder / "log")).stdout
    calls = [line for line in map(json.loads, (folder / "log").read_text().splitlines()) if "operation" in line]
    assert [line["caller"] for line in calls] == [f"uid:{os.getuid()}"] * 2


def test_the_commands_of_the_guide_are_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ci.toml").write_text(preset_text("read-only"))
    chain, verify = re.findall(r"```sh\nswarmd (.*)\nswarmd (.*)\n```", GUIDE)[0]
    assert (
        "audit: Writes a line of JSON"
        in invoke("check", *shlex.split(chain.replace("/var/log/swarmlib", str(tmp_path)))).stdout
    )
    assert verify.startswith("audit verify ")
    assert "--sync" in invoke("backends", "audit").stdout


def test_the_line_of_the_guide_has_the_fields_that_it_explains() -> None:
    line = json.loads(re.findall(r"```json\n(.*)\n```", GUIDE)[0])
    explained = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", GUIDE, re.MULTILINE))))
    assert line.keys() <= explained
