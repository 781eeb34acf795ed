"""What many tests share: two real engines for the whole run, a gateway over them, and a reader of answers in Go."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engines import Engine, Swarmd, engine, swarmd
from tests.support.gotypes import build

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
