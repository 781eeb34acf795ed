"""Reads `catalog.toml`: one record a suite."""

import tomllib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

KUBERNETES = "kubernetes"
"""The way to a cluster."""
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
    differences: why tests that pass on the engine fail through swarmlib, each with shell patterns of their names.
    on_cluster: the same for tests that fail on a cluster.
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
    differences: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    on_cluster: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def reasons(self, way: str) -> dict[str, list[str]]:
        """Why tests fail in a way and not on the engine, each with the patterns of their names."""
        return self.on_cluster if way == KUBERNETES else self.differences

    def reason(self, test: str, way: str) -> str | None:
        """Why a test fails in a way and not on the engine, if that is known."""
        patterns = [(pattern, why) for why, given in self.reasons(way).items() for pattern in given]
        return next((why for pattern, why in patterns if fnmatchcase(test, pattern)), None)


def suites() -> dict[str, Suite]:
    """Give all suites by name."""
    records = tomllib.loads(_FILE.read_text("utf-8"))
    return {name: Suite(name, **{key: _frozen(value) for key, value in each.items()}) for name, each in records.items()}


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
