"""Secrets never reach a log or a file: this decides what is shown of requests and replies, and what replaces the rest.

There is one rule for `debug`, `record` and whatever else keeps traffic: nothing is shown unless its field, parameter or
header is known to be harmless (`shown` lists them). The structure stays, so that a reader of the rest finds the
expected types and counts; of environment variables, labels and options the names stay.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from itertools import chain, zip_longest
from typing import Any, Final, cast

import orjson

from swarmlib import Ack, Error, Invalid, Json, Log, Meta, Reply, Request, Set, SwarmError

from .redact_fields import DETAILS, PARAMS, error_body, hidden, is_harmless, name_of, objects
from .redact_text import HIDDEN, Secrets, without_quotations

_HARMLESS: Final = frozenset({b"OK", b"OK\n"})
"""Values that are not JSON, and shown: an engine's answers to a ping."""
_WORD: Final = re.compile(r"[^\s\"',:{}\[\]]+")
_TAINTING: Final = 4
"""The least length of a hidden text that errors are searched for: shorter ones occur everywhere."""
_MOST: Final = 4096
"""The most values of a request in which hidden texts are looked for, and the most forms of these that are found: each
takes some microseconds, for which all other calls wait."""


def value(data: Any) -> Any:
    """Return JSON data as it may be shown."""
    try:
        return objects(data)
    except RecursionError:
        return HIDDEN


def params(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters, or a reply's details, as they may be shown: harmless ones, and the names of the others."""
    return {name_of(name): PARAMS.get(name, hidden)(each) for name, each in given.items()}


def meta(given: Meta) -> Meta:
    """Return what is known about a call as it may be shown: of headers that may hold a secret, only the names."""
    return given.replace(
        headers=tuple((name_of(name), each if is_harmless(name) else HIDDEN) for name, each in given.headers)
    )


def request(seen: Request) -> Request:
    """Return a request as it may be kept. Its upload and its reply channel are the same."""
    body = None if seen.body is None else _redacted(seen.body)
    return seen.replace(params=params(seen.params), body=body, meta=meta(seen.meta))


def reply(seen: Reply, secrets: Secrets = ()) -> Reply:
    """Return a reply as it may be kept. Its stream is the same.

    secrets: the secrets in its request (`secrets_of`), which an error may repeat.
    """
    if isinstance(seen, Error):
        return Error(error(seen.error, secrets))
    details = params(seen.details)
    if isinstance(seen, Log):
        return Log(seen.line, details)
    value = None if seen.value is None else _redacted(seen.value)
    return Ack(value, details, seen.stream) if isinstance(seen, Ack) else Set(value, details)


def error(exc: SwarmError, secrets: Secrets = ()) -> SwarmError:
    """Return an error as it may be shown: without quotations and without `secrets`."""
    details = {name: DETAILS.get(name, hidden)(each) for name, each in exc.details.items()}
    details |= {name: error_body(exc.details[name], secrets) for name in ("body", "line") if name in exc.details}
    return type(exc)(without_quotations(exc.message, secrets), backend=exc.backend, path=exc.path, details=details)


def secrets_of(request: Request) -> Secrets:
    """Return the texts that are hidden in a request, as an error would quote them, the longest first; None if it has
    too many values to look through, is nested too deeply, or holds what has no JSON form.
    """
    found = set[str]()
    try:
        if _values_in(request) > _MOST:
            return None
        for number, each in enumerate(chain.from_iterable(map(_quoted, _texts(request)))):
            if number == _MOST:
                return None
            if len(each) >= _TAINTING:
                found.add(each)
    except (RecursionError, Invalid):
        return None
    return sorted(found, key=len, reverse=True)


def _values_in(request: Request) -> int:
    """Return how many values the parameters and the body of a request have, at most, by what stands before each."""
    found = sum(text.count(mark) for text in map(str, request.params.values()) for mark in ",[{")
    raw = b"" if request.body is None else request.body.raw
    return found + sum(raw.count(mark) for mark in (b",", b"[", b"{"))


def _texts(request: Request) -> Iterator[str]:
    yield from _differing(dict(request.params), params(request.params))
    for name, each in request.meta.headers:
        if not is_harmless(name):
            yield each
    if request.body is not None:
        try:
            yield from _differing(request.body.data, value(request.body.data))
        except Invalid:
            for word in _WORD.finditer(request.body.raw.decode("utf-8", "replace")):
                yield word[0]


def _differing(data: Any, left: Any) -> Iterator[str]:
    """Yield the texts in `data` that differ in `left`, its redacted form."""
    if isinstance(data, str):
        if data != left:
            yield data
    elif isinstance(data, Mapping):
        fields = cast("Mapping[str, Any]", data)
        kept = cast("dict[str, Any]", left) if isinstance(left, dict) else {}
        for name, each in fields.items():
            yield from _differing(each, kept.get(name_of(name)))
    elif isinstance(data, list | tuple):
        rest = cast("list[Any]", left) if isinstance(left, list) else []
        for each, kept_one in zip_longest(cast("list[Any]", data), rest):
            yield from _differing(each, kept_one)


def _quoted(text: str) -> Iterator[str]:
    """Yield `text`, the value assigned in it, and the texts that it encodes, each also in its quoted form."""
    for each in (text, text.partition("=")[2], *_encoded(text)):
        yield each
        yield orjson.dumps(each).decode()[1:-1] if each.isprintable() else each


def _encoded(text: str) -> Iterator[str]:
    """Yield the texts in a JSON object, and in base64, which is how credentials and secrets are sent."""
    try:
        raw = text if text.startswith("{") else base64.b64decode(text + "==", altchars=b"-_").decode()
    except (binascii.Error, ValueError):
        return
    try:
        yield from _differing(orjson.loads(raw), None)
    except orjson.JSONDecodeError:
        yield raw


def _redacted(given: Json) -> Json:
    try:
        data = given.data
    except Invalid:
        return given if given.raw in _HARMLESS else Json.from_data(HIDDEN)
    left = value(data)
    return given if left == data else Json.from_data(left)
