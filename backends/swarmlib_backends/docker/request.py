"""The heads of the requests that `docker` writes to an engine; each part is checked before it is written.

A request may come from a wire peer, so nothing in it is trusted. Method, target and header names come from the row; the
values of the headers that the row keeps are checked; this module does the framing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from swarmlib import Invalid, Meta, Path, Request

from ..dockerapi import table
from ..dockerapi.rows import METHODS, ROWS, TRACE_HEADERS, Kind, Row
from ..http.headers import HOP_BY_HOP, TOKEN, Headers
from ..http.outgoing import request_head

_HIJACK: Final = Kind.HIJACK
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_ITS_OWN: Final = HOP_BY_HOP | {b"host", b"expect"} | TRACE_HEADERS
_WHOLE_PARAMS: Final = frozenset({"method", "target", "upgrade"})
_TYPE: Final = "content-type"
"""The header with the body's type, which the row determines: JSON or a tar."""

_ORIGIN_FORM: Final = re.compile(r"/[!-~]*")
_OPTIONS: Final = "OPTIONS"
"""The method of a question about a path, which is no operation on any path; also about the server as a whole, `*`."""
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]")
_UPLOAD: Final[Headers] = [(b"Transfer-Encoding", b"chunked"), (b"Expect", b"100-continue")]
_SWITCHING: Final = (b"Connection", b"Upgrade")
_BY_NAME: Final = {row.name: row for row in ROWS}
_HEADER_NAMES: Final = {
    row.name: {name.decode(): name.title() for name in row.kept_headers - {_TYPE.encode()} - TRACE_HEADERS}
    for row in ROWS
}
"""By row, the headers that its request may have."""


def head_of(row: Row, request: Request, length: int | None, host: bytes) -> bytes:
    """Return the head of a row's request to `host`.

    length: the length of the body, which is JSON; None for an upload, which is chunked.

    Raises:
        Invalid: a header is not one of the row's, or a part of the request can't be written.
    """
    if length == 0 and not (request.meta.headers or request.params or request.meta.trace):
        return _usual_head(row.name, request.path, request.meta.version, host)
    return _head_of(row, request, length, host)


@lru_cache(maxsize=256)
def _usual_head(name: str, path: Path, version: str, host: bytes) -> bytes:
    """Return the head of a request without parameters, headers and a body: pollers repeat the same ones."""
    row = _BY_NAME[name]
    return _head_of(row, Request(row.verb, path, meta=Meta(version=version)), 0, host)


def _head_of(row: Row, request: Request, length: int | None, host: bytes) -> bytes:
    headers: Headers = [(b"Host", host), *_kept(row, request.meta), *_trace(request.meta)]
    if length is None:
        headers += [(b"Content-Type", b"application/x-tar"), *_UPLOAD]
    elif row.method in _WITH_BODY:
        headers += [(b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % length)]
    if upgrade_of(row):
        headers.append(_SWITCHING)
        if "upgrade" not in _HEADER_NAMES[row.name]:  # else it is the caller's, and an engine refuses the wrong one
            headers.append((b"Upgrade", b"tcp"))
    return request_head(row.method, _target(row, request), headers)


def body_of(row: Row, request: Request) -> bytes:
    """Return the JSON body of a row's request. Engines read none with GET, HEAD and DELETE, so none is sent there."""
    return request.body.raw if request.body is not None and row.method in _WITH_BODY else b""


def upgrade_of(row: Row) -> str:
    """Return the protocol that a row's request asks to switch to; "" for none."""
    if row.kind is not _HIJACK:
        return ""
    return "websocket" if row.name == "ContainerAttachWebsocket" else "tcp"


def _target(row: Row, request: Request) -> str:
    params = request.params
    if row.when is not None and params.get(row.when[0]) != row.when[1]:
        raise Invalid(f"with an upload, {row.when[0]} must be {row.when[1]!r}, not {params.get(row.when[0])!r}")
    if "" in params:
        raise Invalid("a query parameter has no name")
    try:
        return table.target(row, request.path, params, request.meta.version)
    except UnicodeEncodeError as exc:
        raise Invalid(f"the path or a parameter is not Unicode text: {exc}") from exc


def _kept(row: Row, meta: Meta) -> Headers:
    """Return the headers of a request that its row keeps, if their values can be written."""
    names = _HEADER_NAMES[row.name]
    headers: Headers = []
    for name, value in meta.headers:
        if name == _TYPE:
            continue
        if name not in names:
            raise Invalid(f"{row.name} does not accept the header {name!r}: expected {', '.join(sorted(names))}")
        headers.append((names[name], _header_value(name, value)))
    return headers


def _trace(meta: Meta) -> Headers:
    """Return the headers that tell the engine to which trace the call belongs."""
    return [] if meta.trace is None else [(name.encode(), value.encode()) for name, value in meta.trace.headers()]


def _header_value(name: str, value: str) -> bytes:
    if _UNPRINTABLE.search(value):
        raise Invalid(f"the header {name} holds a control character")
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError as exc:
        raise Invalid(f"the header {name} holds a character that HTTP can't carry: {exc}") from exc


@dataclass(frozen=True)
class Whole:
    """A request without a row, which is forwarded as it came: its checked parts."""

    method: str
    target: str
    headers: Headers
    upgrade: str
    """The protocol that it asks to switch to; "" for none."""

    @classmethod
    def of(cls, request: Request) -> Whole:
        """Read and check a request.

        Raises:
            Invalid: a parameter or header is invalid, or the request is an operation that has a row. Such an operation
                would evade every stage that judges requests by verb and path.
        """
        params = request.params
        if unknown := set(params) - _WHOLE_PARAMS:
            raise Invalid(
                f"a request that is forwarded unchanged can't have the parameters {', '.join(sorted(unknown))}"
            )
        method, target, upgrade = params.get("method"), params.get("target"), params.get("upgrade", "")
        if not isinstance(method, str) or method not in METHODS:
            raise Invalid(f"invalid method {method!r}: expected one of {', '.join(sorted(METHODS))}")
        about_server = method == _OPTIONS and target == "*"
        if not (about_server or (isinstance(target, str) and _ORIGIN_FORM.fullmatch(target))):
            raise Invalid(f"invalid target {target!r}: expected a path with its query, in printable ASCII")
        if upgrade and not _is_token(upgrade):
            raise Invalid(f"invalid protocol to upgrade to: {upgrade!r}")
        if method != _OPTIONS:
            _check_no_row(method, str(target))
        return cls(method, str(target), _whole_headers(request.meta), upgrade)

    def head(self, host: bytes, *, upload: bool) -> bytes:
        """Return the head as it is written; upload: whether a chunked body follows."""
        headers: Headers = [(b"Host", host), *self.headers]
        headers += [_SWITCHING, (b"Upgrade", self.upgrade.encode())] if self.upgrade else [(b"Connection", b"close")]
        if upload:
            headers += _UPLOAD
        elif self.method in _WITH_BODY:
            headers.append((b"Content-Length", b"0"))
        return request_head(self.method, self.target, headers)


def _check_no_row(method: str, target: str) -> None:
    try:
        row = table.route(method, target).row
    except table.NoRow:
        return
    raise Invalid(f"{method} {target} is the operation {row.name}, which has a request of its own")


def _whole_headers(meta: Meta) -> Headers:
    headers = _trace(meta)
    for name, value in meta.headers:
        if not _is_token(name) or name.lower().encode() in _ITS_OWN:
            raise Invalid(f"the header {name!r} can't be forwarded")
        headers.append((name.encode(), _header_value(name, value)))
    return headers


def _is_token(text: Any) -> bool:
    return isinstance(text, str) and text.isascii() and TOKEN.fullmatch(text.encode()) is not None
