"""Each command and each program of the README is run as it stands (only the folder of its sockets is replaced)."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from swarmlib import Chain, Client, Denied
from swarmlib_backends.azure import fakearm
from tests.support.azure.backend import lead
from tests.support.engines import Engine, docker
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines()]


def command(containing: str) -> str:
    found = [line for line in commands() if containing in line]
    assert len(found) == 1, f"one command of the README should have {containing}, not {found}"
    return found[0]


@pytest.fixture(scope="module")
def environment() -> None:
    """The .venv that the README's first command makes; made by that command's own first half."""
    made = command("debug exec").partition(" && ")[0]
    subprocess.run(made, shell=True, cwd=ROOT, check=True, timeout=600)


@contextmanager
def running(line: str, folder: Path) -> Iterator[str]:
    """A command of the README that serves, its sockets in `folder`; gives the address of the gateway's."""
    process = subprocess.Popen(
        ["sh", "-c", f"exec {placed(line, folder)}"], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        assert any("serving" in line for line in process.stderr)  # after warnings, if there are any
        yield f"unix://{folder}/swarm.sock"
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 143


def placed(line: str, folder: Path) -> str:
    """The command with another folder for its sockets than the one that it is run in."""
    assert "$PWD/" in line
    return line.replace("$PWD", str(folder))


@pytest.mark.engine
@pytest.mark.usefixtures("environment")
def test_the_embedded_default_and_the_lines_to_try(tmp_path: Path) -> None:
    lines = [line for line in commands() if line.startswith('docker -H "unix://$PWD/swarm.sock"')]
    assert len(lines) == 7
    with running(command("debug exec").partition(" && ")[2], tmp_path):
        shown = [
            subprocess.run(
                placed(line, tmp_path), shell=True, check=True, timeout=30, capture_output=True, text=True
            ).stdout
            for line in lines
        ]
    assert shown[0] == "hello\n"
    assert "sleep 1000" in shown[2]
    assert shown[3].startswith("beside ")


@pytest.mark.engine
@pytest.mark.usefixtures("environment")
def test_a_chain_that_is_cut_in_two(tmp_path: Path) -> None:
    with running(command('"listen'), tmp_path), running(command('"remote'), tmp_path):
        line = placed(command('near.sock" ps'), tmp_path)
        assert "CONTAINER ID" in subprocess.run(line, shell=True, check=True, capture_output=True, text=True).stdout


@pytest.mark.engine
@pytest.mark.usefixtures("environment")
async def test_the_chain_that_spills_over_to_azure(
    engines: tuple[Engine, Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = command("(azure").replace("unix:///var/run/docker.sock", engines[0].host)

    def listed() -> bytes:
        with running(line, tmp_path) as host:
            return docker(host, "info", "-f", "{{range .DriverStatus}}{{.}}{{end}}", check=True).stdout

    async with fakearm.serving() as arm:
        lead(arm, tmp_path, monkeypatch)
        assert b"azure" in await trio.to_thread.run_sync(listed)


@pytest.mark.engine
@pytest.mark.usefixtures("environment")
def test_the_chain_over_two_engines(engines: tuple[Engine, Engine], tmp_path: Path) -> None:
    line = command("a.sock")
    for name, each in zip("ab", engines, strict=True):
        line = line.replace(f"unix:///{name}.sock", each.host)
    with running(line, tmp_path) as host:
        docker(host, "run", "--rm", "busybox", "true", check=True)
        assert docker(host, "info", "-f", "{{.Name}}", check=True).stdout == b"swarmlib\n"


@pytest.mark.engine
@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("line", [line for line in commands() if re.match(r"\S*swarmd (--help|backends|check)", line)])
def test_commands_that_tell_something(line: str) -> None:
    done = subprocess.run(line, shell=True, cwd=ROOT, check=True, capture_output=True, text=True, timeout=30)
    assert len(done.stdout.splitlines()) > 2
    assert done.stderr == ""


def test_the_test_command_is_what_ci_runs() -> None:
    assert command("test") == "sh .ci/test"
    assert "exec sh .ci/test" in (ROOT / ".ci" / "run").read_text()


def test_every_command_is_run_by_one_of_these_tests() -> None:
    known = (
        "docker -H",
        ".venv/bin/python -m pip install -e '.[azure]'",
        ".venv/bin/python -m pip install -e '.[kubernetes]'",
        "sh .ci/env && .venv/bin/swarmd",
        "sh .ci/test",
        ".venv/bin/swarmd",
    )
    assert [line for line in commands() if not line.startswith(known)] == []


@pytest.mark.engine
@pytest.mark.usefixtures("environment")
def test_the_package_of_a_new_backend_is_written(tmp_path: Path) -> None:
    line = command("new-backend").replace("/tmp/swarmlib-mine", str(tmp_path / "mine"))
    subprocess.run(line, shell=True, cwd=ROOT, check=True, capture_output=True, timeout=30)
    assert 'mine = "' in (tmp_path / "mine" / "pyproject.toml").read_text()


def test_the_embedding_program_prints_the_workloads_line(tmp_path: Path) -> None:
    program = next(block for block in blocks("python") if "connect" in block)
    (tmp_path / "program.py").write_text(program)
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["b'hello' b'' 3", "stdout hello", "0", "web any exited echo hello", "die web 0"]
    assert "spawn containers" in done.stderr


async def test_the_backend_denies_what_changes_things() -> None:
    source = next(block for block in blocks("python") if "ReadOnly" in block)
    names: dict[str, type] = {"__name__": __name__}  # type: ignore[dict-item]
    exec(source, names)
    with trio.fail_after(10):
        async with Chain(names["ReadOnly"](), *Chain.read("exec").backends).open() as sender:
            swarm = Client(sender)
            assert await swarm.ls() == []
            with pytest.raises(Denied, match="read-only"):
                await swarm.spawn({"Image": "any", "Cmd": ["true"]})
