"""The guide for operators: its configuration files are read, and its error is the one that is given."""

import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmd.settings import read_file
from swarmlib import Chain
from tests.support.command import invoke
from tests.support.guides import blocks, guide
from tests.support.processes import Swarmd

GUIDE = guide("docs/operating.md")


@pytest.mark.parametrize("text", [block.text for block in blocks(GUIDE, "toml") if "[chain." in block.text])
def test_a_configuration_can_be_read(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C_HOST", "c.example")
    monkeypatch.setenv("CREDENTIALS", "/etc/c")
    (tmp_path / "swarm.toml").write_text(text)
    configuration, _ = read_file(tmp_path / "swarm.toml")
    assert configuration.chains


def test_the_mistake_is_reported_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shown,) = [block.text for block in blocks(GUIDE, "text") if "swarm.toml:3" in block.text]
    monkeypatch.chdir(tmp_path)
    Path("swarm.toml").write_text(
        '[chain.all]\nstages = [\n    "dockerserver unix:///run/swarm.sock --grup docker",\n    "docker",\n]\n'
    )
    assert invoke("check", "swarm.toml", code=2).stderr == shown


# Commands.

COMMANDS = re.sub(r"'\n +'|\n {2,}", " ", "".join(block.text for block in blocks(GUIDE, "sh"))).splitlines()
"""The commands of the guide, each on one line."""


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.startswith("swarmd '")])
def test_a_chain_of_the_guide_can_be_read(command: str) -> None:
    _, *words = shlex.split(command)
    assert Chain(*words).backends[0].name == "dockerserver"


@pytest.fixture(scope="module")
def control() -> Iterator[str]:
    """The control socket of a swarmd."""
    with tempfile.TemporaryDirectory(prefix="guide-", dir="/tmp") as name:
        chain = ("run", "--control", f"{name}/control", f"dockerserver unix://{name}/d.sock", "simulator")
        with Swarmd(*chain, errors=Path(name) / "log"):
            yield f"{name}/control"


@pytest.mark.parametrize("command", [each for each in COMMANDS if re.match("swarmd (status|top)", each)])
def test_a_command_about_a_running_swarmd_shows_it(command: str, control: str) -> None:
    _, *words = shlex.split(command, comments=True)
    again = ("--count", "1") if words == ["top"] else ()
    assert "simulator" in invoke(*words, *again, env={"SWARMD_CONTROL": control}).stdout
