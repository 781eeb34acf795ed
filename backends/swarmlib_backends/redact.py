"""Secrets never reach a log or a file: what is shown of requests and replies, and what stands in the place of the rest.

One rule for `debug`, `record` and whatever else keeps what passes: nothing is shown unless it is known to be harmless,
by the field, parameter or header that it stands in (`shown` lists them). The shape stays, so that whoever decodes what
is left finds the types and the counts that they expect; of environment variables, labels and options the names stay.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import zip_longest
from typing import Any, Final, cast

import orjson

from swarmlib import Ack, Error, Invalid, Json, Log, Meta, Reply, Request, Set, SwarmError

from . import shown
from .dockerapi.rows import METHODS
from .redact_text import HIDDEN, without_credentials, without_quotations, without_user

_NAME: Final = re.compile(r"[\w/:][\w./:+-]{0,127}", re.ASCII)
"""What may stand as the name of a field: no URL with a password in it, no assignment, no text."""
_HARMLESS: Final = frozenset({b"OK", b"OK\n"})
"""Values that are no JSON, and shown: what an engine answers to a ping."""
_EXEC: Final = re.compile(r"(exec_\w+: ).+", re.DOTALL)
"""An event that holds a command."""
_BUILT: Final = re.compile(
    r"\s*|Successfully (built|tagged) [\w./:-]+\n| ---> ([0-9a-f]{12}|Using cache|Running in [0-9a-f]{12})\n"
)
"""Lines of a build that the engine makes, not the programs that it runs, and without the text of any instruction."""
_TAINTING: Final = 4
"""Characters that a hidden text has at least, for errors to be searched for it: shorter ones are everywhere."""


def value(data: Any) -> Any:
    """JSON data as it may be shown."""
    try:
        return _objects(data)
    except RecursionError:
        return HIDDEN


def params(given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters, or a reply's details, as they may be shown: those on the lists, and the names of the others."""
    return {_name(name): _PARAMS.get(name, _hidden)(each) for name, each in given.items()}


def meta(given: Meta) -> Meta:
    """What is known about a call as it may be shown: of headers that may hold a secret only the names."""
    return given.replace(
        headers=tuple((_name(name), each if _harmless(name) else HIDDEN) for name, each in given.headers)
    )


def request(seen: Request) -> Request:
    """A request as it may be kept. Its upload and where its replies go are the same."""
    body = None if seen.body is None else _redacted(seen.body)
    return seen.replace(params=params(seen.params), body=body, meta=meta(seen.meta))


def reply(seen: Reply, secrets: Collection[str] = ()) -> Reply:
    """A reply as it may be kept. Its stream is the same.

    secrets: what its request holds (`secrets_of`), which an error may repeat.
    """
    if isinstance(seen, Error):
        return Error(error(seen.error, secrets))
    details = params(seen.details)
    if isinstance(seen, Log):
        return Log(seen.line, details)
    value = None if seen.value is None else _redacted(seen.value)
    return Ack(value, details, seen.stream) if isinstance(seen, Ack) else Set(value, details)


def error(exc: SwarmError, secrets: Collection[str] = ()) -> SwarmError:
    """An error as it may be shown: without what it may quote, nor `secrets`."""
    details = {name: _DETAILS.get(name, _hidden)(each) for name, each in exc.details.items()}
    details |= {name: _body(exc.details[name], secrets) for name in ("body", "line") if name in exc.details}
    return type(exc)(without_quotations(exc.message, secrets), backend=exc.backend, path=exc.path, details=details)


def secrets_of(request: Request) -> Collection[str]:
    """The texts that are hidden in a request, as an error that quotes them would write them; the longest first."""
    try:
        found = {each for text in _texts(request) for each in _quoted(text) if len(each) >= _TAINTING}
    except RecursionError:
        return ()
    return sorted(found, key=len, reverse=True)


def _texts(request: Request) -> Iterator[str]:
    yield from _differing(dict(request.params), params(request.params))
    for name, each in request.meta.headers:
        if not _harmless(name):
            yield each
    if request.body is not None:
        try:
            yield from _differing(request.body.data, value(request.body.data))
        except Invalid:
            yield from re.findall(r"[^\s\"',:{}\[\]]+", request.body.raw.decode("utf-8", "replace"))


def _differing(data: Any, left: Any) -> Iterator[str]:
    """The texts in `data` that are not the same in `left`, what is `left` of it."""
    if isinstance(data, str):
        if data != left:
            yield data
    elif isinstance(data, Mapping):
        fields = cast("Mapping[str, Any]", data)
        kept = cast("dict[str, Any]", left) if isinstance(left, dict) else {}
        for name, each in fields.items():
            yield from _differing(each, kept.get(_name(name)))
    elif isinstance(data, list | tuple):
        rest = cast("list[Any]", left) if isinstance(left, list) else []
        for each, kept_one in zip_longest(cast("list[Any]", data), rest):
            yield from _differing(each, kept_one)


def _quoted(text: str) -> Iterator[str]:
    """`text`, what is assigned in it, and what it encodes, each also as it stands between quotation marks."""
    for each in (text, text.partition("=")[2], *_encoded(text)):
        yield each
        yield orjson.dumps(each).decode()[1:-1] if each.isprintable() else each


def _encoded(text: str) -> Iterator[str]:
    """The texts in a JSON object, and in base64, which is how credentials and secrets are sent."""
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


# Each of the functions below shows one kind of field, and hides what is of another type than the field's.


def _hidden(given: Any) -> Any:
    """Nothing but the shape."""
    if isinstance(given, str):
        return HIDDEN if given else given
    if given is None or isinstance(given, bool):
        return given
    if isinstance(given, int | float):
        return 0
    return _inside(given, _hidden)


def _inside(given: Any, kind: Callable[[Any], Any]) -> Any:
    """A list or an object, of whose elements `kind` shows each."""
    if isinstance(given, list | tuple):
        return [kind(each) for each in cast("list[Any]", given)]
    if isinstance(given, Mapping):
        return {_name(name): kind(each) for name, each in cast("Mapping[str, Any]", given).items()}
    return f"<{type(given).__name__}>"


def _name(name: object) -> str:
    text = str(name)
    return text if _NAME.fullmatch(text) else HIDDEN


def _fields(given: Mapping[str, Any]) -> dict[str, Any]:
    left: dict[str, Any] = {}
    for name, each in given.items():
        kind = _FIELDS.get(name)
        if kind is None:
            left[_name(name)] = _hidden(each)
        else:
            left[name] = kind(each)
    return left


def _objects(given: Any) -> Any:
    """The fields of objects; text and numbers are hidden."""
    if isinstance(given, Mapping):
        return _fields(cast("Mapping[str, Any]", given))
    if isinstance(given, list):
        return [_objects(each) for each in cast("list[Any]", given)]
    return _hidden(given)


def _open(given: Any) -> Any:
    """Text, numbers, and the fields of objects."""
    if isinstance(given, str):
        return without_user(given)
    if isinstance(given, Mapping):
        return _fields(cast("Mapping[str, Any]", given))
    if isinstance(given, list | tuple):
        return [_open(each) for each in cast("list[Any]", given)]
    return given if isinstance(given, int | float) else _hidden(given)


def _number(given: Any) -> Any:
    """Numbers."""
    if isinstance(given, int | float):
        return given
    return _inside(given, _number) if isinstance(given, list | dict) else _hidden(given)


def _map(given: Any) -> Any:
    """Objects under names of the user's choice."""
    if isinstance(given, Mapping):
        return _inside(given, _objects)
    return given if isinstance(given, int) else _objects(given)


def _pairs(given: Any, harmless: Callable[[str], object]) -> Any:
    """The names in a list of NAME=VALUE, or in an object, and the values of those that are harmless."""
    if isinstance(given, Mapping):
        pairs = cast("Mapping[str, Any]", given)
        return {_name(name): _open(each) if harmless(name) else _hidden(each) for name, each in pairs.items()}
    if isinstance(given, list):
        return [_pairs(each, harmless) for each in cast("list[Any]", given)]
    name, equals, text = given.partition("=") if isinstance(given, str) else ("", "", "")
    if not equals:
        return _hidden(given)
    return f"{_name(name)}={without_user(text) if harmless(name) else HIDDEN}"


def _variables(given: Any) -> Any:
    if isinstance(given, list) and any(isinstance(each, dict) for each in cast("list[Any]", given)):
        return _objects(given)  # a plugin's, of which there is a description
    return _pairs(given, shown.VARIABLES.__contains__)


def _labels(given: Any) -> Any:
    return _pairs(given, lambda name: name.startswith(shown.LABELS))


def _attributes(given: Any) -> Any:
    return _pairs(given, lambda name: name in shown.ATTRIBUTES or name.startswith(shown.LABELS))


def _assigned(given: Any) -> Any:
    return _pairs(given, lambda _: False)


def _words(given: Any) -> Any:
    """A command's words: how many there are, and the first where it is a program that everybody has."""
    if isinstance(given, list):
        words = cast("list[Any]", given)
        return [_program(words[0]), *map(_hidden, words[1:])] if words else words
    if isinstance(given, str):
        first, space, _ = given.partition(" ")
        return f"{_program(first)} {HIDDEN}" if space else _program(first)
    return _hidden(given)


def _program(word: Any) -> Any:
    if isinstance(word, str) and word.removeprefix("/bin/").removeprefix("/usr/bin/") in shown.PROGRAMS:
        return word
    return _hidden(word)


def _text(given: Any) -> Any:
    """The text of errors and warnings."""
    if isinstance(given, list):
        return [_text(each) for each in cast("list[Any]", given)]
    return without_quotations(given) if isinstance(given, str) else _objects(given)


def _status(given: Any) -> Any:
    """What state something is in, or what happened to it."""
    return _EXEC.sub(rf"\1{HIDDEN}", without_user(given)) if isinstance(given, str) else _open(given)


def _output(given: Any) -> Any:
    """What a build says."""
    return given if isinstance(given, str) and _BUILT.fullmatch(given) else _hidden(given)


def _log_config(given: Any) -> Any:
    """The kind of a log driver; its options hold tokens, and may have any name."""
    if isinstance(given, dict):
        options = cast("dict[str, Any]", given)
        return {_name(name): (_open if name == "Type" else _hidden)(each) for name, each in options.items()}
    return _hidden(given)


def _arg(given: Any) -> Any:
    """The text of a parameter, or several; objects in it are none that the Engine API knows."""
    return _hidden(given) if isinstance(given, dict) else _open(given)


def _filters(given: Any) -> Any:
    """A list's filters: JSON in text, an object of lists, or (the older form) of objects with a name for each value."""
    return _json(given, lambda data: {_name(name): _filter(str(name), each) for name, each in data.items()})


def _filter(name: str, given: Any) -> Any:
    texts: Any = list(cast("dict[str, Any]", given)) if isinstance(given, dict) else given
    if name not in shown.FILTERS:
        return _hidden(texts)
    if "label" in name and isinstance(texts, list):
        return [_label(each) for each in cast("list[Any]", texts)]
    return _arg(texts)


def _label(given: Any) -> Any:
    return _labels(given) if "=" in str(given) else _name(given)


def _names(given: Any) -> Any:
    """The names in a JSON object in text: build arguments, labels."""
    return _json(given, _hidden)


def _json(given: Any, kind: Callable[[dict[str, Any]], Any]) -> Any:
    if isinstance(given, list):
        return [_json(each, kind) for each in cast("list[Any]", given)]
    try:
        data = orjson.loads(given) if isinstance(given, str) else given
    except orjson.JSONDecodeError:
        return _hidden(given)
    if not isinstance(data, dict):
        return _hidden(given)
    left = kind(cast("dict[str, Any]", data))
    return orjson.dumps(left).decode() if isinstance(given, str) else left


def _target(given: Any) -> Any:
    """A request's target: its path."""
    path, query, _ = given.partition("?") if isinstance(given, str) else (HIDDEN, "", "")
    return without_credentials(path) + (f"?{HIDDEN}" if query else "")


def _method(given: Any) -> Any:
    """An HTTP method, of a request that is passed on whole."""
    return given if given in METHODS else _hidden(given)


def _headers(given: Any) -> Any:
    """A response's headers, pairs of bytes: the values of those that are harmless."""
    if isinstance(given, list | tuple):
        return [_pair(each) for each in cast("list[Any]", given)]
    return _hidden(given)


def _pair(given: Any) -> Any:
    match given:
        case (name, bytes() | str() as content) if _harmless(cast("object", name)):
            return (name, content)
        case (bytes() | str() as name, _):
            return (name, HIDDEN.encode())
        case _:
            return (b"", HIDDEN.encode())


def _harmless(header: object) -> bool:
    name = header.decode("latin-1") if isinstance(header, bytes) else str(header)
    return name.lower() in shown.HEADERS


def _body(given: Any, secrets: Collection[str]) -> Any:
    """The bytes of an error's object, or of a line of progress."""
    try:
        data = orjson.loads(given)
    except (orjson.JSONDecodeError, TypeError):
        return HIDDEN.encode()
    return orjson.dumps(_without(_objects(data), secrets))


def _without(given: Any, secrets: Collection[str]) -> Any:
    if isinstance(given, str):
        return without_quotations(given, secrets)
    return _inside(given, lambda each: _without(each, secrets)) if isinstance(given, list | dict) else given


def _as_it_is(given: Any) -> Any:
    return given if isinstance(given, int) else _hidden(given)


_FIELDS: Final[dict[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(shown.FIELDS, _open),
    **dict.fromkeys(shown.NUMBERS, _number),
    **dict.fromkeys(shown.MAPS, _map),
    **dict.fromkeys(("Config", "ContainerConfig", "aux"), _objects),
    **dict.fromkeys(("Cmd", "Entrypoint", "Args", "Command", "Path", "Test", "arguments", "entrypoint"), _words),
    **dict.fromkeys(("Labels", "Annotations"), _labels),
    **dict.fromkeys(("SecurityOpt", "SecurityOptions"), _assigned),
    **dict.fromkeys(("Err", "Error", "Message", "Warning", "Warnings", "error", "message"), _text),
    **dict.fromkeys(("Action", "Status", "status"), _status),
    "Attributes": _attributes,
    "Env": _variables,
    "LogConfig": _log_config,
    "stats": _number,
    "stream": _output,
}
_PARAMS: Final[dict[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(shown.PARAMETERS, _arg),
    **dict.fromkeys(("buildargs", "labels"), _names),
    "headers": _headers,
    "method": _method,
    "target": _target,
    "filters": _filters,
}
_DETAILS: Final[dict[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(("status", "exit_code", "unsent"), _as_it_is),
    "headers": _headers,
}
