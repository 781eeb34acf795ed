"""`swarmd status` and `swarmd top`: what a running swarmd does, for people and for programs."""

import json
import os
import pty
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from swarmd.state_tables import Column, Table, size, time
from swarmlib import Denied, connect
from swarmlib_backends import Docker
from tests.support.command import invoke
from tests.support.engines import read_until
from tests.support.processes import SWARMD, Swarmd

RULES = """
[[rule]]
allow = ["ContainerList", "SystemPing*", "ContainerInspect"]
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The folder of a swarmd with two engines, one of which is down, that has answered two calls and denied one."""
    with tempfile.TemporaryDirectory(prefix="status-", dir="/tmp") as name:
        path = Path(name)
        (path / "rules.toml").write_text(RULES)
        members = f"balance 'a=simulator --containers 3' 'b=docker unix://{name}/nobody.sock'"
        chain = [f"dockerserver unix://{name}/all.sock", f"policy {name}/rules.toml", members]
        with Swarmd("run", "--control", f"{name}/control", *chain, errors=path / "log"):
            trio.run(use, f"unix://{name}/all.sock")
            yield path


async def use(host: str) -> None:
    async with connect(Docker(host)) as swarm:
        await swarm.ls("containers")
        await swarm.ls("containers")
        with pytest.raises(Denied):
            await swarm.rm("containers", "x")


def status(folder: Path, *words: str) -> str:
    return invoke(*words, env={"SWARMD_CONTROL": f"{folder}/control"}).stdout


def test_the_state_is_told_to_programs(folder: Path) -> None:
    told: dict[str, Any] = json.loads(status(folder, "status", "--json"))
    a, b = told["engines"]
    assert (a["name"], a["up"], a["containers"], b["name"], b["up"]) == ("a", True, 3, "b", False)
    assert "No such file" in b["trouble"]
    names = [(stage["label"], stage["name"].split()[0]) for stage in told["chain"]]
    assert names == [("", "dockerserver"), ("", "policy"), ("", "balance"), ("a", "simulator"), ("b", "docker")]
    lists = [each for each in told["operations"] if each["operation"] == "ContainerList"]
    engines = {each["engine"]: each["count"] for each in lists if each["outcome"] == "ok"}
    assert engines == {"a": 1, "": 1}  # the first asks for what the index does not know yet
    (client,) = told["clients"]
    assert (client["caller"], client["denied"]) == (f"uid:{os.getuid()}", 1)
    assert [(each["operation"], each["stage"]) for each in told["denials"]] == [("ContainerDelete", "policy")]


def test_in_a_pipe_each_line_says_what_it_is_about(folder: Path) -> None:
    lines = [line.split("\t") for line in status(folder, "status").splitlines()]
    about = [cells[0] for cells in lines]
    assert about[:4] == ["summary", "stage", "stage", "stage"]
    assert {"engine", "operation", "client", "denial"} <= set(about)
    engines = {cells[1]: cells for cells in lines if cells[0] == "engine"}
    assert (engines["a"][2], engines["b"][2]) == ("up", "down")


def test_tables_are_sorted_by_a_column(folder: Path) -> None:
    def names(*words: str) -> list[str]:
        lines = status(folder, "status", *words).splitlines()
        return [line.split("\t")[1] for line in lines if line.startswith("engine\t")]

    assert names("--sort", "errors") == ["b", "a"]
    assert names("--sort", "name") == ["a", "b"]
    failed = invoke("status", "--sort", "latency", code=2).stderr
    assert "no table has a column 'latency'; did you mean 'latency_ms'?" in failed


def test_numbers_are_sorted_from_the_largest_and_texts_by_alphabet() -> None:
    table = Table("x", [Column("n"), Column("t")], [{"n": 1, "t": "b"}, {"n": 3, "t": "a"}, {"n": None, "t": "c"}])
    assert [row["n"] for row in table.sorted_by("n").rows] == [3, 1, None]
    assert [row["t"] for row in table.sorted_by("t").rows] == ["a", "b", "c"]
    assert table.sorted_by("other") is table


def test_what_an_engine_says_does_not_control_the_terminal() -> None:
    assert list(Table("x", [Column("t")], [{"t": "\x1b[2J\n"}]).lines()) == [[r"\u001b[2J\n"]]


@pytest.mark.parametrize(("amount", "text"), [(0, "0 B"), (999, "999 B"), (1234567, "1.23 MB"), (2e12, "2 TB")])
def test_sizes_are_rounded(amount: float, text: str) -> None:
    assert size(amount) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.25, "0.25 s"), (90, "1.5 m"), (7200, "2 h"), (2 * 86400, "2 d")])
def test_durations_are_rounded(seconds: float, text: str) -> None:
    assert time(seconds) == text


def test_top_looks_again_and_knows_the_rates_since(folder: Path) -> None:
    twice = ("top", "--count", "2", "--interval", "10ms")
    looks = [json.loads(line) for line in status(folder, *twice, "--json").splitlines()]
    assert len(looks) == 2
    assert looks[1]["uptime"] > looks[0]["uptime"]
    plain = status(folder, *twice)
    assert plain.count("summary\t") == 2
    lists = [line.split("\t") for line in plain.splitlines() if line.startswith("operation\tContainerList\tok")]
    assert {each[5] for each in lists[len(lists) // 2 :]} == {"0.0"}


def test_ctrl_c_ends_top_on_a_terminal(folder: Path) -> None:
    master, slave = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "SWARMD_CONTROL": f"{folder}/control"}
    process = subprocess.Popen([*SWARMD, "top", "--interval", "1h"], stdin=slave, stdout=slave, stderr=slave, env=env)
    os.close(slave)
    try:
        read_until(master, b"engines")
        process.send_signal(signal.SIGINT)
        left = b""
        with suppress(OSError):  # a terminal ends with EIO
            while piece := os.read(master, 4096):
                left += piece
        assert process.wait(20) == 130
        assert b"Traceback" not in left
    finally:
        os.close(master)
        process.kill()
        process.wait()


def test_without_a_swarmd_it_says_so(tmp_path: Path) -> None:
    failed = invoke("status", code=1, env={"SWARMD_CONTROL": f"{tmp_path}/none"}).stderr
    assert "can't connect to" in failed
