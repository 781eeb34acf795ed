"""Reading records back from ConfigMaps, strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast, get_args

from swarmlib import BadAnswer, SwarmError

from ...dockerapi import schema, strictjson
from ...dockerapi.nullable import dict_of
from ...dockerapi.schema import Reader, Wrong
from ...enginekit.health import Probe
from . import names
from .options import Publishing
from .publishing import check
from .record import KEY, LATEST, VERSION, Ended, Health, Image, Record

_ID: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_WANTED: Final = frozenset({"created", "running", "stopped", "removed"})
_STATUSES: Final = frozenset({"starting", "healthy", "unhealthy"})


def read(config_map: Mapping[str, Any]) -> Record:
    """Return the record that a ConfigMap holds.

    config_map: as the cluster answers it.

    Raises:
        BadAnswer: it holds no record, or one of a newer version; the error names it and says what is wrong.
    """
    about = config_map["metadata"]
    try:
        given = _fields(strictjson.read(str(dict_of(config_map.get("data")).get(KEY, "")).encode(), KEY))
        if names.record_name(given["id"]) != about["name"]:
            raise Wrong(f"is the record of {names.record_name(given['id'])}")
        found = Record(**given, uid=about["uid"], version=about["resourceVersion"])
        check(found)
        return found
    except (Wrong, SwarmError) as exc:
        what = f"{KEY} {exc}" if isinstance(exc, Wrong) else exc.message
        raise BadAnswer(f"the ConfigMap {about['name']} is not the record of a container: {what}") from exc


def _fields(data: Any) -> dict[str, Any]:
    if isinstance(data, dict) and (version := cast("dict[str, Any]", data).get("version")) != VERSION:
        raise Wrong(f"has the version {version!r:.20}: this swarmlib knows {VERSION}")
    given = cast("dict[str, Any]", _RECORD(data))
    del given["version"]
    return given


def _object(fields: Mapping[str, Reader], *optional: str, make: Any = dict) -> Reader:
    """Return the reader of an object with these fields and no others; `make` gets them by their names."""

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Wrong("must be an object")
        given = cast("dict[str, Any]", value)
        if strange := sorted(given.keys() - fields.keys()):
            raise Wrong(f"has the unknown field {strange[0]!r:.40}")
        if missing := sorted(fields.keys() - given.keys() - {*optional}):
            raise Wrong(f"lacks the field {missing[0]}")
        return make(**{name: _at(name, fields[name], each) for name, each in given.items()})

    return read


def _list(item: Reader) -> Reader:
    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise Wrong("must be an array")
        return tuple(_at(f"[{n}]", item, each) for n, each in enumerate(cast("list[Any]", value)))

    return read


def _at(place: str, read: Reader, value: Any) -> Any:
    try:
        return read(value)
    except Wrong as wrong:
        wrong.place.append(place)
        raise


def _one_of(allowed: frozenset[str]) -> Reader:
    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise Wrong(f"must be one of {', '.join(sorted(allowed))}, not {value!r:.40}")
        return value

    return read


def _matching(pattern: re.Pattern[str], what: str) -> Reader:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise Wrong(f"must be {what}, not {value!r:.80}")
        return value

    return read


def _time(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < LATEST:
        raise Wrong(f"must be seconds since the epoch, not {value!r:.40}")
    return float(value)


def _count(value: Any) -> int:
    number = cast("int", _INTEGER(value))
    if number < 0:
        raise Wrong(f"must be 0 or more, not {number}")
    return number


def _body(value: Any) -> dict[str, Any]:
    read = schema.body_reader("ContainerCreate")
    assert read is not None
    return cast("dict[str, Any]", read(value))


_INTEGER: Final = schema.reader("int32")
_TEXT: Final = schema.reader("string")
_FLAG: Final = schema.reader("boolean")
_PROBE: Final = _object({"start": _time, "end": _time, "exit_code": _INTEGER, "output": _TEXT}, make=Probe)
_OF_RECORD: Final[Mapping[str, Reader]] = {
    "version": _INTEGER,
    "id": _matching(_ID, "64 hexadecimal digits"),
    "name": _matching(_NAME, "the name of a container"),
    "created": _time,
    "body": _body,
    "image": _object(
        {"reference": _TEXT, "digest": _TEXT, "config": schema.reader("#ContainerConfig"), "secret": _TEXT}, make=Image
    ),
    "run": _count,
    "started": _time,
    "wanted": _one_of(_WANTED),
    "paused": _FLAG,
    "restarts": _count,
    "error": _TEXT,
    "last": _object(
        {
            "run": _count,
            "exit_code": _INTEGER,
            "started": _time,
            "finished": _time,
            "oom_killed": _FLAG,
            "error": _TEXT,
        },
        make=Ended,
    ),
    "ruled": _FLAG,
    "keep": _FLAG,
    "linked": schema.reader({"*": "string"}),
    "health": _object({"status": _one_of(_STATUSES), "failing": _count, "log": _list(_PROBE)}, make=Health),
    "networks": schema.reader({"*": "#EndpointSettings"}),
    "ports": schema.reader({"*": ["#PortBinding"]}),
    "via": _one_of(frozenset(get_args(Publishing))),
}
_RECORD: Final = _object(_OF_RECORD, "image", "last", "health", "networks", "ports", "via", "linked", "ruled", "keep")
