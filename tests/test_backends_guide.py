"""The guide for backend authors: each of its programs runs, and its table of rules is that of the kit."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from swarmlib.testing import RULES
from tests.engines import free_port

GUIDE = (Path(__file__).parent.parent / "docs" / "backends.md").read_text()
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
    assert list(EXAMPLES) == ["readonly", "countdown", "lines"]


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
