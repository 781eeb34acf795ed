"""The filters of events, as an engine applies them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .nullable import dict_of
from .values import labels_fit

_KINDS: Final = ("container", "network", "volume", "daemon", "plugin", "service", "node", "secret", "config")
"""Filters that name an object by its id, its name, or the beginning of one."""
FILTERS: Final = frozenset({"event", "type", "label", "image", "scope", *_KINDS})
"""The filters of events that an engine knows."""
_WITH_DETAILS: Final = {"health_status", "exec_create", "exec_start"}
"""Actions whose names have details appended: a filter for one of these matches every action that begins with it."""


def fits(event: Mapping[str, Any], wanted: Mapping[str, list[str]]) -> bool:
    """Return whether an event passes filters, as an engine applies them."""
    id, attributes = _about(event)
    tests = (
        _is_action(event.get("Action") or "", wanted.get("event", [])),
        _is_one(wanted.get("type", []), event["Type"]),
        _is_one(wanted.get("scope", []), event.get("scope") or ""),
        _is_one(wanted.get("image", []), *_image_names(event["Type"], id, attributes)),
        *(_begins(wanted.get(kind, []), id, attributes.get("name", "")) for kind in _KINDS),
    )
    return all(tests) and labels_fit(attributes, wanted.get("label", []))


def _about(event: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    actor = dict_of(event.get("Actor"))
    return actor.get("ID") or "", dict_of(actor.get("Attributes"))


def _is_one(wanted: list[str], *names: str) -> bool:
    return not wanted or bool(set(wanted) & set(names))


def _is_action(action: str, wanted: list[str]) -> bool:
    if _WITH_DETAILS & set(wanted):
        return any(action.startswith(each) for each in wanted)
    return _is_one(wanted, action)


def _image_names(kind: str, id: str, attributes: Mapping[str, str]) -> list[str]:
    names = [id, attributes.get("name" if kind == "image" else "image", "")]
    return names + [name.rpartition(":")[0] for name in names if ":" in name]


def _begins(wanted: list[str], *names: str) -> bool:
    return not wanted or any(name.startswith(each) for name in names for each in wanted)
