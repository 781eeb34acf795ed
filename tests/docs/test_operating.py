"""The guide for operators: its configuration files are read, and its error is the one that is given."""

import re
from pathlib import Path

import pytest

from swarmd.settings import read_file
from tests.support.command import invoke
from tests.support.paths import ROOT

GUIDES = [(ROOT / name).read_text() for name in ("docs/operating.md", "README.md")]


def blocks(language: str) -> list[str]:
    return [each for guide in GUIDES for each in re.findall(rf"```{language}\n(.*?)```", guide, re.DOTALL)]


@pytest.mark.parametrize("text", [each for each in blocks("toml") if "[chain." in each])
def test_a_configuration_can_be_read(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C_HOST", "c.example")
    monkeypatch.setenv("CREDENTIALS", "/etc/c")
    (tmp_path / "swarm.toml").write_text(text)
    configuration, _ = read_file(tmp_path / "swarm.toml")
    assert configuration.chains


def test_the_mistake_is_reported_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shown,) = [each for each in blocks("text") if "swarm.toml:3" in each]
    monkeypatch.chdir(tmp_path)
    Path("swarm.toml").write_text(
        '[chain.all]\nstages = [\n    "dockerserver unix:///run/swarm.sock --grup docker",\n    "docker",\n]\n'
    )
    assert invoke("check", "swarm.toml", code=2).stderr == shown
