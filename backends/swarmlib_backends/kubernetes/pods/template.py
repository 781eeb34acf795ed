"""A Pod as the operator gives it (`--pod-template`), whose fields are the defaults of every Pod."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from swarmlib import Invalid

_KEYS: Final = ("name", "mountPath", "containerPort", "ip")
"""By what the items of lists are told apart; a list of others is appended."""
_OURS: Final = ("name", "namespace", "generateName", "ownerReferences", "uid", "resourceVersion")
"""What every Pod has of its own."""


def check(template: Any, where: str) -> dict[str, Any]:
    """Return a template, if it is a Pod.

    where: what it was read from, for errors.

    Raises:
        Invalid: it is none, or says what only swarmlib can say; the error says what.
    """
    if not isinstance(template, dict):
        raise Invalid(f"{where} must hold a Pod, as an object")
    given = cast("dict[str, Any]", template)
    if given.get("kind", "Pod") != "Pod" or given.get("apiVersion", "v1") != "v1":
        raise Invalid(f"{where} must hold a Pod of v1, not {given.get('apiVersion')} {given.get('kind')}")
    for name, each in given.items():
        if name not in ("kind", "apiVersion", "metadata", "spec"):
            raise Invalid(f"{where}: unknown field {name:.40}; a template has metadata and spec")
        if name in ("metadata", "spec") and not isinstance(each, dict):
            raise Invalid(f"{where}: {name} must be an object")
    for name in _OURS:
        if name in given.get("metadata", {}):
            raise Invalid(f"{where}: metadata.{name} is different for each Pod; omit it")
    return given


def applied(template: Mapping[str, Any], pod: dict[str, Any]) -> dict[str, Any]:
    """Return a Pod with the template's fields where it has none of its own, and both's items in its lists."""
    return cast("dict[str, Any]", _merged(template, pod)) if template else pod


def _merged(default: Any, own: Any) -> Any:
    if isinstance(default, Mapping) and isinstance(own, Mapping):
        defaults, owns = cast("Mapping[str, Any]", default), cast("Mapping[str, Any]", own)
        both = {name: _merged(each, owns[name]) for name, each in defaults.items() if name in owns}
        return {**defaults, **owns, **both}
    if isinstance(default, list) and isinstance(own, list):
        return _merged_lists(cast("list[Any]", default), cast("list[Any]", own))
    return own


def _merged_lists(default: list[Any], own: list[Any]) -> list[Any]:
    known = {_key(each): each for each in default}
    made = [_merged(known.get(key), each) if (key := _key(each)) else each for each in own]
    keys = {_key(each) for each in own} - {None}
    return [*made, *(each for each in default if _key(each) not in keys and each not in own)]


def _key(item: Any) -> tuple[str, Any] | None:
    if not isinstance(item, Mapping):
        return None
    fields = cast("Mapping[str, Any]", item)
    for name in _KEYS:
        if isinstance(value := fields.get(name), str | int):
            return name, value
    return None
