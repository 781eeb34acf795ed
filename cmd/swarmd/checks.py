"""What `swarmd check` finds out about chains beyond reading them: whether their stages could be opened now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import trio

from swarmlib import Chain, Invalid
from swarmlib.checking import preflight

from .settings import read_file


def file(path: Path) -> Mapping[str, Chain]:
    """Return the chains of a configuration file, checked.

    Raises:
        Invalid: the file is wrong.
        ExceptionGroup: of an `Invalid` with its line for each stage that could not be opened.
    """
    configuration, _settings = read_file(path)
    faults = [configuration.located(each) for chain in configuration.chains.values() for each in _faults(chain)]
    _refuse(faults)
    return configuration.chains


def chain(chain: Chain) -> Chain:
    """Return a chain, checked.

    Raises:
        ExceptionGroup: of an `Invalid` for each stage that could not be opened.
    """
    _refuse(_faults(chain))
    return chain


def _faults(chain: Chain) -> list[Invalid]:
    return trio.run(preflight, chain)


def _refuse(faults: list[Invalid]) -> None:
    if faults:
        raise ExceptionGroup("stages that could not be opened", faults)
