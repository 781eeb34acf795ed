"""What many tests share: how thorough Hypothesis is, two real engines for the whole run, a gateway over them, and a
reader of answers in Go.
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.engines import Engine, Swarmd, engine, swarmd
from tests.support.gotypes import build

# The tests start hundreds of processes, and rewrite their own modules: without bytecode, each would compile all anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# `--hypothesis-profile=thorough`, as in .ci/test, tries as many examples as Hypothesis does by itself.
settings.register_profile("quick", max_examples=20, deadline=None)
settings.register_profile("thorough", max_examples=100, deadline=None)
settings.load_profile("quick")

# A run of the tests under nohup ignores SIGHUP, and a swarmd that inherits this goes on ignoring it.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def engines() -> Iterator[tuple[Engine, Engine]]:
    """Two engines, each with a busybox image."""
    with engine() as first, engine() as second:
        yield first, second


@pytest.fixture(scope="session")
def gateway(engines: tuple[Engine, Engine]) -> Iterator[Swarmd]:
    """The main job: both engines behind one endpoint, with debug in between."""
    members = " ".join(f'"docker {each.host}"' for each in engines)
    with swarmd("debug", f"balance {members}") as running:
        yield running


@pytest.fixture(scope="session")
def go_reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that reads answers as compiled Go clients do."""
    return build(tmp_path_factory.mktemp("go"))
