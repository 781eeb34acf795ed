"""The table `[swarmd]` of a configuration file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import invoke

CHAIN = '[chain.all]\nstages = ["dockerserver unix://{}/docker.sock", "exec"]\n'


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("log-fromat = 'json'", "unknown key 'log-fromat'; did you mean 'log-format'?"),
        ("log-format = 'xml'", "log-format: invalid value 'xml': expected text or json"),
        ("verbose = 1", "verbose must be true or false, not 1"),
        ("control = '${NOT_SET}'", "control: the environment variable NOT_SET is not set"),
    ],
)
def test_a_wrong_setting_is_told_with_its_line(settings: str, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "swarm.toml"
    file.write_text(CHAIN.format(tmp_path) + f"[swarmd]\n{settings}\n")
    assert f"{file}:4: {problem}" in invoke("check", str(file), code=2).stderr


def test_the_settings_hold_unless_the_command_line_says_otherwise(tmp_path: Path) -> None:
    file, control, other = (tmp_path / name for name in ("swarm.toml", "control.sock", "other.sock"))
    file.write_text(CHAIN.format(tmp_path) + f'[swarmd]\nlog-format = "json"\ncontrol = "{control}"\n')
    for words, form, socket in (([], "json", control), (["--control", str(other)], "text", other)):
        options = ["--log-format", "text"] if form == "text" else []
        command = [sys.executable, "-m", "swarmd", *options, "run", *words, str(file)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            line = process.stderr.readline()
            said = json.loads(line)["message"] if form == "json" else line
            assert "serving; press Ctrl-C to stop" in said
            assert socket.is_socket()
            process.terminate()
            process.communicate(timeout=20)
