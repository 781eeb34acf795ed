"""The single table of the Docker Engine API, used in both directions.

`dockerserver` looks up an HTTP request by method and target, `docker` looks up a `Request` by verb and object path. The
request's parameters are the query's (a list if one is repeated); its meta holds the version of the target and the row's
`kept_headers`. An HTTP body becomes the request's JSON body or, if the row says so, its upload. The rows themselves are
in `rows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, cast

from swarmlib import Invalid, NotFound, Path, Unsupported, Verb
from swarmlib.names import check_path

from . import targets
from .rows import ROWS, WHOLE, Row

_BY_METHOD: Final = {m: [r for r in ROWS if r.method == m] for m in {r.method for r in ROWS}}
_BY_SHAPE: Final = {(r.verb, r.shape, r.upload): r for r in (*ROWS, WHOLE, replace(WHOLE, upload=True))}
_CACHED_TARGET: Final = 512
"""The length of a target up to which its route is cached: clients decide how long a target is."""


class NoRow(NotFound):
    """No row of the table matches the request, but an engine may know it."""


@dataclass(frozen=True, slots=True)
class Route:
    """The row of a request, and what its target alone says."""

    row: Row
    path: Path
    params: Mapping[str, Any]
    version: str = ""
    """The API version, in its usual form; "" if the target names none."""


def route(method: str, target: str) -> Route:
    """Look up a request by its path as an engine sees it: decoded, once.

    target: in origin form.

    Raises:
        Moved: the path should be written in another way.
        Invalid, TooLarge: the target's path is invalid (`swarmlib.names`) or wrongly encoded, or uses a name that the
            table reserves.
        NoRow: no row matches; the request may be forwarded as `whole`.
        NotFound: nothing has this path, in any engine.
    """
    return _short_route(method, target) if len(target) <= _CACHED_TARGET else _route(method, target)


def _route(method: str, target: str) -> Route:
    said = targets.read(target)
    row, name = _find(method, said.place, said.query)
    if name or row is None:
        targets.check_place(said.place)
    if row is None:
        raise NoRow("page not found")
    return Route(row, row.path(name), said.query, said.version)


_short_route: Final = lru_cache(maxsize=1024)(_route)


def _find(method: str, place: str, args: Mapping[str, Any]) -> tuple[Row | None, str]:
    """Return the row of a decoded path, and the name in the path; None if no row matches."""
    for row in _BY_METHOD.get(method, ()):
        found = row.pattern.fullmatch(place)
        if found is not None and (row.when is None or _is_import(args)):
            return row, found[1] if found.re.groups else ""
    return None, ""


def _is_import(args: Mapping[str, Any]) -> bool:
    """Return whether a request for a new image contains the image: with `fromImage`, an engine pulls it instead."""
    return _first(args, "fromSrc") == "-" and not _first(args, "fromImage")


def _first(args: Mapping[str, Any], name: str) -> str | None:
    value = args.get(name)
    return cast("list[str]", value)[0] if isinstance(value, list) else value


def whole(method: str, target: str) -> Route:
    """Return the route of a request that has no row."""
    return Route(WHOLE, WHOLE.path(""), {"method": method, "target": target})


@lru_cache(maxsize=256)  # each stage that a request comes to looks it up; clients decide how long a path is
def row_of(verb: Verb, path: Path, *, upload: bool) -> Row:
    """Look up a `Request`.

    Raises:
        Unsupported: no row matches.
    """
    row = _BY_SHAPE.get((verb, (path[0], None, *path[2:]), upload)) if len(path) > 1 else None
    row = row or _BY_SHAPE.get((verb, path, upload))
    if row is not None:
        return row
    raise Unsupported(f"the Docker Engine API does not support {verb} on {'/'.join(path) or 'the service'}", path=path)


def target(row: Row, path: Path, params: Mapping[str, Any], version: str) -> str:
    """Return the target of an HTTP request; the inverse of `route`.

    Raises:
        Invalid, TooLarge: the path is invalid (`swarmlib.names`), or a name in it makes it another operation's;
            or the version is not in its usual form.
    """
    if version and not targets.is_version(version):
        raise Invalid(f"invalid API version {version!r}: expected two numbers, such as 1.41")
    check_path(path)  # quoting does not help: an engine looks up the decoded path
    place = row.target(path)
    if None in row.shape:
        _check_name(row, path[row.shape.index(None)])
    return (f"/v{version}" if version else "") + place + targets.query_of(params)


def _check_name(row: Row, name: str) -> None:
    """Refuse a name that turns the decoded path, by which an engine looks up operations, into another operation's."""
    if "/" not in name:
        return
    place = row.template.replace("{name}", name).replace("{id}", name)
    if _find(row.method, place, {}) != (row, name):
        raise Invalid(f"the name {name!r} changes the operation {row.name} into another one: {place!r}")
