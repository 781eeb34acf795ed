"""Python values converted to what the Engine API's requests hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

from ..errors import Invalid
from ..values import Json, as_json

Param: TypeAlias = str | int | float | bool | Sequence[Any] | Mapping[str, Any] | None
"""The value of a keyword of the client: a parameter of the Engine API, or a field of its JSON."""


def parameters(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Convert keywords to a request's parameters: a bool to 1 or 0, a mapping to JSON text, filters to lists of text.

    Raises:
        Invalid: a mapping holds a value that JSON can't express, such as NaN.
    """
    return {name: _parameter(name, value) for name, value in params.items()} if params else params


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
