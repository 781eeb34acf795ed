"""The ONE table of the Docker Engine API, read both ways (design, section 8).

`dockerserver` looks a request up by method and target, `docker` looks a message up by verb and object path. In the
args of a message, the query's parameters stand under their names (a list where one is repeated); what is no query
parameter stands under a name that begins with a colon, which no query may use: `:version` of the target, and the
row's `kept_headers`. The body is the message's value (JSON) or, in rows that say so, its attachment.
The rows themselves are in `rows`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlencode

from swarmlib import Invalid, NotFound, Path, Unsupported, Verb

from .rows import ROWS, WHOLE, Row

_BY_METHOD: Final = {m: [r for r in ROWS if r.method == m] for m in {r.method for r in ROWS}}
_BY_SHAPE: Final = {(r.verb, r.shape, r.upload): r for r in (*ROWS, WHOLE)}
_VERSIONED: Final = re.compile(r"/v(\d+\.\d+)(/.*)")


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request leads: its row, and what its target alone says of the message."""

    row: Row
    path: Path
    args: Mapping[str, Any]


@lru_cache(maxsize=1024)
def route(method: str, target: str) -> Route:
    """Look a request up.

    Raises:
        Invalid: the target is no normal path, or uses a name that the table keeps for itself.
        NotFound: no row has it; it may be passed on as `whole` then.
    """
    full, _, query = target.partition("?")
    versioned = _VERSIONED.fullmatch(full)
    place = versioned[2] if versioned else full
    _check_normal(place)
    args = _query_args(query)
    for row in _BY_METHOD.get(method, ()):
        found = row.pattern.fullmatch(place)
        if found is not None and (row.when is None or args.get(row.when[0]) == row.when[1]):
            name = unquote(found[1]) if found.re.groups else ""
            if versioned:
                args[":version"] = versioned[1]
            return Route(row, row.path(name), args)
    raise NotFound("page not found")


def whole(method: str, target: str, headers: Mapping[str, list[str]]) -> Route:
    """The route of a request that has no row."""
    return Route(WHOLE, WHOLE.path(""), {":method": method, ":target": target, ":headers": headers})


def _check_normal(place: str) -> None:
    parts = unquote(place).split("/")
    if parts[0] or any(part in ("", ".", "..") for part in parts[1:]) or "\0" in place:
        raise Invalid(f"the path {place!r} is not normal: it should begin with one /, and hold no //, /. or /..")


def _query_args(query: str) -> dict[str, Any]:
    args: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name.startswith(":"):
            raise Invalid(f"the query parameter {name!r} begins with a colon, which none of the Engine API's does")
        known = args.get(name)
        if known is None:
            args[name] = value
        elif isinstance(known, list):
            known.append(value)  # pyright: ignore[reportUnknownMemberType]
        else:
            args[name] = [known, value]
    return args


def row_of(verb: Verb, path: Path, *, upload: bool) -> Row:
    """Look a message up.

    Raises:
        Unsupported: no row has it.
    """
    named = (path[0], None, *path[2:]) if len(path) > 1 else path
    for shape in (named, path):
        row = _BY_SHAPE.get((verb, shape, upload))
        if row is not None:
            return row
    raise Unsupported(f"the Docker Engine API has nothing for {verb} on {'/'.join(path) or 'the service'}", path=path)


def target(row: Row, path: Path, args: Mapping[str, Any]) -> str:
    """The request target of a message; the inverse of `route`.

    Raises:
        Invalid: the name in the path makes it no normal one (`..`, or nothing), which an engine would take for another.
    """
    place = row.target(path)
    if "/." in place or "//" in place:
        _check_normal(place)
    version = args.get(":version")
    prefix = f"/v{version}" if version else ""
    query = urlencode({k: v for k, v in args.items() if k[0] != ":"}, doseq=True) if args else ""
    return f"{prefix}{place}{'?' if query else ''}{query}"
