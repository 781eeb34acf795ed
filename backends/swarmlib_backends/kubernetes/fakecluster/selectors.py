"""Label and field selectors: what they accept, and whether an object fits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from ...dockerapi.nullable import dict_of
from ...http.serving import Body
from .errors import bad_request

Selector: TypeAlias = Callable[[Body], bool]
_SET: Final = re.compile(r"\s*([\w./-]+)\s+(in|notin)\s+\(([^()]*)\)\s*")
_EQUAL: Final = re.compile(r"\s*([\w./-]+)\s*(==|=|!=)\s*([\w.-]*)\s*")
_THERE: Final = re.compile(r"\s*(!?)\s*([\w./-]+)\s*")
_PARTS: Final = re.compile(r",(?![^(]*\))")
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "pods": ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "status.phase",
             "status.podIP", "status.nominatedNodeName"),
    "events": ("involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
               "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
               "source", "type", "reportingComponent"),
    "secrets": ("type",),
    "namespaces": ("status.phase",),
    "nodes": ("spec.unschedulable",),
}  # fmt: skip
"""The fields that may be selected by, besides the name and the namespace."""


def by_labels(text: str) -> Selector:
    """Read a label selector.

    Raises:
        StatusError: it can't be parsed.
    """
    tests = [_label_test(part) for part in _PARTS.split(text) if part.strip()]
    return lambda found: all(test(dict_of(found["metadata"].get("labels"))) for test in tests)


def _label_test(part: str) -> Callable[[Mapping[str, str]], bool]:
    if match := _SET.fullmatch(part):
        name, wanted, values = match[1], match[2] == "in", {each.strip() for each in match[3].split(",")}
        return lambda labels: (labels[name] in values) is wanted if name in labels else not wanted
    if match := _EQUAL.fullmatch(part):
        name, wanted, value = match[1], match[2] != "!=", match[3]
        return lambda labels: (labels.get(name) == value) is wanted
    if match := _THERE.fullmatch(part):
        name, wanted = match[2], not match[1]
        return lambda labels: (name in labels) is wanted
    raise bad_request(f"unable to parse requirement: found '{part.strip()}', expected: identifier")


def by_fields(text: str, plural: str) -> Selector:
    """Read a field selector of a kind.

    Raises:
        StatusError: it can't be parsed, or the kind can't be selected by one of its fields.
    """
    tests: list[tuple[str, bool, str]] = []
    for part in filter(None, text.split(",")):
        match = re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", part)
        if match is None:
            raise bad_request(f"invalid field selector: {part!r}; can't understand it")
        if match[1] not in ("metadata.name", "metadata.namespace", *_FIELDS.get(plural, ())):
            raise bad_request(f"field label not supported: {match[1]}")
        tests.append((match[1], match[2] != "!=", match[3]))
    return lambda found: all((_field(found, name) == value) is wanted for name, wanted, value in tests)


def _field(object: Body, path: str) -> str:
    *above, last = path.split(".")
    for part in above:
        object = dict_of(object.get(part))
    return str(object.get(last, ""))
