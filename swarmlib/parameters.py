"""What the Engine API's requests hold, from Python values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from .message import Json


def parameters(args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Keywords as a message carries them: a bool as 1 or 0, a mapping as JSON text; filters as lists of text.

    Raises:
        Invalid: a mapping holds what JSON can't express.
    """
    return {name: _parameter(name, value) for name, value in args.items()} if args else args


def _parameter(name: str, value: Any) -> Any:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Mapping):
        given = cast("Mapping[str, Any]", value)
        return Json.of(_filters(given) if name == "filters" else given).raw.decode()
    return value


def _filters(given: Mapping[str, Any]) -> dict[str, list[str]]:
    """Filters as the Engine API wants them: lists of text, where Python has a word, a number or a bool."""
    return {name: [_filter(each) for each in _several(value)] for name, value in given.items()}


def _several(value: Any) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, list | tuple) else (value,)


def _filter(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def words(command: str | Sequence[str]) -> list[str]:
    """A command's words; text is split as a shell would."""
    if isinstance(command, str):
        import shlex

        return shlex.split(command)
    return list(command)


def variables(env: Mapping[str, str] | None) -> list[str]:
    """Environment variables as the Engine API writes them."""
    return [f"{name}={value}" for name, value in (env or {}).items()]
