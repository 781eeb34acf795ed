"""What shapes of answers are made of: where names stand in a value, and how each is shown to a tenant.

A `Show` takes a part of an engine's answer, and returns it as the tenant sees it. Fields that a shape does not declare
hold no names, and stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, cast

from swarmlib import BadAnswer

from .names import REGISTRY, Names

Show: TypeAlias = Callable[[Names, Any], Any]
"""Takes a tenant's names and a value. Raises BadAnswer if the value is not of the type that the shape declares."""

_TYPES: Final[Mapping[type, str]] = {str: "a text", dict: "an object", list: "a list"}


def _checked(value: Any, kind: type) -> Any:
    if isinstance(value, kind):
        return value
    raise BadAnswer(f"the engine's answer holds {value!r:.60} in place of {_TYPES[kind]}")


def _leaf(convert: Callable[[Names, str], Any]) -> Show:
    """Make the shape of a text; null stays."""
    return lambda names, value: None if value is None else convert(names, _checked(value, str))


def struct(fields: Mapping[str, Show]) -> Show:
    """Make the shape of an object by those of the fields that hold names; null stays."""

    def show(names: Names, value: Any) -> Any:
        if value is None:
            return None
        made = dict(_checked(value, dict))
        for field, inner in fields.items():
            if field in made:
                made[field] = inner(names, made[field])
        return made

    return show


def each(inner: Show) -> Show:
    """Make the shape of a list by that of its items; null stays."""
    return lambda names, value: None if value is None else [inner(names, item) for item in _checked(value, list)]


def keyed(key: Show, inner: Show) -> Show:
    """Make the shape of an object whose keys are names too; null stays."""

    def show(names: Names, value: Any) -> Any:
        if value is None:
            return None
        fields = cast("dict[str, Any]", _checked(value, dict))
        return {key(names, name): inner(names, item) for name, item in fields.items()}

    return show


def labels(names: Names, value: Any) -> Any:
    """Show labels without those of tenancy."""
    return None if value is None else names.unlabelled(_checked(value, dict))


name: Final = _leaf(Names.shown)
"""The name of a container, a network or a volume."""
image: Final = _leaf(Names.shown_image)
"""The reference of an image."""


def _either(names: Names, value: str) -> str:
    return names.shown_image(value) if value.startswith(REGISTRY) else names.shown(value)


either: Final = _leaf(_either)
"""The name of an object of any kind."""
text: Final = _leaf(Names.in_text)
"""A path, an error or a warning, in which names may stand."""


def _bind(names: Names, value: str) -> str:
    source, colon, rest = value.partition(":")
    return names.shown(source) + colon + rest


def _link(names: Names, value: str) -> str:
    """Show `/alice.db:/alice.web/alias`, or as it was asked for, `alice.db:alias`."""
    return ":".join(names.shown(part) for part in value.split(":"))


bind: Final = _leaf(_bind)
"""A volume's or a container's name, and what follows a colon."""
link: Final = _leaf(_link)
"""The link to a container."""
