"""The apiserver's errors as swarmlib's: its `Status` objects, with their reason and the resource that they are about.

An error of the cluster has these details: `reason` (the apiserver's word, such as AlreadyExists), `code` (its HTTP
status), and, where it says so, `kind` and `name` of the resource, and `retry_after` in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import orjson

from swarmlib import (
    BadAnswer,
    Conflict,
    Denied,
    Invalid,
    NotFound,
    SwarmError,
    TimedOut,
    TooLarge,
    Unavailable,
    Unsupported,
)

MAX_MESSAGE: Final = 64 * 1024
"""The most characters of an apiserver's message that are kept."""
_BY_REASON: Final[Mapping[str, type[SwarmError]]] = {
    "AlreadyExists": Conflict,
    "BadRequest": Invalid,
    "Conflict": Conflict,
    "Expired": Conflict,
    "Forbidden": Denied,
    "Gone": Conflict,
    "Invalid": Invalid,
    "MethodNotAllowed": Unsupported,
    "NotAcceptable": Unsupported,
    "NotFound": NotFound,
    "RequestEntityTooLarge": TooLarge,
    "ServerTimeout": TimedOut,
    "Timeout": TimedOut,
    "TooManyRequests": Unavailable,
    "Unauthorized": Denied,
    "UnsupportedMediaType": Unsupported,
}
_BY_CODE: Final[Mapping[int, type[SwarmError]]] = {
    401: Denied,
    403: Denied,
    404: NotFound,
    405: Unsupported,
    406: Unsupported,
    409: Conflict,
    410: Conflict,
    413: TooLarge,
    415: Unsupported,
    429: Unavailable,
    504: TimedOut,
}
_EXPIRED: Final = frozenset({"Expired", "Gone"})


def error_of(code: int, raw: bytes, retry_after: str = "") -> SwarmError:
    """Return the error that an answer means.

    code: its HTTP status. raw: its body, as much of it as was read. retry_after: its header Retry-After, if it has one.
    """
    if status := _status_in(raw):
        return error_of_status(status, code, retry_after)
    # Something between the cluster and us answered, such as a proxy.
    said = raw[:MAX_MESSAGE].decode("utf-8", "replace").strip()
    text = f"the cluster answered {code}" + (f": {said}" if said else "")
    return _class("", code)(text, details={"reason": "", "code": code, **_pause(retry_after)})


def error_of_status(status: Mapping[str, Any], code: int = 0, retry_after: str = "") -> SwarmError:
    """Return the error that a `Status` object means, such as that of an ERROR event of a watch.

    code: the HTTP status that it came with; by default that which it names itself.
    """
    own = status.get("code")
    code = code or (own if isinstance(own, int) else 0)
    reason, details = _text(status, "reason"), status.get("details")
    found: dict[str, Any] = {"reason": reason, "code": code, **_pause(retry_after)}
    if isinstance(details, dict):
        about = cast("dict[str, Any]", details)
        found |= {key: _text(about, key) for key in ("kind", "name") if about.get(key)}
        found |= _pause(str(about.get("retryAfterSeconds") or "")) | _pause(retry_after)
    message = _text(status, "message") or reason or f"the cluster answered {code}"
    return _class(reason, code)(message, details=found)


def reason_of(error: SwarmError) -> str:
    """Return the apiserver's reason, such as AlreadyExists; "" if the error isn't the apiserver's."""
    return str(error.details.get("reason", ""))


def is_expired(error: SwarmError) -> bool:
    """Return whether the cluster no longer knows the version of a list that a request referred to (410)."""
    return error.details.get("code") == 410 or reason_of(error) in _EXPIRED


def _class(reason: str, code: int) -> type[SwarmError]:
    if found := _BY_REASON.get(reason) or _BY_CODE.get(code):
        return found
    if code < 400:
        return BadAnswer
    return Invalid if code < 500 else Unavailable


def _status_in(raw: bytes) -> Mapping[str, Any] | None:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    found = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    return found if found.get("kind") == "Status" else None


def _text(of: Mapping[str, Any], key: str) -> str:
    value = of.get(key)
    return value[:MAX_MESSAGE] if isinstance(value, str) else ""


def _pause(text: str) -> dict[str, int]:
    """Return the detail for a pause in whole seconds; a date, which HTTP allows too, is not used by apiservers."""
    return {"retry_after": int(text)} if text.isascii() and text.isdigit() and len(text) < 6 else {}
