"""What swarmd writes to stderr: log records and errors, each confined to its line.

Log messages and exceptions contain texts of clients, engines and peers. No such text can begin a line that looks like
swarmd's own, control the terminal, fill the disk with one message, or show a password; and a stalled reader of stderr
does not hold up the process (`swarmlib.terminal`).
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

from swarmlib.terminal import escaped, stderr
from swarmlib.trace_context import trace_id
from swarmlib_backends.redact_text import without_credentials

Form: TypeAlias = Literal["text", "json"]
"""How log records are written."""
MAX_LINE: Final = 8 * 1024
"""The most characters of one line; the middle of a longer one is left out."""
MAX_LINES: Final = 400
"""The most lines of one record with its traceback; the middle of a longer one is left out."""
OURS: Final = ("swarmlib", "swarmlib_backends", "swarmd")
"""The loggers that `level` is set for. Below them each module has its own, so that one backend can be silenced."""
_INDENT: Final = "    "


def set_up(level: int, form: Form) -> None:
    """Send the records of all loggers, Python's warnings and uncatchable exceptions to stderr; ours from `level` on.

    form: of the records, and of what `say` writes. May be called again, to change the level and the form.
    """
    logging.basicConfig(handlers=[_handler])
    _handler.setFormatter(TEXT if form == "text" else JSON)
    logging.captureWarnings(True)
    for ours in OURS:
        logging.getLogger(ours).setLevel(level)
    sys.unraisablehook = _unraisable


def say(text: str, level: int = logging.INFO) -> None:
    """Write a line of swarmd's own, whatever the level is that is logged. Further lines of `text` (a chain with a caret
    below it) are indented.
    """
    if isinstance(_handler.formatter, _Json):
        _handler.emit(logging.LogRecord("swarmd", level, "", 0, text, None, None))
        return
    first, *others = text.split("\n")
    below = [line if line.startswith("  ") else f"  {line}" for line in others]
    stderr().write(_bounded("\n".join(map(_safe, [f"swarmd: {first}", *below]))))


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as exc:  # noqa: BLE001 - as in logging's own handlers: a faulty record must end nothing
            line = f"swarmd: ERROR: a log record of {record.name} can't be formatted: {type(exc).__name__}"
        stderr().write(line)


class _Text(logging.Formatter):
    """`swarmd: TIME LEVEL: message (trace ID)` on one line; a traceback's lines below it, indented."""

    def format(self, record: logging.LogRecord) -> str:
        head = f"swarmd: {_time(record)} {record.levelname}: {_safe(record.getMessage())}"
        if trace := trace_id.get():
            head += f" (trace {trace})"
        below = self.formatException(record.exc_info).splitlines() if record.exc_info else []
        return _bounded("\n".join([head, *(_INDENT + _safe(line) for line in below)]))


class _Json(logging.Formatter):
    """An object for each record, in ASCII; a traceback is a text in it."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        fields["message"] = _plain(record.getMessage())
        if trace := trace_id.get():
            fields["trace"] = trace
        if record.exc_info:
            fields["traceback"] = _bounded("\n".join(map(_plain, self.formatException(record.exc_info).splitlines())))
        return json.dumps(fields)


TEXT: Final = _Text()
JSON: Final = _Json()
"""The two forms of a record."""
_handler: Final = _Handler()


def _time(record: logging.LogRecord) -> str:
    """Return when it was logged, by RFC 3339, in UTC and with milliseconds."""
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _safe(text: str) -> str:
    """Make `text` safe for a line: hide passwords, escape control characters, bound the length."""
    return _shortened(escaped(_plain(text)), MAX_LINE)


def _plain(text: str) -> str:
    """Hide passwords in `text`, and bound its length."""
    return _shortened(without_credentials(_shortened(text, MAX_LINE)), MAX_LINE)


def _shortened(text: str, size: int) -> str:
    left_out = len(text) - size
    return text if left_out <= 0 else f"{text[: size // 2]} … ({left_out} characters) … {text[-size // 2 :]}"


def _bounded(text: str) -> str:
    lines = text.split("\n")
    left_out = len(lines) - MAX_LINES
    if left_out <= 0:
        return text
    kept = MAX_LINES // 2
    return "\n".join([*lines[:kept], f"{_INDENT}… ({left_out} lines) …", *lines[-kept:]])


def _unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Log what was raised where nobody can catch it, such as in a finalizer, as Python itself would print it."""
    exc = unraisable.exc_value
    text = "".join(traceback.format_exception_only(exc)).strip() if exc else unraisable.exc_type.__name__
    where = unraisable.err_msg or "an exception that nobody can catch"
    logging.getLogger(__name__).error("%s in %s: %s", where, type(unraisable.object).__name__, text)
