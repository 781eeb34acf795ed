"""The fields of a reply that become an HTTP response, checked: no malformed field of a stage or a remote peer reaches
a client's connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, cast

from swarmlib import ERRORS, BadAnswer, Internal, Invalid, Json, SwarmError

from ..dockerapi.status import RAW_STREAM, code_headers, error_body, error_headers, in_band, status_of
from ..http.headers import HOP_BY_HOP, TOKEN, FixedHeaders, Headers

JSON_TYPE: Final = (b"Content-Type", b"application/json")
RAW_TYPE: Final = (b"Content-Type", RAW_STREAM)
OWN_HEADERS: Final[FixedHeaders] = (
    (b"Api-Version", b"1.41"),
    (b"Docker-Experimental", b"false"),
    (b"Ostype", b"linux"),
    (b"Server", b"swarmlib"),
)
"""The headers of a response for which the answering stage gives none."""

MAX_HEADERS: Final = 64 * 1024
"""Bytes of the headers of a reply, at most, as of an engine's answer; some of them are remembered."""
_PAIRS: Final = (tuple, list)
_DIGITS: Final = re.compile(rb"[0-9]{1,19}")
_UNPRINTABLE: Final = bytes(byte if 32 <= byte < 127 else 32 for byte in range(256))
SWITCHING: Final = 101


def status_in(details: Mapping[str, Any], usual: int) -> int:
    """Return the status in a reply's details, or `usual`.

    Raises:
        BadAnswer: it is neither a final status (200 to 599) nor 101.
    """
    status = details.get("status")
    if status is None:
        return usual
    if type(status) is not int or not (200 <= status <= 599 or status == SWITCHING):
        raise BadAnswer(f"a reply's status must be a number from 200 to 599, not {_shown(status)}")
    return status


def headers_in(details: Mapping[str, Any], usual: FixedHeaders, *, length: bool = False) -> FixedHeaders:
    """Return the headers in a reply's details, or `usual`, without those that this server writes itself; and its
    warnings, and its age in seconds.

    length: keep Content-Length, as in the response to a HEAD request, which has no body.

    Raises:
        BadAnswer: a name is not an HTTP token, a value holds CR, LF or NUL, a header is not a pair of bytes, they are
            longer than MAX_HEADERS, or the age is not a number.
    """
    given = details.get("headers")
    found = usual if given is None else _headers(given, length=length)
    warnings, age = details.get("warnings"), details.get("age")
    if age is not None:
        found = (*found, _age(age))
    return found if warnings is None else (*found, *_warnings(warnings))


def value_in(value: object) -> Json:
    """Return the value of a reply that must have one.

    Raises:
        BadAnswer: the value is missing, or is not a JSON value.
    """
    if not isinstance(value, Json):
        raise BadAnswer("the JSON value of this operation is missing in the reply")
    return value


def error_in(error: SwarmError, *, raw: bool = False) -> tuple[int, FixedHeaders, bytes]:
    """Return the status, headers and body of an error's response, taken from the engine's if the error came from one.

    raw: as text in place of a stream, as an engine answers a client that attaches to a container. Errors in the request
        itself, such as in its version, are not written so.

    Raises:
        BadAnswer: the details of the error do not make an HTTP response.
    """
    error = _sayable(error)
    status = status_of(error)
    _check_bytes(error, "body")
    given = error_headers(error)
    headers = _headers(given) if given else (*OWN_HEADERS, JSON_TYPE, *code_headers(error))
    if raw and not (given and (RAW_TYPE in headers or isinstance(error, Invalid))):
        return status, (RAW_TYPE, *code_headers(error)), error.message.encode() + b"\r\n"
    return status, headers, error_body(error)


def line_in(error: SwarmError) -> bytes:
    """Return the line for an error in a progress stream after its head, the engine's own if the error came from one.

    Raises:
        BadAnswer: the error's detail `line` is not bytes.
    """
    _check_bytes(error, "line")
    return in_band(_sayable(error))


def _check_bytes(error: SwarmError, name: str) -> None:
    found = error.details.get(name, b"")
    if not isinstance(found, bytes):
        raise BadAnswer(f"an error's {name} must be bytes, not {_shown(found)}")


def _sayable(error: SwarmError) -> SwarmError:
    """Return the error with a message that JSON can express (no lone surrogates), and a code that has a status."""
    message = error.message.encode("utf-8", "replace").decode()
    if message == error.message and error.code in ERRORS:
        return error
    return ERRORS.get(error.code, Internal)(message, details=error.details)


def _headers(given: object, *, length: bool = False) -> FixedHeaders:
    try:
        return _known_headers(given, length)  # engines repeat all of them in each answer
    except TypeError:  # they are in a list: they came over the wire
        return _read_headers(given, length)


def _read_headers(given: object, length: bool) -> FixedHeaders:
    found: Headers = []
    size = 0
    for header in _sequence(given, "headers"):
        name, value = _pair(header)
        size += len(name) + len(value)
        if size > MAX_HEADERS:
            raise BadAnswer(f"the headers of a reply are longer than {MAX_HEADERS} bytes")
        lower = _lower_token(name)
        if b"\r" in value or b"\n" in value or b"\0" in value:  # three searches are faster than a regular expression
            raise BadAnswer(f"the value of a reply's header {name.decode()} holds CR, LF or NUL")
        if lower not in HOP_BY_HOP or (length and lower == b"content-length" and _DIGITS.fullmatch(value)):
            found.append((name, value))
    return tuple(found)


_known_headers: Final = lru_cache(maxsize=64)(_read_headers)


def _pair(header: object) -> tuple[bytes, bytes]:
    pair = cast("Sequence[Any]", header)
    if type(header) in _PAIRS and len(pair) == 2 and type(pair[0]) is bytes and type(pair[1]) is bytes:
        return pair[0], pair[1]
    raise BadAnswer(f"a reply's header must be a pair of bytes, not {_shown(header)}")


@lru_cache(maxsize=256)
def _lower_token(name: bytes) -> bytes:
    """Return a header's name in lower case; cached, as engines use few names."""
    if TOKEN.fullmatch(name) is None:
        raise BadAnswer("the name of a reply's header is not a valid HTTP token")
    return name.lower()


def _age(given: object) -> tuple[bytes, bytes]:
    """Return the header of an answer that is kept, and may not be true any more (RFC 9111, 5.1)."""
    if type(given) is not int or given < 0:
        raise BadAnswer(f"a reply's age must be a number of seconds, not {_shown(given)}")
    return b"Age", b"%d" % given


def _warnings(given: object) -> Headers:
    texts = _sequence(given, "warnings")
    if not all(isinstance(text, str) for text in texts):
        raise BadAnswer(f"a reply's warnings must be texts, not {_shown(given)}")
    return [_warning(text) for text in texts]


def _warning(text: str) -> tuple[bytes, bytes]:
    """Return a header with code 199, for a person to read (RFC 7234, 5.5)."""
    printable = text.encode("ascii", "replace").translate(_UNPRINTABLE)
    return b"Warning", b'199 swarmlib "%s"' % printable.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def _sequence(given: object, what: str) -> Sequence[Any]:
    if not isinstance(given, list | tuple):
        raise BadAnswer(f"a reply's {what} must be a list, not {_shown(given)}")
    return cast("Sequence[Any]", given)


def _shown(value: object) -> str:
    """Return a value as shown in an error: printable, and not too long."""
    return ascii(value)[:80]
