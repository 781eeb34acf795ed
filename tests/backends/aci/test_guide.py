"""The commands of the guide to Azure Container Instances, as they stand there, on a fake Azure."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.azure.aci import fake_process
from tests.support.engines import Engine, docker, wait_until
from tests.support.paths import ROOT

pytestmark = pytest.mark.engine

GUIDE = (ROOT / "docs" / "aci.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL) for line in block.splitlines()]
SWARMD = ROOT / ".venv" / "bin" / "swarmd"


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with fake_process(tmp_path, monkeypatch):
        yield


def test_all_commands_are_run_here() -> None:
    assert [line.split()[0] for line in COMMANDS] == ["pip", "swarmd", "docker", "swarmd", "swarmd"]


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize("command", [line for line in COMMANDS if "dockerserver" in line])
def test_a_chain_of_the_guide_runs_containers(command: str, engines: tuple[Engine, Engine], tmp_path: Path) -> None:
    socket = tmp_path / "s"
    line = command.replace("/run/swarm.sock", str(socket)).replace("unix:///var/run/docker.sock", engines[0].host)
    with subprocess.Popen([SWARMD, *shlex.split(line)[1:]], stdin=subprocess.DEVNULL) as process:
        try:
            wait_until(socket.exists, "swarmd", process)
            words = shlex.split(next(line for line in COMMANDS if line.startswith("docker")))[3:]
            assert docker(f"unix://{socket}", *words, check=True).stdout == b"hello\n"
        finally:
            process.terminate()


@pytest.mark.usefixtures("cloud")
def test_the_sweep_of_the_guide(tmp_path: Path) -> None:
    command = next(line for line in COMMANDS if "sweep" in line)
    done = subprocess.run([SWARMD, *shlex.split(command)[1:]], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("", "")
