"""The ONE table of the Docker Engine API, read both ways (design, section 8).

`dockerserver` looks a request up by method and target, `docker` looks a message up by verb and object path. In the
args of a message, the query's parameters stand under their names (a list where one is repeated); what is no query
parameter stands under a name that begins with a colon, which no query may use: `:version` of the target, and the
headers in KEPT_HEADERS. The body is the message's value (JSON) or, in rows that say so, its attachment.
Source: the Engine API's OpenAPI document; the row's name is its operationId.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

from swarmlib import Invalid, NotFound, Path, Unsupported, Verb

KEPT_HEADERS: Final = frozenset({"x-registry-auth", "x-registry-config"})
"""Request headers that mean something to an engine, and travel as args. They are secrets: never logged."""

WEBSOCKET_HEADERS: Final = frozenset(
    {"sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions", "origin"}
)


class Kind(Enum):
    """How a row answers."""

    VALUE = "one JSON value, or nothing: `set` (or the `ack` of a spawn), then `ack`"
    WATCH = "`ack` at once (the head), then JSON values as they come"
    PROGRESS = "JSON values as they come, then `ack`; a failure after the first comes in-band"
    STREAM = "`ack` with bytes one way"
    HIJACK = "`ack` with bytes both ways"


@dataclass(frozen=True)
class Row:
    """One operation: its request on the left, its message on the right, and how it answers."""

    name: str
    method: str
    template: str
    verb: Verb
    object: str
    kind: Kind = Kind.VALUE
    status: int = 200
    upload: bool = False
    """The request's body is bytes, and travels as the attachment."""
    when: tuple[str, str] | None = None
    """A query parameter that tells this row from another of the same method and template."""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches a target's path; `{name}` may hold slashes, as an image's does."""
        text = re.escape(self.template).replace(r"\{name\}", "(?P<name>.+)").replace(r"\{id\}", "(?P<id>[^/]+)")
        return re.compile(text)

    @cached_property
    def shape(self) -> tuple[str | None, ...]:
        """The object path, with None where a name stands."""
        return tuple(None if part == "*" else part for part in self.object.split("/") if part)

    def path(self, name: str) -> Path:
        """The object path for a name."""
        return tuple(name if part is None else part for part in self.shape)

    def target(self, path: Path) -> str:
        """The request's path for an object path; the inverse of `pattern` and `path`."""
        if None not in self.shape:
            return self.template
        name = path[self.shape.index(None)]
        return self.template.replace("{name}", quote(name, safe="/:@")).replace("{id}", quote(name, safe=":@"))


_FROM_BODY: Final = ("fromSrc", "-")


def _rows() -> tuple[Row, ...]:
    spawn, start, stop, ls, get = Verb.SPAWN, Verb.START, Verb.STOP, Verb.LS, Verb.GET
    change, rm, watch, connect, file = Verb.SET, Verb.RM, Verb.WATCH, Verb.CONNECT, Verb.FILE
    return (
        # System
        Row("SystemPing", "GET", "/_ping", get, "ping"),
        Row("SystemPingHead", "HEAD", "/_ping", get, "ping/head"),
        Row("SystemVersion", "GET", "/version", get, "version"),
        Row("SystemInfo", "GET", "/info", get, ""),
        Row("SystemDataUsage", "GET", "/system/df", get, "df"),
        Row("SystemEvents", "GET", "/events", watch, "", Kind.WATCH),
        Row("SystemAuth", "POST", "/auth", change, "auth"),
        # Containers
        Row("ContainerList", "GET", "/containers/json", ls, "containers"),
        Row("ContainerCreate", "POST", "/containers/create", spawn, "containers", status=201),
        Row("ContainerPrune", "POST", "/containers/prune", rm, "containers"),
        Row("ContainerInspect", "GET", "/containers/{id}/json", get, "containers/*"),
        Row("ContainerTop", "GET", "/containers/{id}/top", get, "containers/*/top"),
        Row("ContainerLogs", "GET", "/containers/{id}/logs", connect, "containers/*/logs", Kind.STREAM),
        Row("ContainerChanges", "GET", "/containers/{id}/changes", get, "containers/*/changes"),
        Row("ContainerExport", "GET", "/containers/{id}/export", file, "containers/*/export", Kind.STREAM),
        Row("ContainerStats", "GET", "/containers/{id}/stats", watch, "containers/*/stats", Kind.WATCH),
        Row("ContainerResize", "POST", "/containers/{id}/resize", change, "containers/*/resize"),
        Row("ContainerStart", "POST", "/containers/{id}/start", start, "containers/*", status=204),
        Row("ContainerStop", "POST", "/containers/{id}/stop", stop, "containers/*", status=204),
        Row("ContainerRestart", "POST", "/containers/{id}/restart", change, "containers/*/restart", status=204),
        Row("ContainerKill", "POST", "/containers/{id}/kill", stop, "containers/*/kill", status=204),
        Row("ContainerUpdate", "POST", "/containers/{id}/update", change, "containers/*/update"),
        Row("ContainerRename", "POST", "/containers/{id}/rename", change, "containers/*/rename", status=204),
        Row("ContainerPause", "POST", "/containers/{id}/pause", change, "containers/*/pause", status=204),
        Row("ContainerUnpause", "POST", "/containers/{id}/unpause", change, "containers/*/unpause", status=204),
        Row("ContainerAttach", "POST", "/containers/{id}/attach", connect, "containers/*", Kind.HIJACK),
        Row("ContainerAttachWebsocket", "GET", "/containers/{id}/attach/ws", connect, "containers/*/ws", Kind.HIJACK),
        Row("ContainerWait", "POST", "/containers/{id}/wait", watch, "containers/*/wait", Kind.WATCH),
        Row("ContainerDelete", "DELETE", "/containers/{id}", rm, "containers/*", status=204),
        Row("ContainerArchive", "GET", "/containers/{id}/archive", file, "containers/*/archive", Kind.STREAM),
        Row("ContainerArchiveInfo", "HEAD", "/containers/{id}/archive", get, "containers/*/archive"),
        Row("PutContainerArchive", "PUT", "/containers/{id}/archive", file, "containers/*/archive", upload=True),
        # Exec
        Row("ContainerExec", "POST", "/containers/{id}/exec", spawn, "containers/*/exec", status=201),
        Row("ExecStart", "POST", "/exec/{id}/start", connect, "exec/*", Kind.HIJACK),
        Row("ExecResize", "POST", "/exec/{id}/resize", change, "exec/*/resize"),
        Row("ExecInspect", "GET", "/exec/{id}/json", get, "exec/*"),
        # Images
        Row("ImageList", "GET", "/images/json", ls, "images"),
        Row("ImageImport", "POST", "/images/create", spawn, "images", Kind.PROGRESS, upload=True, when=_FROM_BODY),
        Row("ImageCreate", "POST", "/images/create", spawn, "images", Kind.PROGRESS),
        Row("ImageInspect", "GET", "/images/{name}/json", get, "images/*"),
        Row("ImageTag", "POST", "/images/{name}/tag", change, "images/*/tag", status=201),
        Row("ImageDelete", "DELETE", "/images/{name}", rm, "images/*"),
    )


ROWS: Final = _rows()
_BY_METHOD: Final = {m: [r for r in ROWS if r.method == m] for m in {r.method for r in ROWS}}
_BY_SHAPE: Final = {(r.verb, r.shape, r.upload): r for r in ROWS}
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
        NotFound: no row has it.
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
    """The request target of a message; the inverse of `route`."""
    version = args.get(":version")
    prefix = f"/v{version}" if version else ""
    query = urlencode({k: v for k, v in args.items() if k[0] != ":"}, doseq=True) if args else ""
    return f"{prefix}{row.target(path)}{'?' if query else ''}{query}"
