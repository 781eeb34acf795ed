"""How an exec or attach ended: the `Status` that the cluster sends on its error channel."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from swarmlib.errors import BadAnswer

from ..api.errors import error_of_status

MAX_STATUS: Final = 256 * 1024
"""The most bytes of the error channel."""

_MAX_CODE: Final = 2**32 - 1


class _Cause(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _Details(msgspec.Struct, frozen=True):
    causes: list[_Cause] = []


class _Status(msgspec.Struct, frozen=True):
    """What is read here of a status: the exit code is the message of a cause."""

    status: str
    reason: str = ""
    details: _Details = _Details()

    def exit_code(self) -> int:
        """Return the code, or raise ValueError if it names none."""
        code = int(next((cause.message for cause in self.details.causes if cause.reason == "ExitCode"), ""))
        if not 0 <= code <= _MAX_CODE:
            raise ValueError(f"{code} is no exit code")
        return code


def exit_code(raw: bytes) -> int:
    """Return the exit code that a status says.

    Raises:
        SwarmError: it says that the command could not be run; the apiserver's error.
        BadAnswer: it is malformed.
    """
    try:
        status = msgspec.json.decode(raw, type=_Status)
        if status.status == "Success":
            return 0
        if status.reason == "NonZeroExitCode":
            return status.exit_code()
        error = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, ValueError) as exc:
        raise BadAnswer("the cluster gave a malformed status of how a command ended") from exc
    raise error_of_status(error)
