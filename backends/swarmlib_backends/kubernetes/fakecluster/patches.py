"""The patches of an apiserver: JSON Patch (RFC 6902), JSON Merge Patch (RFC 7386), and the strategic kind."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from ...dockerapi.nullable import list_of
from .errors import StatusError, bad_request, unsupported_media_type

_ACCEPTED: Final = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json"
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "conditions": ("type",),
    "containers": ("name",),
    "env": ("name",),
    "ephemeralContainers": ("name",),
    "hostAliases": ("ip",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "ports": ("containerPort", "port"),
    "volumeDevices": ("devicePath",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
"""The lists whose entries a strategic patch merges, with the fields that tell the entries apart."""


def patched(object: Any, patch: Any, type: str) -> Any:
    """Return an object as a patch of a media type makes it; the object itself stays as it is.

    Raises:
        StatusError: the patch doesn't fit, or its type is unknown.
    """
    patches: dict[str, Callable[[Any, Any], Any]] = {
        "application/json-patch+json": _json_patched,
        "application/merge-patch+json": _merged,
        "application/strategic-merge-patch+json": _strategic,
    }
    if type not in patches:
        raise unsupported_media_type(_ACCEPTED)
    if isinstance(patch, list) is not (type == "application/json-patch+json"):
        raise bad_request(f"error decoding patch: a patch of the type {type} has another form")
    return patches[type](copy.deepcopy(object), patch)


def _merged(object: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    made = cast("dict[str, Any]", object) if isinstance(object, dict) else {}
    for name, value in cast("dict[str, Any]", patch).items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = _merged(made.get(name), value)
    return made


def _strategic(object: Any, patch: Any, field: str = "") -> Any:
    if isinstance(patch, list) and field in _KEYS:
        return _merged_list(object or [], cast("list[Any]", patch), _KEYS[field])
    if field == "finalizers" and isinstance(patch, list):
        return list(dict.fromkeys([*list_of(object), *cast("list[str]", patch)]))
    if not isinstance(patch, dict):
        return cast("Any", patch)
    given = cast("dict[str, Any]", patch)
    if given.get("$patch") == "replace":
        return {name: value for name, value in given.items() if name != "$patch"}
    made = cast("dict[str, Any]", object) if isinstance(object, dict) else {}
    for name, value in given.items():
        if value is None:
            made.pop(name, None)
        elif name.startswith("$deleteFromPrimitiveList/"):
            made[name.partition("/")[2]] = [each for each in made.get(name.partition("/")[2], []) if each not in value]
        elif not name.startswith("$"):
            made[name] = _strategic(made.get(name), value, name)
    return made


def _merged_list(there: list[Any], patch: list[Any], keys: tuple[str, ...]) -> list[Any]:
    made = list(there)
    for entry in patch:
        key = next((each for each in keys if each in entry), keys[0])
        at = next((at for at, each in enumerate(made) if key in entry and each.get(key) == entry[key]), None)
        if entry.get("$patch") == "delete":
            made = [each for at_, each in enumerate(made) if at_ != at]
        elif at is None:
            made.append(entry)
        else:
            made[at] = _strategic(made[at], entry)
    return made


def _json_patched(object: Any, patch: list[Any]) -> Any:
    for operation in patch:
        try:
            object = _operated(object, operation)
        except (LookupError, TypeError, ValueError, AttributeError) as exc:
            message = f"the server rejected our request due to an error in our request: {exc}"
            raise StatusError(422, "Invalid", message, {}) from exc
    return object


def _operated(object: Any, operation: Mapping[str, Any]) -> Any:
    path = _pointer(operation["path"])
    match operation["op"]:
        case "add":
            return _added(object, path, operation["value"])
        case "remove":
            return _removed(object, path)
        case "replace":
            return _added(_removed(object, path), path, operation["value"])
        case "move":
            value = _at(object, _pointer(operation["from"]))
            return _added(_removed(object, _pointer(operation["from"])), path, value)
        case "copy":
            return _added(object, path, copy.deepcopy(_at(object, _pointer(operation["from"]))))
        case "test":
            if _at(object, path) != operation["value"]:
                raise ValueError(f"testing path {operation['path']} value failed")
            return object
        case other:
            raise ValueError(f"unexpected kind of operation: {other}")


def _pointer(text: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _at(object: Any, path: list[str]) -> Any:
    for part in path:
        object = object[int(part) if isinstance(object, list) else part]
    return object


def _added(object: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    above, last = _at(object, path[:-1]), path[-1]
    if isinstance(above, list):
        entries = cast("list[Any]", above)
        at = len(entries) if last == "-" else int(last)
        if not 0 <= at <= len(entries):
            raise IndexError(f"index {at} is out of bounds")
        entries.insert(at, value)
    else:
        above[last] = value
    return object


def _removed(object: Any, path: list[str]) -> Any:
    if not path:
        return None
    above, last = _at(object, path[:-1]), path[-1]
    del above[int(last) if isinstance(above, list) else last]
    return object
