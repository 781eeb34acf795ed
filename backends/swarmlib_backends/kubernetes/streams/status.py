"""How an exec or attach ended: the `Status` that the cluster sends on its error channel."""

from __future__ import annotations

from typing import Any, Final

import orjson

from swarmlib.errors import BadAnswer

from ..api.errors import error_of_status

MAX_STATUS: Final = 256 * 1024
"""The most bytes of the error channel."""


def exit_code(raw: bytes) -> int:
    """Return the exit code that a status says.

    Raises:
        SwarmError: it says that the command could not be run; the apiserver's error.
        BadAnswer: it is no status, or its exit code is not a number.
    """
    try:
        status: Any = orjson.loads(raw)
        if status["status"] == "Success":
            return 0
        if status.get("reason") == "NonZeroExitCode":
            causes = status["details"]["causes"]
            return int(next(cause["message"] for cause in causes if cause["reason"] == "ExitCode"))
    except (orjson.JSONDecodeError, LookupError, TypeError, ValueError, AttributeError, StopIteration) as exc:
        raise BadAnswer("the cluster gave a malformed status of how a command ended") from exc
    raise error_of_status(status)
