"""The command's help, completion, manual page and widths, and how Ctrl-C ends it."""

import os
import shutil
import signal
import subprocess
import sys
from importlib.metadata import version

import pytest

from swarmlib import registry
from swarmlib.options import parameters
from tests.support.command import invoke


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["help"], "Usage: swarmd [OPTIONS] CHAIN"),
        (["help", "run"], "Usage: swarmd run "),
        (["help", "policy", "explain"], "Usage: swarmd policy explain "),
        (["help", "balance"], "usage: balance "),
        (["balance", "--help"], "usage: balance "),
        (["balance", "-h"], "usage: balance "),
        (["run", "--help"], "Usage: swarmd run "),
        (["version"], f"swarmd {version('swarmlib')}\nPython "),
    ],
)
def test_help_is_found_by_any_of_its_names(words: list[str], shown: str) -> None:
    assert invoke(*words).stdout.startswith(shown)


def test_a_name_of_a_command_and_a_backend_has_both_helps() -> None:
    shown = invoke("help", "policy").stdout
    assert "Usage: swarmd policy " in shown
    assert "usage: policy [--preset PRESET]" in shown


@pytest.mark.parametrize("words", [["help", "balanec"], ["balanec", "--help"]])
def test_help_for_what_there_is_not_names_the_nearest(words: list[str]) -> None:
    assert "unknown backend 'balanec'; did you mean 'balance'?" in invoke(*words, code=2).stderr


def test_an_address_in_place_of_a_backend_is_understood() -> None:
    error = invoke("dockerserver unix:///tmp/x", "unix:///var/run/docker.sock", code=2).stderr
    assert "an address follows the name of a backend, as in 'docker unix:///var/run/docker.sock'" in error


def completed(*words: str) -> list[str]:
    """What bash is offered for the last word."""
    line = " ".join(["swarmd", *words])
    said = invoke(env={"_SWARMD_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}).stdout
    return [each.removeprefix("plain,") for each in said.splitlines() if each]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["dockers"], ["dockerserver"]),
        (["debug", "bal"], ["balance"]),
        (["run", "bal"], ["balance"]),
        (["check", "bal"], ["balance"]),
        (["debug", "'balance --str"], ["balance --strategy", "balance --strict"]),
        (["debug", "'balance --strategy r"], ["balance --strategy random", "balance --strategy round-robin"]),
        (["debug", "'balance (a=deb"], ["balance (a=debug"]),
        (["debug", "'balance (a=debug | docker --con"], ["balance (a=debug | docker --context"]),
        (["debug", "'debug --json --js"], []),
        (["debug", "'debug --filter x --fi"], ["debug --filter x --filter"]),
        (["debug", "'nosuch --fi"], []),
        (["completion", "z"], ["zsh"]),
    ],
)
def test_stages_options_and_values_are_completed(words: list[str], offered: list[str]) -> None:
    assert completed(*words) == offered


@pytest.mark.parametrize("name", registry.names())
def test_each_option_of_each_backend_is_completed(name: str) -> None:
    flags = [each.flag for each in parameters(registry.find(name)) if not each.positional]
    assert completed("debug", f"'{name} ") == [f"{name} {flag}" for flag in flags]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_each_shell_is_printed(shell: str) -> None:
    assert f"_SWARMD_COMPLETE={shell}_complete" in invoke("completion", shell).stdout


def test_the_manual_page_has_every_command_and_backend() -> None:
    page = invoke("man").stdout
    assert page.startswith('.TH SWARMD 1 "" "swarmd ')
    for section in (r"swarmd policy explain", "swarmd run", *registry.names()):
        assert f"\n.SS {section}\n" in page
    if man := shutil.which("man"):
        rendered = subprocess.run([man, "-l", "-"], input=page, capture_output=True, text=True, check=True)
        assert "dockerserver" in rendered.stdout
        assert rendered.stderr == ""


@pytest.mark.parametrize("width", [60, 100])
def test_help_fits_the_terminal(width: int) -> None:
    env = {**os.environ, "COLUMNS": str(width)}
    for words in (["--help"], ["run", "--help"], ["help", "dockerserver"]):
        command = [sys.executable, "-m", "swarmd", *words]
        shown = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
        lines = [line for line in shown.splitlines() if not line.startswith("    ") and not line.endswith(":")]
        assert width - 25 < max(map(len, lines)) <= width


INTERRUPTED = """
import os, signal, sys
wanted = sys.argv.pop(1)
class Interrupting:
    def find_spec(self, name, *_):
        if name == wanted:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
from swarmd.entry import main
main()
"""
"""Runs the command, and presses Ctrl-C when a module is imported for the first time."""


@pytest.mark.parametrize(
    ("module", "code"),
    [("click", -signal.SIGINT), ("swarmd.cli", -signal.SIGINT), ("swarmlib.chain", 130), ("trio", 130)],
)
def test_ctrl_c_while_it_starts_shows_no_traceback(module: str, code: int) -> None:
    command = [sys.executable, "-c", INTERRUPTED, module, "check", "dockerserver unix:///tmp/x", "exec"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (code, "")
