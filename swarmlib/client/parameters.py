"""Keywords and Python values converted to what the Engine API's requests hold."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, Final, cast

from ..errors import Invalid
from ..names import Path
from ..suggestions import nearest
from ..values import Json, as_json
from ..verbs import Verb
from .keywords import PARAMETERS, ContainerFields, ExecFields

_CONTAINER: Final = frozenset(ContainerFields.__annotations__)
_EXEC: Final = frozenset(ExecFields.__annotations__)


def parameters(verb: Verb, path: Path, keywords: Mapping[str, Any]) -> Mapping[str, Any]:
    """Convert keywords to a request's parameters: a bool to 1 or 0, a mapping to JSON text, filters to lists of text.

    Raises:
        TypeError: the Engine API's operation has no such parameter. (Of other operations, no parameters are known.)
        Invalid: a mapping holds a value that JSON can't express, such as NaN.
    """
    if not keywords:
        return keywords
    place = _place(verb, path)
    known = None if place is None else _names(verb, place)
    if known is None:
        return {name: _parameter(name, value) for name, value in keywords.items()}
    _check_known(keywords, known, f"{verb} {place}")
    return {known[name]: _parameter(name, value) for name, value in keywords.items()}


def _place(verb: Verb, path: Path) -> str | None:
    """Return the path of an operation as the table has it; None if there is no such operation."""
    shapes = ("/".join((*path[:1], *("*" for _ in path[1:2]), *path[2:])), "/".join(path))
    return next((shape for shape in shapes if (verb, shape) in PARAMETERS), None)


@cache
def _names(verb: Verb, place: str) -> Mapping[str, str]:
    """Return the parameter that each keyword of an operation stands for."""
    return {name.replace("-", "_"): name for name in PARAMETERS[verb, place]}


def _check_known(keywords: Collection[str], known: Collection[str], of: str) -> None:
    for name in keywords:
        if name not in known:
            raise TypeError(f"unknown keyword {name!r} of {of.strip()}; {nearest(name, sorted(known))}")


def container_fields(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields of a container's body, if all are known. Raises TypeError for another one."""
    _check_known(config, _CONTAINER, "run")
    return config


def exec_fields(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields of an exec's body, if all are known. Raises TypeError for another one."""
    _check_known(config, _EXEC, "exec")
    return config


def as_body(value: Any) -> Json | None:
    """Convert JSON data to a request's body; `Json` and None stay as they are.

    Raises:
        Invalid: the data holds NaN or an infinity.
    """
    if not isinstance(value, Json):
        _check_finite(value)
    return as_json(value)


def _check_finite(data: Any) -> None:
    """Refuse NaN and infinities: the JSON encoder would write them as null, which means a field that is not set."""
    if isinstance(data, float) and not math.isfinite(data):
        raise Invalid(f"invalid JSON value: JSON has no {data}")
    if isinstance(data, Mapping):
        data = list(cast("Mapping[str, Any]", data).values())
    if isinstance(data, list | tuple):
        for each in cast("Sequence[Any]", data):
            _check_finite(each)


def _parameter(name: str, value: Any) -> Any:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Mapping):
        given = cast("Mapping[str, Any]", value)
        _check_finite(given)
        return Json.from_data(_filters(given) if name == "filters" else given).raw.decode()
    return value


def _filters(given: Mapping[str, Any]) -> dict[str, list[str]]:
    """Convert filters to the lists of text that the Engine API takes, from single words, numbers, bools or lists."""
    return {name: [_filter(each) for each in _several(value)] for name, value in given.items()}


def _several(value: Any) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, list | tuple) else (value,)


def _filter(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def words(command: str | Sequence[str]) -> list[str]:
    """Return a command's words; text is split as a shell would."""
    if isinstance(command, str):
        import shlex

        return shlex.split(command)
    return list(command)


def variables(env: Mapping[str, str] | None) -> list[str]:
    """Convert environment variables to the list of `NAME=VALUE` that the Engine API takes."""
    return [f"{name}={value}" for name, value in (env or {}).items()]
