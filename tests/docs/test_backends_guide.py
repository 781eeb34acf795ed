"""The guide for backend authors: each of its programs runs, and its table of rules is that of the kit."""

import os
import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from swarmlib import Chain
from swarmlib.testing import RULES
from swarmlib_backends import DockerServer
from tests.support.engines import docker, free_port
from tests.support.paths import ROOT

GUIDE = (ROOT / "docs" / "backends.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
EXAMPLES = {block.partition(":")[0].strip('"'): block for block in BLOCKS if block.startswith('"""')}


def run(*words: str, folder: Path) -> str:
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("readonly", ["does_no_more_than_declared", "passes_errors_on", "tells_of_changes"]),
        ("timer", ["gives_every_line", "tells_of_changes", "keeps_the_name_that_it_is_given", "starts_and_stops"]),
        ("countdown", ["gives_every_line", "ends_conversations_when_it_closes", "starts_and_stops"]),
        ("lines", ["cancels_the_work_when_the_caller_goes", "answers_what_is_under_way_when_it_closes"]),
    ],
)
def test_each_example_keeps_the_contract(name: str, kept: list[str], tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text(EXAMPLES[name].replace("4244", str(free_port())))
    shown = run(f"{name}.py", folder=tmp_path).splitlines()
    assert re.fullmatch(rf"{name}: \d+ rules kept", shown[0])
    assert {f"passed         {rule}" for rule in kept} <= {*shown}


def test_there_are_no_other_examples() -> None:
    assert list(EXAMPLES) == ["readonly", "timer", "countdown", "lines"]


@pytest.mark.parametrize(("name", "most"), [("readonly", 12), ("timer", 40)])
def test_the_guide_needs_no_more_lines_than_its_headings_say(name: str, most: int) -> None:
    assert f"{most} lines\n" in GUIDE
    code = EXAMPLES[name].partition("\nif __name__")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= most


@pytest.mark.engine
async def test_the_docker_cli_uses_the_leaf(tmp_path: Path) -> None:
    """The commands that the guide shows, and what else a client asks of an engine."""
    example: dict[str, Any] = {"__name__": "timer"}
    exec(compile(EXAMPLES["timer"], "timer.py", "exec"), example)
    address = f"unix://{tmp_path}/timer.sock"

    async def cli(*words: str, code: int = 0) -> str:
        done = await trio.to_thread.run_sync(partial(docker, address, *words))
        assert done.returncode == code, done.stderr.decode()
        return (done.stdout + done.stderr).decode().strip()

    async with Chain(DockerServer([address]), example["Timer"](tick=0.01)).open():
        assert await cli("run", "timer", "3") == "3\n2\n1"
        long = await cli("run", "-d", "--name", "long", "--label", "team=red", "timer", "1000000")
        assert await cli("ps", "--filter", "label=team=red", "--format", "{{.Names}} {{.Image}}") == "long timer"
        assert await cli("ps", "-q", "--no-trunc", "--filter", "label=team=blue") == ""
        assert int(await cli("logs", "--tail", "1", long[:12])) < 1000000
        assert await cli("stop", "long") == "long"
        assert await cli("wait", "long") == "143"
        assert await cli("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "long") == "exited 143"
        now = f"{time.time():.9f}"
        told = await cli("events", "--since=1h", f"--until={now}", "--filter=container=long", "--format={{.Action}}")
        assert told.split() == ["create", "start", "die"]
        assert "is already in use" in await cli("create", "--name", "long", "timer", "3", code=1)
        assert await cli("rm", "long") == "long"
        assert "can't have HostConfig.Memory" in await cli("run", "-m", "1g", "timer", "3", code=125)
        assert "invalid command: expected a number" in await cli("run", "timer", "soon", code=125)
        assert await cli("info", "-f", "{{.Driver}} {{.Containers}}") == "timer 1"
        assert len((await cli("container", "prune", "-f")).splitlines()) > 1
        assert await cli("ps", "-aq") == ""


def test_the_one_line_test_passes(tmp_path: Path) -> None:
    (tmp_path / "readonly.py").write_text(EXAMPLES["readonly"])
    (tmp_path / "test_readonly.py").write_text(next(block for block in BLOCKS if "def test_" in block))
    assert "1 passed" in run("-m", "pytest", "-o", "trio_mode=true", "-p", "no:cacheprovider", folder=tmp_path)


def test_the_transcript_passes(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(next(block for block in BLOCKS if "expect(" in block))
    run("script.py", folder=tmp_path)


def test_the_table_of_rules_is_the_kits() -> None:
    table = GUIDE.partition("## The rules")[2]
    assert re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE) == [(r.name, r.sentence) for r in RULES]
