"""Every error that crosses a stage, each with the code that it has on the wire.

A foreign exception (an OSError, a library's own) is mapped to one of these once, at the edge of the
backend that met it, with `raise … from exc`. What is not one of these is a bug, and travels as `internal`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Final, cast

UNSENT: Final = "unsent"
"""The detail of an `Unavailable` that says that the request went nowhere, and so certainly had no effect."""


class SwarmError(Exception):
    """An expected failure: `message` for people, `code` for programs.

    `backend` names the backend that raised it, `path` the object that it is about; both are empty where unknown.
    `details` holds what that backend adds for callers that know it, such as an HTTP status.
    """

    code: ClassVar[str]

    def __init__(
        self,
        message: str,
        *,
        backend: str = "",
        path: tuple[str, ...] = (),
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.backend = backend
        self.path = path
        self.details: Mapping[str, Any] = details or {}


class NotFound(SwarmError):
    """The named object doesn't exist."""

    code = "not_found"


class Ambiguous(SwarmError):
    """The name or prefix fits more than one object; the message lists them."""

    code = "ambiguous"


class Conflict(SwarmError):
    """The object's state doesn't allow it, or the name is taken."""

    code = "conflict"


class Invalid(SwarmError):
    """The request itself is wrong."""

    code = "invalid"


class Denied(SwarmError):
    """A policy, or the service's own permissions, forbid it."""

    code = "denied"


class Unsupported(SwarmError):
    """No backend of the chain does this, or the backend can't honour a field that was set."""

    code = "not_implemented"


class Unavailable(SwarmError):
    """The backend, or the way to it, is down; the same request may work later."""

    code = "unavailable"


class BadAnswer(Unavailable):
    """The backend answered something that its protocol or its schema does not allow."""

    code = "bad_answer"


class TimedOut(SwarmError):
    """The deadline passed before the answer came."""

    code = "timeout"


class TooLarge(SwarmError):
    """A head, body or frame is over its bound."""

    code = "too_large"


class Internal(SwarmError):
    """A bug in a backend; its traceback is in the log."""

    code = "internal"


ERRORS: Mapping[str, type[SwarmError]] = {
    kind.code: kind
    for kind in (
        NotFound,
        Ambiguous,
        Conflict,
        Invalid,
        Denied,
        Unsupported,
        Unavailable,
        BadAnswer,
        TimedOut,
        TooLarge,
        Internal,
    )
}
"""The error class of each code."""


def sole(exc: BaseException) -> BaseException:
    """Return the one exception inside nested groups, or `exc` itself where there are several.

    Of several expected failures the first stands for all: concurrent tasks met them.
    """
    if not isinstance(exc, BaseExceptionGroup):
        return exc
    group = cast("BaseExceptionGroup[BaseException]", exc)
    found = [sole(part) for part in group.exceptions]
    if len(found) == 1 or all(isinstance(part, SwarmError) for part in found):
        return found[0]
    return group


@contextmanager
def ungrouped() -> Generator[None]:
    """Raise a group's only exception as itself: a nursery that a caller can't see must not show in its errors."""
    try:
        yield
    except BaseExceptionGroup as group:
        found = sole(group)
        if found is group:
            raise
        # Keep the cause that was set where the exception was raised; the group would only repeat it.
        raise found from found.__cause__
