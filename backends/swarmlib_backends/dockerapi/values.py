"""What the parameters of a canonical request say (see `canonical`), and times as the Docker API writes them."""

from __future__ import annotations

import signal
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from swarmlib import Invalid, Json, ReplySender, Request, SwarmError, Unsupported

from .filters import decode
from .numbers import integer
from .status import refusal
from .times import moment
from .versions import API_VERSION

NEVER: Final = "0001-01-01T00:00:00Z"
_PONG: Final = [
    (b"Content-Type", b"text/plain; charset=utf-8"),
    (b"Api-Version", API_VERSION.encode()),
    (b"Docker-Experimental", b"false"),
    (b"Ostype", b"linux"),
    (b"Cache-Control", b"no-cache, no-store, must-revalidate"),
    (b"Pragma", b"no-cache"),
]


_SIGNALS: Final[Mapping[str, int]] = {
    **{name.removeprefix("SIG"): number for name, number in signal.Signals.__members__.items()},
    **{f"RTMIN+{n}": signal.SIGRTMIN + n for n in range(1, 16)},
    **{f"RTMAX-{n}": signal.SIGRTMAX - n for n in range(1, 15)},
}
"""By their names without SIG; of some, Python has several."""


def stamp(at: float) -> str:
    """A time in seconds since the epoch, as the API writes it (RFC 3339 with nanoseconds); 0 is never."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z") if at else NEVER


def is_true(value: Any) -> bool:
    """Whether a boolean parameter is on; one that is not given is off."""
    return bool(value == "1")


def number(args: Mapping[str, Any], name: str, default: int) -> int:
    """A parameter that is an integer, or `default` where it is not given."""
    given = args.get(name)
    return default if given is None else int(given)


def time_in(args: Mapping[str, Any], name: str, default: float) -> float:
    """A parameter that is a time, in seconds since the epoch, or `default` where it is not given."""
    given = args.get(name)
    return default if given is None else moment(given)


def terminal_size(args: Mapping[str, Any]) -> tuple[int, int]:
    """The rows and columns that a resize asks for, `h` and `w`, of which a kernel keeps 16 bits."""
    return int(args["h"]) % 2**16, int(args["w"]) % 2**16


def signal_number(text: str) -> int:
    """A signal by its number, or by its name with or without SIG: TERM, SIGRTMIN+3. Raises `Invalid` if it is none."""
    given = integer(text)
    found = _SIGNALS.get(text.upper().removeprefix("SIG"), 0) if given is None else given
    if found not in signal.valid_signals():
        raise Invalid(f"Invalid signal: {text}")
    return found


def signal_asked(args: Mapping[str, Any]) -> int:
    """The signal of a request to kill, which may be a number that no system knows. Raises `Invalid` if it is none."""
    text = str(args.get("signal") or "KILL")
    return integer(text) or signal_number(text)


@contextmanager
def killing(ref: str) -> Generator[None]:
    """While a container is killed, which was asked for by `ref`: an error says so, as an engine's does."""
    try:
        yield
    except SwarmError as exc:
        raise type(exc)(f"Cannot kill container: {ref}: {exc.message}", details=exc.details) from exc


def no_such_signal(number: int) -> SwarmError:
    """What an engine says of a number that is no signal of its system."""
    return refusal(500, f"The linux daemon does not support signal {number % 2**64}")


def check_checkpoint_dir(args: Mapping[str, Any]) -> None:
    """Refuse to start from a checkpoint somewhere, as an engine keeps them where it wants. Raises `SwarmError`."""
    if args.get("checkpoint-dir"):
        raise refusal(403, "custom checkpointdir is not supported")


def still_runs(id: str, status: str) -> SwarmError:
    """What an engine says to who removes a container that is `running` or `paused`, without force."""
    how = "Unpause and then stop" if status == "paused" else "Stop"
    text = f"You cannot remove a {status} container {id}"
    return refusal(409, f"{text}. {how} the container before attempting removal or force remove")


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


def no_such_place(backend: str, request: Request) -> Unsupported:
    """The error of a backend that has nothing of that kind where the request points."""
    where = "/".join(request.path) or "the service"
    return Unsupported(f"{backend} has no {request.verb} for {where}", path=request.path)


async def pong(reply: ReplySender) -> None:
    """Answer a ping."""
    await reply.set(Json(b"OK"), details={"headers": _PONG})
    await reply.ack()
