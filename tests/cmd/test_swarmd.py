"""The command: its words, its help, its errors, and how it ends."""

import getpass
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest

from swarmlib import NotFound, Request, Verb
from swarmlib_backends import control
from tests.support.command import invoke as run
from tests.support.engines import docker_process, free_port, read_until

SWARMD = [sys.executable, "-W", "error", "-m", "swarmd"]


def test_help_teaches_with_examples() -> None:
    shown = run("--help").stdout
    assert 'swarmd "dockerserver unix://$PWD/swarm.sock" debug exec' in shown
    assert "Commands:" in shown
    for command in ("run", "check", "backends"):
        assert "Usage: " in run(command, "--help").stdout


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "swarmd", "--help"], capture_output=True, text=True, check=True
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in imported
    assert imported & {"trio", "rich", "docker", "httptools", "orjson", "swarmlib", "importlib.metadata"} == set()


def test_backends_are_listed_with_their_usage() -> None:
    rows = [line.split("\t") for line in run("backends").stdout.splitlines()]
    names = [row[0] for row in rows]
    assert names == sorted(names)
    assert {"aggregate", "balance", "debug", "docker", "dockerserver", "exec", "record", "retry"} <= set(names)
    assert dict(row[:2] for row in rows)["balance"].startswith(
        "balance [--watch-file FILE] [--strategy spread|binpack|"
    )
    listed = json.loads(run("backends", "--json").stdout)
    assert [each["name"] for each in listed] == [row[0] for row in rows]


def test_one_backend_is_explained() -> None:
    assert "--log-size SIZE" in run("backends", "exec").stdout
    assert json.loads(run("backends", "debug", "--json").stdout)["options"][0]["name"] == "json"
    assert "did you mean 'debug'" in run("backends", "debgu", code=2).stderr


def test_check_explains_a_chain_and_its_sub_chains() -> None:
    shown = run("check", "dockerserver tcp://127.0.0.1:1", "debug --json", "balance (a=debug | exec) exec").stdout
    stages = [line.strip() for line in shown.splitlines()]
    assert any(stage.startswith("3. balance:") for stage in stages)
    assert any(stage.startswith("2. exec:") for stage in stages)
    assert "--json = true" in stages
    assert "MEMBER a:" in stages
    found = json.loads(run("check", "--json", "--no-source", "debug | exec").stdout)
    assert [stage["backend"] for stage in found] == ["debug", "exec"]
    (balanced,) = json.loads(run("check", "--json", "--no-source", "balance (a=exec)").stdout)
    assert balanced["arguments"]["members"][0]["label"] == "a"


@pytest.mark.parametrize("command", [(), ("check",), ("run",)])
def test_a_wrong_chain_is_pointed_at_and_ends_with_2(command: tuple[str, ...]) -> None:
    error = run(*command, "debug --jsno | exec", code=2).stderr
    assert error.splitlines() == [
        "swarmd: error: unknown option --jsno of debug; did you mean '--json'?",
        "  debug --jsno | exec",
        "        ^^^^^^",
    ]


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (("nosuch", "exec"), "unknown backend 'nosuch'"),
        (("debug", "exec"), "the chain has no source"),
        (("dockerserver", "tcp://127.0.0.1:1"), "in the same quotes: 'dockerserver tcp://127.0.0.1:1'"),
        (("dockerserver", "exec"), "dockerserver requires ADDRESS"),
        (("run",), "expected either CHAIN or --config"),
        (("run", "nosuch.toml"), "nosuch.toml"),
        (("dockerserver tcp://127.0.0.1:1", "--json", "exec"), "unexpected option --json"),
    ],
)
def test_wrong_words_end_with_2_and_say_why(args: tuple[str, ...], problem: str) -> None:
    error = run(*args, code=2).stderr
    assert problem in error
    assert "Traceback" not in error


def test_a_port_in_use_ends_with_1_in_one_line() -> None:
    with served(f"dockerserver tcp://127.0.0.1:{(port := free_port())}", "exec"):
        error = run(f"dockerserver tcp://127.0.0.1:{port}", "exec", code=1).stderr
    assert error == f"swarmd: error: dockerserver: can't listen on tcp://127.0.0.1:{port}: Address already in use\n"


class served:  # noqa: N801 - a context manager, used like a function
    """A swarmd that serves, and is ended with SIGKILL if a test has not ended it."""

    def __init__(self, *args: str, lines: Sequence[str] = ()) -> None:
        self.lines = lines
        self.process = subprocess.Popen([*SWARMD, *args], stderr=subprocess.PIPE, text=True)

    def __enter__(self) -> subprocess.Popen[str]:
        assert self.process.stderr is not None
        for line in self.lines:
            assert line in self.process.stderr.readline()
        assert self.process.stderr.readline() == "swarmd: serving; press Ctrl-C to stop\n"
        return self.process

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.mark.engine
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_it_cleanly(number: signal.Signals, code: int, tmp_path: Path) -> None:
    socket = tmp_path / "docker.sock"
    with served(f"dockerserver unix://{socket}", "debug", "exec") as process:
        assert socket.exists()
        with docker_process(f"unix://{socket}", "run", "any", "sh", "-c", "echo up; exec sleep 1000") as streaming:
            assert streaming.stdout is not None
            assert streaming.stdout.readline() == b"up\n"
            process.send_signal(number)
            _, error = process.communicate(timeout=20)
        assert process.returncode == code
        assert not socket.exists()
    assert "Traceback" not in error


def test_it_says_where_it_serves_and_who_answers(tmp_path: Path) -> None:
    socket, engine = tmp_path / "a b.sock", tmp_path / "engine.sock"
    with served(f"dockerserver 'unix://{engine}'", "simulator"):
        stages = [
            f"dockerserver 'unix://{socket}' tcp://127.0.0.1:0",
            f"balance (a=docker unix://{engine}) (b=docker unix:///x)",
        ]
        with served(*stages, lines=[" WARNING: b is down: "]) as process:
            assert process.stderr is not None
            lines = [process.stderr.readline() for _ in range(4)]
    assert lines[0] == f"swarmd: for {getpass.getuser()} only: export DOCKER_HOST='unix://{socket}'\n"
    assert lines[1].startswith(
        "swarmd: for every user and program of this machine, with root access (a unix socket is pri"
    )
    assert lines[1].rpartition(":")[2].strip() != "0"
    answers = sorted(lines[2:])
    assert answers[0].startswith(f"swarmd: a: docker unix://{engine} answers: Docker ")
    assert answers[1].startswith("swarmd: b: docker unix:///x does not answer: can't connect")


async def test_a_control_socket_leads_to_the_stages(tmp_path: Path) -> None:
    socket = tmp_path / "control.sock"
    words = ("run", "--control", str(socket), f"dockerserver unix://{tmp_path}/docker.sock", "simulator")
    with served(*words), pytest.raises(NotFound, match="no stage of this chain has held"):
        await control.ask(socket, Request(Verb.LS, ("held",)))


@pytest.mark.parametrize("option", [(), ("--config",)])
def test_chains_are_kept_in_a_file(option: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "chains.toml"
    chains = [f'[chain.{name}]\nstages = ["dockerserver unix://{tmp_path}/{name}.sock", "exec"]\n' for name in "ab"]
    file.write_text("".join(chains))
    with served("run", *option, str(file)) as process:
        assert (tmp_path / "a.sock").is_socket()
        assert (tmp_path / "b.sock").is_socket()
        process.terminate()
        assert process.wait(20) == 143
    assert json.loads(run("check", "--json", str(file)).stdout).keys() == {"a", "b"}


def test_a_terminal_gets_a_table() -> None:
    master, slave = pty.openpty()
    with closing(os.fdopen(master, "rb", buffering=0)):
        env = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
        process = subprocess.Popen([*SWARMD, "backends"], stdout=slave, stderr=slave, env=env)
        os.close(slave)
        read_until(master, b"dockerserver")
        with suppress(OSError):  # a terminal ends with EIO
            while os.read(master, 4096):
                pass
        assert process.wait(20) == 0


def test_words_are_completed() -> None:
    completed = run(env={"_SWARMD_COMPLETE": "bash_complete", "COMP_WORDS": "swarmd ba", "COMP_CWORD": "1"}).stdout
    assert completed.split() == ["plain,backends", "plain,balance"]


def test_the_version_is_the_packages() -> None:
    from importlib.metadata import version

    assert run("--version").stdout.strip().endswith(version("swarmlib"))
