"""Which requests an engine saw, by its own debug log, and which messages a stage of the gateway saw, by `judge`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_plus

from swarmlib_backends.dockerapi.rows import ROWS
from tests.bench.attacking import ask, get
from tests.support.engines import Engine

_CALL = re.compile(r'level=debug msg=("(?:[^"\\]|\\.)*")')
_VERSION = re.compile(r"/v[0-9.]+(?=/)")


@dataclass(frozen=True)
class Call:
    """A request that an engine acted on: its method, and its target as it was sent."""

    method: str
    target: str

    @property
    def key(self) -> tuple[str, str]:
        """The method, and the path without what may differ: host, API version, escapes."""
        path = re.sub(r"^https?://[^/]*", "", self.target).partition("?")[0]
        return self.method, _VERSION.sub("", unquote(path, errors="replace"), count=1)

    @property
    def query(self) -> dict[str, str]:
        """Its parameters as Go reads them: the first of equal names, none with a semicolon or a bad escape."""
        found: dict[str, str] = {}
        for part in self.target.partition("?")[2].split("&"):
            name, _, value = part.partition("=")
            if part and ";" not in part and not re.search(r"%(?![0-9A-Fa-f]{2})", part):
                found.setdefault(unquote_plus(name), unquote_plus(value))
        return found


class EngineWitness:
    """Reads an engine's debug log piece by piece."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._log = engine.folder / "log"
        self._read = self._log.stat().st_size
        self._marks = 0

    def calls(self) -> list[Call]:
        """What the engine has acted on since the last look."""
        self._marks += 1
        mark = f"/v1.41/containers/mark-{self._marks}/json"
        ask(str(self.engine.socket), get(mark))
        found: list[Call] = []
        for line in self._new_lines():
            text = _called(line)
            if text is not None and text.partition(" ")[2] != mark:
                found.append(Call(*text.split(" ", 1)))
        return found

    def _new_lines(self) -> list[str]:
        with self._log.open("rb") as log:
            log.seek(self._read)
            data = log.read()
        self._read += len(data)
        return data.decode(errors="replace").splitlines()


def _called(line: str) -> str | None:
    found = _CALL.search(line)
    if found is None or not found[1].startswith('"Calling '):
        return None
    return _go_unquoted(found[1]).removeprefix("Calling ")


_GO_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|U([0-9a-f]{8})|([av])|.)")


def _go_unquoted(quoted: str) -> str:
    """Go's %q, whose escapes are JSON's and some more."""

    def as_json(found: re.Match[str]) -> str:
        code = found[1] or found[2]
        return json.dumps(chr(int(code, 16)))[1:-1] if code else "?" if found[3] else found[0]

    return str(json.loads(_GO_ESCAPE.sub(as_json, quoted), strict=False))


@dataclass
class Judged:
    """A request as the stage `judge` saw it."""

    verb: str
    path: tuple[str, ...]
    params: dict[str, Any]
    body: Any = None
    unread: str = ""

    def becomes(self) -> set[tuple[str, str]]:
        """The calls (`Call.key`) that it may become, by the table's columns alone."""
        if self.path == ("whole",):
            return {Call(str(self.params.get("method")), str(self.params.get("target"))).key}
        found: set[tuple[str, str]] = set()
        for row in ROWS:
            shape = row.shape
            if row.verb != self.verb or len(shape) != len(self.path):
                continue
            if all(part is None or part == own for part, own in zip(shape, self.path, strict=True)):
                name = self.path[shape.index(None)] if None in shape else ""
                found.add((row.method, row.template.replace("{id}", name).replace("{name}", name)))
        return found

    def disagrees(self, call: Call) -> str:
        """Where a parameter that the engine reads is not the one that was judged; "" where all are."""
        if self.path == ("whole",):
            return ""
        judged = {name: _as_text(value) for name, value in self.params.items()}
        query = call.query
        for name in judged.keys() | query.keys():
            ours, theirs = judged.get(name, ""), query.get(name, "")
            if ours != theirs and _TRUTH.get(ours, ours) != _TRUTH.get(theirs, theirs):
                return f"{name}: judged {self.params.get(name)!r}, the engine reads {query.get(name)!r}"
        return ""


_TRUTH = {"true": "1", "True": "1", "false": "", "False": "", "0": ""}


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return _as_text(value[0]) if value else ""  # Go takes the first of a repeated parameter
    if isinstance(value, dict):
        return json.dumps(value)
    return str(value).encode(errors="surrogateescape").decode(errors="replace")  # as a call's query is decoded


class JudgeWitness:
    """Reads what `judge` wrote piece by piece."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = 0

    def requests(self) -> list[Judged]:
        """The requests since the last look."""
        return list(self._requests())

    def _requests(self) -> Iterator[Judged]:
        if not self._file.exists():
            return
        with self._file.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        self._read += len(data)
        for line in data.splitlines():
            found = json.loads(line)
            yield Judged(**(found | {"path": tuple(found["path"])}))
