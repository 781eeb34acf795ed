"""What a suite's run came to: read from its results, and kept in the data that the page is made of."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self
from xml.etree import ElementTree

from tests.support.paths import DATA

DATA = DATA / "compatibility.json"
_GO = re.compile(r"^\s*--- (PASS|FAIL|SKIP): (\S+)", re.MULTILINE)
_TAP = re.compile(r"^(ok|not ok) \d+ - (.+?)( # SKIP.*)?$", re.MULTILINE)
_GO_RESULTS = {"PASS": "passed", "FAIL": "failed", "SKIP": "skipped"}


@dataclass(frozen=True)
class Outcome:
    """One run: how many tests passed and were skipped, and the names of those that failed."""

    suite: str
    version: str
    way: str
    engine: str
    date: str
    passed: int
    skipped: int
    failed: tuple[str, ...]

    @classmethod
    def of(cls, results: dict[str, str], *, suite: str, version: str, way: str, engine: str, date: str) -> Self:
        """Count results, which are `passed`, `failed` or `skipped` by test."""
        count = Counter(results.values())
        failed = tuple(sorted(name for name, result in results.items() if result == "failed"))
        return cls(suite, version, way, engine, date, count["passed"], count["skipped"], failed)


def read_results(form: str, file: Path) -> dict[str, str]:
    """Give `passed`, `failed` or `skipped` by test, out of a file of results (`junit`, `go` or `tap`)."""
    return _READERS[form](file)


def _junit(file: Path) -> dict[str, str]:
    results: dict[str, str] = {}
    for case in ElementTree.parse(file).iter("testcase"):
        kinds = {each.tag for each in case}
        result = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        name = f"{case.get('classname', '')}::{case.get('name', '')}"
        # A test whose teardown fails too has two cases.
        results[name] = "failed" if results.get(name) == "failed" else result
    return results


def _go(file: Path) -> dict[str, str]:
    return {name: _GO_RESULTS[word] for word, name in _GO.findall(file.read_text("utf-8", "replace"))}


def _tap(file: Path) -> dict[str, str]:
    found = _TAP.findall(file.read_text("utf-8", "replace"))
    return {name: "skipped" if skip else "passed" if word == "ok" else "failed" for word, name, skip in found}


_READERS: dict[str, Callable[[Path], dict[str, str]]] = {"junit": _junit, "go": _go, "tap": _tap}


def load() -> list[Outcome]:
    """Read the data of all runs."""
    if not DATA.exists():
        return []
    return [Outcome(**{**each, "failed": tuple(each["failed"])}) for each in json.loads(DATA.read_text("utf-8"))]


def save(new: Outcome) -> None:
    """Put a run in the place of the last one of its suite and way."""
    kept = {(each.suite, each.way): each for each in [*load(), new]}
    data = [asdict(kept[key]) for key in sorted(kept)]
    DATA.write_text(json.dumps(data, indent=1) + "\n", "utf-8")
