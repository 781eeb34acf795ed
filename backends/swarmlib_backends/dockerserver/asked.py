"""What the head of a request asks for, whoever sends it. A head that is repeated is admitted, routed and put into
canonical form once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from swarmlib import Json, Meta, Request
from swarmlib.net import callers
from swarmlib.trace_context import PARENT, STATE, TraceContext

from ..dockerapi import table
from ..dockerapi.canonical import canonical
from ..dockerapi.rows import TRACE_HEADERS, Kind, Row
from ..http.admission import bearer, check_head
from ..http.head import Head
from ..http.repeated import RepeatedHeads, is_plain
from .admission import check_type
from .exchange import CONVERSATIONS, ClientExchange

_OPTIONS: Final = "OPTIONS"
_UPGRADE: Final = b"upgrade"
_USUAL: Final = (b"content-type", b"application/json")
_WHOLE_HEADERS: Final = frozenset({b"content-type", b"content-encoding"}) | TRACE_HEADERS
_WHOLE_PREFIXES: Final = (b"accept", b"x-registry-", b"x-docker-expose-session-")
"""The headers that are forwarded with a request that has no row."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a head asks for. headers: those that are forwarded."""

    route: table.Route
    headers: tuple[tuple[str, str], ...]
    is_repeated: bool = False
    """Whether the head is remembered: all of the request but who sends it, with its parameters in canonical form."""

    def request(self, caller: str, exchange: ClientExchange, body: bytes = b"") -> Request:
        """Return the request of an exchange, in canonical form.

        Raises:
            Invalid, TooLarge: a parameter or the body is wrong.
        """
        route = self.route
        if self.is_repeated:
            meta = _plain_meta(caller, route.version)
            return Request(route.row.verb, route.path, route.params, None, meta, reply=exchange)
        meta = _meta(caller, route.version, self.headers)
        params = route.params
        if exchange.upgrade and route.row.kind is Kind.WHOLE:
            params = {**params, "upgrade": exchange.protocol}
        given = Json(body) if body else None
        made = Request(route.row.verb, route.path, params, given, meta, upload=exchange.upload, reply=exchange)
        return canonical(made)


class HeadReader:
    """Reads the heads that come to the listeners of one kind.

    hosts: the names that clients may use for this server; None for any. tokens: whether a request that presents a
    bearer token is the caller's whom that names.
    """

    def __init__(self, hosts: Collection[str] | None = None, *, tokens: bool = False) -> None:
        self.repeated_heads = RepeatedHeads()
        self._hosts = hosts
        self._tokens = tokens

    def read(self, head: Head) -> Asked:
        """Return what a head asks for.

        Raises:
            SwarmError: the request is refused for what its head says.
        """
        if isinstance(head.meaning, Asked):
            return head.meaning
        check_head(head, self._hosts)
        if head.has_body:
            check_type(head)
        found = _route(head)
        return Asked(found, _kept(head, found.row))

    def remember(self, data: bytes, head: Head, asked: Asked, request: Request) -> None:
        """Remember a head, of which `data` is all, and what it asks for, if `request` is no more than its row, path and
        parameters.
        """
        if asked.route.row.kind in CONVERSATIONS or request.upload or asked.headers or not is_plain(head):
            return
        route = replace(asked.route, path=request.path, params=request.params)
        self.repeated_heads.remember(data, head, Asked(route, (), is_repeated=True))

    def caller(self, head: Head, sender: str) -> str:
        """Return whose request it is: `sender`'s, unless a token says another. Raise Invalid for a malformed one."""
        token = bearer(head) if self._tokens else None
        return sender if token is None else callers.by_token(token)


def _route(head: Head) -> table.Route:
    if head.method == _OPTIONS:
        return table.whole(head.method, head.target)  # an engine answers it on every path, or a stage before it judges
    try:
        return table.route(head.method, head.target)
    except table.NoRow:
        return table.whole(head.method, head.target)


def _kept(head: Head, row: Row) -> tuple[tuple[str, str], ...]:
    """Return the headers that are forwarded with a request."""
    if row.kind is Kind.WHOLE:
        found = [header for header in head.headers if _is_kept_with_whole(header[0].lower())]
    else:
        kept = row.kept_headers
        if _UPGRADE in kept and _UPGRADE not in (head.get(b"connection") or b"").lower():
            kept -= {_UPGRADE}  # an engine heeds it, where it matters, only if the connection has that option
        found = [header for header in head.headers if header[0].lower() in kept]
        if found and not row.upload:
            found = [(name, value) for name, value in found if (name.lower(), value) != _USUAL]
    return tuple((name.lower().decode("latin-1"), value.decode("latin-1")) for name, value in found) if found else ()


def _is_kept_with_whole(lower: bytes) -> bool:
    return lower in _WHOLE_HEADERS or lower.startswith(_WHOLE_PREFIXES)


def _meta(caller: str, version: str, kept: tuple[tuple[str, str], ...]) -> Meta:
    """Return what is known of a call, of whose headers those that are `kept` may tell to which trace it belongs."""
    if not kept:  # as of most calls
        return _plain_meta(caller, version)
    parents, states = ([value for name, value in kept if name == header] for header in (PARENT, STATE))
    others = tuple(header for header in kept if header[0] not in (PARENT, STATE))
    return Meta(caller, version, others, TraceContext.read(parents, states))


_plain_meta: Final = lru_cache(maxsize=256)(Meta)
"""The meta of a call without headers, which many calls share."""
