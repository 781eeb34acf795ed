"""The lines of `debug`: what it knows about a request or a reply, as text for people or as JSON for programs.

23:12:53.120 #7 > ls containers all=1 (uid:0)
23:12:53.122 #7 < ls containers 1.91 ms 530 B

On a terminal they are coloured, and cut to its width: what matters stands first.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from functools import partial
from typing import Any, Final, TextIO

from swarmlib.terminal import escaped

_dumped: Final = partial(json.dumps, default=lambda other: other.decode("latin-1"))  # headers are bytes
_LONG_ID: Final = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
_SIZES: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_RESET: Final = "\x1b[0m"
_COLOURS: Final = {"dim": "\x1b[2m", "bold": "\x1b[1m", "number": "\x1b[36m", "error": "\x1b[31m", "": ""}


def as_json(line: dict[str, Any]) -> str:
    """Return a line as an object; its time is in ISO 8601, with the offset from UTC."""
    return _dumped({**line, "time": line["time"].isoformat(timespec="milliseconds")})


class AsText:
    """Makes lines for people; on a terminal with colours, and not wider than it."""

    def __init__(self, stream: TextIO | None) -> None:
        self._is_terminal = stream is not None and not stream.closed and stream.isatty()
        self._coloured = self._is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def __call__(self, line: dict[str, Any]) -> str:
        """Return a line."""
        parts = [part for part in _parts(line) if part[0]]
        if self._is_terminal:
            parts = _cut(parts, shutil.get_terminal_size().columns)
        return " ".join(self._shown(*part) for part in parts)

    def _shown(self, text: str, colour: str) -> str:
        return f"{_COLOURS[colour]}{text}{_RESET}" if colour and self._coloured else text


def _cut(parts: list[tuple[str, str]], width: int) -> list[tuple[str, str]]:
    """Return as much of a line as fits into `width`."""
    kept: list[tuple[str, str]] = []
    left = width
    for text, colour in parts:
        if len(text) > left:
            return [*kept, (text[: left - 1] + "…", colour)] if left > 1 else kept
        kept.append((text, colour))
        left -= len(text) + 1
    return kept


def _parts(line: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the words of a line, each with its colour."""
    head = [
        (line["time"].strftime("%H:%M:%S.%f")[:-3], "dim"),
        (line.get("stage", ""), "bold"),
        (f"#{line['call']}", "number"),
    ]
    return head + (_asked(line) if "verb" in line else _answered(line))


def _asked(line: dict[str, Any]) -> list[tuple[str, str]]:
    params = " ".join(f"{_printable(name)}={_value(value)}" for name, value in line.get("params", {}).items())
    caller = line.get("caller")
    return [
        (">", "dim"),
        (line["verb"], "bold"),
        (_short("/".join(map(str, line["path"]))), ""),
        (params, ""),
        (_size(line), ""),
        ("+upload" if "stream" in line else "", ""),
        (f"({_short(caller)})" if caller else "", "dim"),
        (_rest(line, ("version", "headers")), "dim"),
        (_shown(line["value"]) if "value" in line else "", ""),
    ]


def _answered(line: dict[str, Any]) -> list[tuple[str, str]]:
    kind = line["reply"]
    error = f"{line['error']}: {_short(line['message'])}" if "error" in line else ""
    moved = " ".join(f"{way} {shown_size(line[way])}" for way in ("in", "out") if way in line)
    return [
        ("<", "dim"),
        ("" if kind in ("ack", "error") else kind, "bold"),
        (_short(line["asked"]), ""),
        (error, "error"),
        (shown_time(line["ms"]), ""),
        (_size(line), ""),
        (moved, ""),
        ("+stream" if "stream" in line else "", ""),
        (_rest(line, ("details",)), "dim"),
        (_shown(line["value"]) if "value" in line else "", ""),
    ]


def _rest(line: dict[str, Any], names: tuple[str, ...]) -> str:
    """Return what matters only to whoever wants the values too."""
    found = {name: line[name] for name in names if line.get(name)}
    return _shown(found) if found and "value" in line else ""


def _size(line: dict[str, Any]) -> str:
    if "bytes" not in line:
        return ""
    return "not JSON" if line["bytes"] is None else shown_size(line["bytes"])


def shown_size(size: int) -> str:
    """Return a number of bytes for people."""
    return next((f"{size / unit:.1f} {name}" for unit, name in _SIZES if size >= unit), f"{size} B")


def shown_time(milliseconds: float) -> str:
    """Return a time for people."""
    if milliseconds < 1000:
        return f"{milliseconds:.2f} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def _value(value: Any) -> str:
    return _short(value) if isinstance(value, str) else _shown(value)


def _short(text: str) -> str:
    """Return a text with short ids, in a form that can't break the line or control the terminal."""
    return _printable(_LONG_ID.sub(r"\1", text))


def _printable(text: str) -> str:
    return text if text.isprintable() else f'"{escaped(text)}"'


def _shown(data: Any) -> str:
    return escaped(_LONG_ID.sub(r"\1", _dumped(data)))
