"""The libraries of the kubernetes backend are imported by a chain that names it, and by nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

LIBRARIES = ("httpx", "httpcore", "yaml", "wsproto")


def loaded_by(program: str) -> set[str]:
    show = f"; import sys; print(*sorted(name for name in sys.modules if name.startswith({LIBRARIES!r})))"
    run = [sys.executable, "-c", program + show]
    return set(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    "program",
    [
        "from swarmd import show; show.backends()",
        "from click.testing import CliRunner as R; from swarmd.cli import cli; R().invoke(cli, ['kubernetes', '-h'])",
    ],
)
def test_nothing_of_it_is_imported(program: str) -> None:
    assert loaded_by(program) == set()
