"""Reads `catalog.toml`: one record a suite."""

import tomllib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

_FILE = Path(__file__).with_name("catalog.toml")


@dataclass(frozen=True)
class Suite:
    """A suite, and how to get and run it.

    client, version: what is tested, and which version of it.
    origin: where the suite comes from, for a reader.
    images: what the suite expects to be able to pull; `preload` are those that it expects to be there already.
    prepare: a shell script, run once with network access in a folder of the suite's own.
    run: a shell script in that folder, with DOCKER_HOST set; it writes its results to the file $RESULTS.
    results: the format of that file: `junit` or `go`.
    differences: why tests that pass on the engine fail through swarmlib, by a shell pattern of their names.
    """

    name: str
    client: str
    version: str
    origin: str
    images: tuple[str, ...]
    prepare: str
    run: str
    preload: tuple[str, ...] = ()
    results: str = "junit"
    differences: dict[str, str] = field(default_factory=dict[str, str])

    def reason(self, test: str) -> str | None:
        """Why a test fails through swarmlib and not on the engine, if that is known."""
        return next((why for pattern, why in self.differences.items() if fnmatchcase(test, pattern)), None)


def suites() -> dict[str, Suite]:
    """Give all suites by name."""
    records = tomllib.loads(_FILE.read_text("utf-8"))
    return {name: Suite(name, **{key: _frozen(value) for key, value in each.items()}) for name, each in records.items()}


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
