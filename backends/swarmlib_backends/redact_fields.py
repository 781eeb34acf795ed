"""What is shown of a field, a parameter or a header, by its name: one function for each kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import orjson

from . import shown
from .dockerapi.rows import METHODS
from .redact_text import HIDDEN, Secrets, without_credentials, without_quotations, without_user

_NAME: Final = re.compile(r"[\w/:][\w./:+-]{0,127}", re.ASCII)
"""What may be shown as the name of a field: no URL with a password in it, no assignment, no running text."""
_EXEC: Final = re.compile(r"(exec_\w+: ).+", re.DOTALL)
"""An event that holds a command."""
_BUILT: Final = re.compile(
    r"\s*|Successfully (built|tagged) [\w./:-]+\n| ---> ([0-9a-f]{12}|Using cache|Running in [0-9a-f]{12})\n"
)
"""Lines of a build that the engine writes, not the programs that it runs, and without the text of any instruction."""


# Each of the functions below shows one kind of field, and hides values whose type is not that of the field.


def hidden(given: Any) -> Any:
    """Show nothing but the shape."""
    if isinstance(given, str):
        return HIDDEN if given else given
    if given is None or isinstance(given, bool):
        return given
    if isinstance(given, int | float):
        return 0
    return _inside(given, hidden)


def _inside(given: Any, kind: Callable[[Any], Any]) -> Any:
    """Apply `kind` to each element of a list or an object."""
    if isinstance(given, list | tuple):
        return [kind(each) for each in cast("list[Any]", given)]
    if isinstance(given, Mapping):
        return {name_of(name): kind(each) for name, each in cast("Mapping[str, Any]", given).items()}
    return f"<{type(given).__name__}>"


def name_of(name: object) -> str:
    """Return the name of a field as it may be shown."""
    text = str(name)
    return text if _NAME.fullmatch(text) else HIDDEN


def _fields(given: Mapping[str, Any]) -> dict[str, Any]:
    left: dict[str, Any] = {}
    for name, each in given.items():
        kind = _FIELDS.get(name)
        if kind is None:
            left[name_of(name)] = hidden(each)
        else:
            left[name] = kind(each)
    return left


def objects(given: Any) -> Any:
    """Show the fields of objects; text and numbers are hidden."""
    if isinstance(given, Mapping):
        return _fields(cast("Mapping[str, Any]", given))
    if isinstance(given, list):
        return [objects(each) for each in cast("list[Any]", given)]
    return hidden(given)


def _open(given: Any) -> Any:
    """Show text, numbers, and the fields of objects."""
    if isinstance(given, str):
        return without_user(given)
    if isinstance(given, Mapping):
        return _fields(cast("Mapping[str, Any]", given))
    if isinstance(given, list | tuple):
        return [_open(each) for each in cast("list[Any]", given)]
    return given if isinstance(given, int | float) else hidden(given)


def _number(given: Any) -> Any:
    """Show numbers."""
    if isinstance(given, int | float):
        return given
    return _inside(given, _number) if isinstance(given, list | dict) else hidden(given)


def _map(given: Any) -> Any:
    """Show objects under names of the user's choice."""
    if isinstance(given, Mapping):
        return _inside(given, objects)
    return given if isinstance(given, int) else objects(given)


def _pairs(given: Any, harmless: Callable[[str], object]) -> Any:
    """Show the names in a list of NAME=VALUE, or in an object, and the values of those that are harmless."""
    if isinstance(given, Mapping):
        pairs = cast("Mapping[str, Any]", given)
        return {name_of(name): _open(each) if harmless(name) else hidden(each) for name, each in pairs.items()}
    if isinstance(given, list):
        return [_pairs(each, harmless) for each in cast("list[Any]", given)]
    name, equals, text = given.partition("=") if isinstance(given, str) else ("", "", "")
    if not equals:
        return hidden(given)
    return f"{name_of(name)}={without_user(text) if harmless(name) else HIDDEN}"


def _variables(given: Any) -> Any:
    if isinstance(given, list) and any(isinstance(each, dict) for each in cast("list[Any]", given)):
        return objects(given)  # a plugin's, where each variable is described by an object
    return _pairs(given, shown.VARIABLES.__contains__)


def _labels(given: Any) -> Any:
    return _pairs(given, lambda name: name.startswith(shown.LABELS))


def _attributes(given: Any) -> Any:
    return _pairs(given, lambda name: name in shown.ATTRIBUTES or name.startswith(shown.LABELS))


def _assigned(given: Any) -> Any:
    return _pairs(given, lambda _: False)


def _words(given: Any) -> Any:
    """Show a command's words: how many there are, and the first if it is a common program."""
    if isinstance(given, list):
        words = cast("list[Any]", given)
        return [_program(words[0]), *map(hidden, words[1:])] if words else words
    if isinstance(given, str):
        first, space, _ = given.partition(" ")
        return f"{_program(first)} {HIDDEN}" if space else _program(first)
    return hidden(given)


def _program(word: Any) -> Any:
    if isinstance(word, str) and word.removeprefix("/bin/").removeprefix("/usr/bin/") in shown.PROGRAMS:
        return word
    return hidden(word)


def _text(given: Any) -> Any:
    """Show the text of errors and warnings."""
    if isinstance(given, list):
        return [_text(each) for each in cast("list[Any]", given)]
    return without_quotations(given) if isinstance(given, str) else objects(given)


def _status(given: Any) -> Any:
    """Show the state of an object, or what happened to it."""
    return without_command(without_user(given)) if isinstance(given, str) else _open(given)


def without_command(action: str) -> str:
    """Return an event's action without the command that it holds: `exec_create: ***`."""
    return _EXEC.sub(rf"\1{HIDDEN}", action)


def _output(given: Any) -> Any:
    """Show the output of a build if the engine wrote it."""
    return given if isinstance(given, str) and _BUILT.fullmatch(given) else hidden(given)


def _log_config(given: Any) -> Any:
    """Show the kind of a log driver; its options may have any name, and hold tokens."""
    if isinstance(given, dict):
        options = cast("dict[str, Any]", given)
        return {name_of(name): (_open if name == "Type" else hidden)(each) for name, each in options.items()}
    return hidden(given)


def _arg(given: Any) -> Any:
    """Show the text of a parameter, or several; the Engine API knows no objects there."""
    return hidden(given) if isinstance(given, dict) else _open(given)


def _filters(given: Any) -> Any:
    """Show a list's filters: JSON in text, an object of lists, or (in the older form) of objects."""
    return _json(given, lambda data: {name_of(name): _filter(str(name), each) for name, each in data.items()})


def _filter(name: str, given: Any) -> Any:
    texts: Any = list(cast("dict[str, Any]", given)) if isinstance(given, dict) else given
    if name not in shown.FILTERS:
        return hidden(texts)
    if "label" in name and isinstance(texts, list):
        return [_label(each) for each in cast("list[Any]", texts)]
    return _arg(texts)


def _label(given: Any) -> Any:
    return _labels(given) if "=" in str(given) else name_of(given)


def _names(given: Any) -> Any:
    """Show the names in a JSON object in text: build arguments, labels."""
    return _json(given, hidden)


def _json(given: Any, kind: Callable[[dict[str, Any]], Any]) -> Any:
    if isinstance(given, list):
        return [_json(each, kind) for each in cast("list[Any]", given)]
    try:
        data = orjson.loads(given) if isinstance(given, str) else given
    except orjson.JSONDecodeError:
        return hidden(given)
    if not isinstance(data, dict):
        return hidden(given)
    left = kind(cast("dict[str, Any]", data))
    return orjson.dumps(left).decode() if isinstance(given, str) else left


def _target(given: Any) -> Any:
    """Show the path of a request's target."""
    path, query, _ = given.partition("?") if isinstance(given, str) else (HIDDEN, "", "")
    return without_credentials(path) + (f"?{HIDDEN}" if query else "")


def _method(given: Any) -> Any:
    """Show an HTTP method, of a request that is forwarded whole."""
    return given if given in METHODS else hidden(given)


def _headers(given: Any) -> Any:
    """Show a response's headers, pairs of bytes: the values of those that are harmless."""
    if isinstance(given, list | tuple):
        return [_pair(each) for each in cast("list[Any]", given)]
    return hidden(given)


def _pair(given: Any) -> Any:
    match given:
        case (name, bytes() | str() as content) if is_harmless(cast("object", name)):
            return (name, content)
        case (bytes() | str() as name, _):
            return (name, HIDDEN.encode())
        case _:
            return (b"", HIDDEN.encode())


def is_harmless(header: object) -> bool:
    """Return whether the value of a header may be shown."""
    name = header.decode("latin-1") if isinstance(header, bytes) else str(header)
    return name.lower() in shown.HEADERS


def error_body(given: Any, secrets: Secrets) -> Any:
    """Show the bytes of an error's object, or of a line of progress, without `secrets`."""
    try:
        data = orjson.loads(given)
    except (orjson.JSONDecodeError, TypeError):
        return HIDDEN.encode()
    return orjson.dumps(_without(objects(data), secrets))


def _without(given: Any, secrets: Secrets) -> Any:
    if isinstance(given, str):
        return without_quotations(given, secrets)
    return _inside(given, lambda each: _without(each, secrets)) if isinstance(given, list | dict) else given


def _as_it_is(given: Any) -> Any:
    return given if isinstance(given, int) else hidden(given)


_FIELDS: Final[dict[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(shown.FIELDS, _open),
    **dict.fromkeys(shown.NUMBERS, _number),
    **dict.fromkeys(shown.MAPS, _map),
    **dict.fromkeys(("Config", "ContainerConfig", "aux"), objects),
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
PARAMS: Final[dict[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(shown.PARAMETERS, _arg),
    **dict.fromkeys(("buildargs", "labels"), _names),
    "headers": _headers,
    "method": _method,
    "target": _target,
    "filters": _filters,
}
DETAILS: Final[dict[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(("status", "exit_code", "unsent"), _as_it_is),
    "headers": _headers,
}
