"""What a request's options say, and times as the Docker API writes them."""

from __future__ import annotations

import math
import re
import signal
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from swarmlib import Invalid, Json, Message, Reply, Unsupported

from .filters import decode

API_VERSION: Final = "1.41"
"""The version of the API that the backends here which are no engine speak."""
NEVER: Final = "0001-01-01T00:00:00Z"
_PONG: Final = [
    (b"Content-Type", b"text/plain; charset=utf-8"),
    (b"Api-Version", API_VERSION.encode()),
    (b"Ostype", b"linux"),
]


def stamp(at: float) -> str:
    """A time in seconds since the epoch, as the API writes it (RFC 3339 with nanoseconds); 0 is never."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z") if at else NEVER


def is_true(value: Any) -> bool:
    """Whether a query parameter is on, as the engine reads it."""
    return str(value).lower() in ("1", "true")


def number(args: Mapping[str, Any], name: str, default: float) -> float:
    """A query parameter that is a finite number. Raises `Invalid` if it isn't."""
    given = args.get(name)
    if given in (None, ""):
        return default
    try:
        found = float(given)
    except (TypeError, ValueError) as exc:
        raise Invalid(f"{name} should be a number, not {given!r}") from exc
    if not math.isfinite(found):
        raise Invalid(f"{name} should be a finite number, not {given!r}")
    return found


def terminal_size(args: Mapping[str, Any]) -> tuple[int, int]:
    """The rows and columns that a resize asks for, `h` and `w`; 0 for one that is not given."""
    return int(args.get("h") or 0), int(args.get("w") or 0)


def signal_number(text: str) -> int:
    """A signal by number or name (`TERM`, `SIGTERM`, `RTMIN+3`), of those that Linux has. Raises `Invalid` if there is
    none.
    """
    number = int(text) if re.fullmatch("[0-9]{1,9}", text) else _by_name(text.upper().removeprefix("SIG"))
    if not 0 < number <= signal.SIGRTMAX:
        raise Invalid(f"Invalid signal: {text}")
    return number


def _by_name(name: str) -> int:
    """A signal's number by its name; 0 if there is none. An engine counts the real-time signals from both ends."""
    if found := re.fullmatch(r"RTMIN\+([1-9]|1[0-5])", name):
        return signal.SIGRTMIN + int(found[1])
    if found := re.fullmatch("RTMAX-([1-9]|1[0-4])", name):
        return signal.SIGRTMAX - int(found[1])
    return int(signal.__dict__.get(f"SIG{name}", 0)) if name.isalnum() else 0


def filters(args: Mapping[str, Any], known: set[str], what: str) -> dict[str, list[str]]:
    """The filters of a request.

    Raises:
        Invalid: they are no JSON of that form. Unsupported: one of them is not among the `known`.
    """
    found = decode(args)
    if unknown := sorted(set(found) - known):
        raise Unsupported(f"{what} can't be filtered by {', '.join(unknown)} here; only by {', '.join(sorted(known))}")
    return found


def labels_fit(labels: Mapping[str, str], wanted: list[str]) -> bool:
    """Whether labels hold all of `name` or `name=value`."""
    pairs = [entry.partition("=") for entry in wanted]
    return all(name in labels and (not has_value or labels[name] == value) for name, has_value, value in pairs)


def no_such_place(backend: str, message: Message) -> Unsupported:
    """The error of a backend that has nothing of that kind where the message points."""
    where = "/".join(message.path) or "the service"
    return Unsupported(f"{backend} has no {message.verb} for {where}", path=message.path)


async def pong(ret: Reply) -> None:
    """Answer a ping."""
    await ret.set(Json(b"OK"), headers=_PONG)
    await ret.ack()
