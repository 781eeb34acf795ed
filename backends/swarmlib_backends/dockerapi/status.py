"""The conversion of errors to HTTP statuses and back, without loss."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

import orjson

from swarmlib import (
    ERRORS,
    Ambiguous,
    BadAnswer,
    Conflict,
    Denied,
    Internal,
    Invalid,
    Json,
    NotFound,
    SwarmError,
    TimedOut,
    TooLarge,
    Unavailable,
    Unsupported,
)

from ..http.headers import FixedHeaders, Headers

_STATUS: Final[dict[str, int]] = {
    Invalid.code: 400,
    Denied.code: 403,
    NotFound.code: 404,
    Conflict.code: 409,
    Ambiguous.code: 409,
    TooLarge.code: 413,
    Internal.code: 500,
    Unsupported.code: 501,
    BadAnswer.code: 502,
    Unavailable.code: 503,
    TimedOut.code: 504,
}
_CLASS: Final[dict[int, type[SwarmError]]] = {
    400: Invalid,
    401: Denied,
    403: Denied,
    404: NotFound,
    405: Unsupported,
    406: Invalid,
    408: TimedOut,
    409: Conflict,
    413: TooLarge,
    429: Unavailable,
    431: TooLarge,
    500: Internal,
    501: Unsupported,
    502: BadAnswer,
    503: Unavailable,
    504: TimedOut,
}
_NOT_REACHED: Final = frozenset({502, 503, 504})
"""The statuses of a proxy whose engine does not answer."""
MAX_MESSAGE: Final = 64 * 1024
"""The most characters of an engine's error message that are kept; the body is forwarded to the client in full."""
RAW_STREAM: Final = b"application/vnd.docker.raw-stream"
"""The media type of a container's raw stream, and of the errors of an attach."""
_CODE: Final = b"Swarmlib-Error"
"""The header with the error's code, for a status that would mean another error: 409 is used for two."""


def status_of(error: SwarmError) -> int:
    """Return the HTTP status of an error: the engine's own if the error came from one.

    Raises:
        BadAnswer: the error's detail `status`, which a peer can set freely, is no error status (400 to 599).
    """
    status = error.details.get("status")
    if status is None:
        return _STATUS[error.code]
    if type(status) is not int or not 400 <= status <= 599:
        raise BadAnswer(f"an error's status must be a number from 400 to 599, not {status!a:.80}")
    return status


def error_body(error: SwarmError) -> bytes:
    """Return Docker's error object, in the engine's own bytes if the error came from one."""
    raw = error.details.get("body")
    return raw if isinstance(raw, bytes) else orjson.dumps({"message": error.message}) + b"\n"


def error_headers(error: SwarmError) -> FixedHeaders | None:
    """Return the engine's own headers, if the error came from one."""
    return error.details.get("headers")


def code_headers(error: SwarmError) -> Headers:
    """Return the headers that a response needs besides its status so that `error_of` gives the same error again."""
    return [] if _CLASS.get(status_of(error)) is type(error) else [(_CODE, error.code.encode())]


def refusal(status: int, message: str) -> SwarmError:
    """Return an engine's error with this status and message."""
    return _class(status)(message, details={"status": status})


@contextmanager
def restated(before: str, status: int | None = None) -> Generator[None]:
    """Have the message of an error begin with other words, and the error another status, if one is given."""
    try:
        yield
    except SwarmError as exc:
        message = before + exc.message
        raise (type(exc)(message, details=exc.details) if status is None else refusal(status, message)) from exc


def _class(status: int) -> type[SwarmError]:
    return _CLASS.get(status, Invalid if status < 500 else Internal)


def error_of(status: int, headers: FixedHeaders, body: bytes, backend: str) -> SwarmError:
    """Return the error that an engine's response means; if it is really an engine's, the error keeps all of it."""
    code = next((value.decode("latin-1") for name, value in headers if name.lower() == _CODE.lower()), "")
    kind = ERRORS.get(code) or _class(status)
    message = _message_in(body)
    named = {name.lower(): value for name, value in headers}
    if message is not None or _is_engines(named):
        details = {"status": status, "headers": headers, "body": body}
        return kind(message or _text(status, body), backend=backend, details=details)
    # Something else responded (a proxy, a TLS port).
    if named.get(b"content-type", b"").startswith(b"text/html"):
        return _web_page(status, backend)
    return kind(f"{backend}: {_text(status, body)}", backend=backend, details={"status": status})


def _is_engines(headers: Mapping[bytes, bytes]) -> bool:
    """Return whether an error that is not JSON is an engine's: a client that is too old gets plain text, a HEAD request
    no body, and an attach the media type of the stream.
    """
    return b"api-version" in headers or headers.get(b"content-type") == RAW_STREAM


def _web_page(status: int, backend: str) -> SwarmError:
    """Return the error of a web server, or of a proxy whose engine is not reached. Its status says nothing of the
    engine's objects: what a web server doesn't find may be there.
    """
    message = f"{backend}: a web server answered with the status {status} and a page, not an engine"
    return (Unavailable if status in _NOT_REACHED else BadAnswer)(message, backend=backend)


def _message_in(body: bytes) -> str | None:
    try:
        return str(orjson.loads(body)["message"])[:MAX_MESSAGE]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _text(status: int, body: bytes) -> str:
    return body[:MAX_MESSAGE].decode("utf-8", "replace").strip() or f"status {status}"


def came_in_band(error: SwarmError) -> bool:
    """Return whether an engine reported the error in a progress stream, after a head that promised success."""
    return "line" in error.details


def in_band(error: SwarmError) -> bytes:
    """Return the line that reports an error after the head of a progress stream, in the form for Docker clients."""
    raw = error.details.get("line")
    if isinstance(raw, bytes):
        return raw
    return orjson.dumps({"errorDetail": {"message": error.message}, "error": error.message}) + b"\r\n"


def to_tell_in_band(error: SwarmError) -> SwarmError:
    """Return an error that an engine reports only in its progress stream, after a head that promises success."""
    return Internal(error.message, details={"line": in_band(error)})


def error_in(line: Json, backend: str) -> SwarmError | None:
    """Return the error that a line of a progress stream reports, if it does; the error keeps the line's bytes."""
    if b'"error"' not in line.raw:
        return None
    data: Any = line.data
    if not isinstance(data, dict) or "error" not in data:
        return None
    message = str(cast("dict[str, Any]", data)["error"])[:MAX_MESSAGE]
    return Internal(message, backend=backend, details={"line": line.raw})
