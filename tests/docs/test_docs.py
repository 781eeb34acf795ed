"""The documentation builds without a warning, and its programs do what it says."""

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.support.paths import ROOT

GUIDE = (ROOT / "docs" / "embedding.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", GUIDE, re.DOTALL)
PROGRAMS = [pytest.param(*each, marks=[pytest.mark.engine] * ('["docker", ' in each[0])) for each in BLOCKS]
"""One of them runs the docker CLI."""
GENERATED = {ROOT / "docs" / "compatibility.md"}


def run(*command: str, cwd: Path) -> str:
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("program", "printed"), PROGRAMS, ids=range(len(BLOCKS)))
def test_a_program_of_the_guide_prints_what_is_said(program: str, printed: str, tmp_path: Path) -> None:
    (tmp_path / "test_program.py").write_text(program)
    if "def test_" in program:
        shown = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", "-rA", cwd=tmp_path)
        assert shown.count("PASSED") == program.count("def test_")
    else:
        assert run("test_program.py", cwd=tmp_path) == printed


@pytest.mark.parametrize("name", [each.name for each in entry_points(group="swarmlib.backends")])
def test_the_guide_to_the_stages_has_every_backend(name: str) -> None:
    assert re.search(rf"^\|(?: `[^`]*`,)? `{name}\b", (ROOT / "docs" / "stages.md").read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("page", sorted({*ROOT.glob("docs/*.md")} - GENERATED), ids=lambda page: page.name)
def test_no_line_of_prose_in_the_guides_is_long(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert [line for line in prose.splitlines() if len(line) > 120 and not line.startswith(("|", "  |"))] == []


@pytest.mark.engine
def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    build = ("-m", "sphinx", "-q", "-W", "-n", "--keep-going", "docs", str(tmp_path))
    done = subprocess.run(
        [sys.executable, *build], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "api" / "threads.html").read_text("utf-8")
    assert 'id="swarmlib.client.sync.Client.ls"' in page
