"""What travels towards the engines: a verb, the object that it is about, and what the operation needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, Final, TypeAlias

import trio

from .names import check_path
from .reply import NOBODY, ReplySender
from .values import Json

Path: TypeAlias = tuple[str, ...]


class Verb(StrEnum):
    """What a request asks."""

    SPAWN = "spawn"
    ATTACH = "attach"
    START = "start"
    STOP = "stop"
    LS = "ls"
    GET = "get"
    SET = "set"
    RM = "rm"
    WATCH = "watch"
    CONNECT = "connect"
    FILE = "file"


CONVERSATIONS: Final = frozenset({Verb.ATTACH, Verb.WATCH})
"""The verbs whose replies go on after the `ack`, until the end or an `error`, which says that they broke off."""


@dataclass(frozen=True, slots=True, repr=False)
class Meta:
    """What is known about a call beside the operation's own parameters. No parameter of a client's can set it.

    Attributes:
        caller: who asks, as the source that took the request knows: `cert:NAME` by a TLS certificate, `uid:N` by a unix
            socket, `ip:ADDRESS` by a plain TCP connection; "" where it doesn't know. A wire peer can't set it: it is
            that peer itself.
        version: the version of the API that the client speaks; "" where it says none.
        headers: what the client's protocol says beside the parameters and belongs to the operation, such as credentials
            for a registry. The names are in lower case.
    """

    caller: str = ""
    version: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    def header(self, name: str) -> str | None:
        """The value of a header, the first where it is repeated; None where it is missing."""
        for known, value in self.headers:
            if known == name:
                return value
        return None

    def replace(
        self,
        *,
        caller: str | None = None,
        version: str | None = None,
        headers: tuple[tuple[str, str], ...] | None = None,
    ) -> Meta:
        """A copy with some fields changed."""
        return Meta(
            self.caller if caller is None else caller,
            self.version if version is None else version,
            self.headers if headers is None else headers,
        )

    def __repr__(self) -> str:
        """Without the values of headers: reprs end in tracebacks and logs, where no secret may be."""
        return f"<Meta caller={self.caller!r} version={self.version!r} headers={[name for name, _ in self.headers]}>"


NO_META: Final = Meta()


class _Kept(Enum):
    """Stands for a field that `Request.replace` leaves as it is, where None is a value; and for who keeps a request."""

    KEPT = "kept"


_KEPT: Final = _Kept.KEPT


@dataclass(slots=True, repr=False)
class Request:
    """A request. It is not changed by who receives it, who may pass on a copy (`replace`).

    Attributes:
        path: the object below the service that the request is sent to; `()` is the service itself. It is checked when
            the request is made (`swarmlib.names`).
        params: the operation's parameters; the values are what msgpack can carry.
        body: the object that the verb speaks of.
        upload: a byte stream that travels with the request. Who receives the request closes it.
        meta: what is known about the call.
        deadline: on trio's clock; when it passes, the work is cancelled and answered `timeout`.
        reply: where the replies go. Nobody waits for those of a request that has not been sent yet (`ask`).

    Raises:
        Invalid, TooLarge: the path is not one (`swarmlib.names.check_path`).
    """

    verb: Verb
    path: Path = ()
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    body: Json | None = None
    upload: trio.abc.ReceiveStream | None = None
    meta: Meta = NO_META
    deadline: float = math.inf
    reply: ReplySender = NOBODY

    def __post_init__(self) -> None:
        if self.path:
            check_path(self.path)

    @property
    def json(self) -> Any:
        """The decoded body; None where the request has none.

        Raises:
            Invalid: the body is not JSON.
        """
        return None if self.body is None else self.body.data

    def keep(self) -> None:
        """Say that a filter holds this request beyond its `send`, and will answer it or pass it on later."""
        self.reply.pass_to(_KEPT)

    def replace(
        self,
        *,
        verb: Verb | None = None,
        path: Path | None = None,
        params: Mapping[str, Any] | None = None,
        body: Json | _Kept | None = _KEPT,
        upload: trio.abc.ReceiveStream | _Kept | None = _KEPT,
        meta: Meta | None = None,
        deadline: float | None = None,
        reply: ReplySender | None = None,
    ) -> Request:
        """A copy with some fields changed; the original stays as it is for whoever else holds it."""
        return Request(
            self.verb if verb is None else verb,
            self.path if path is None else path,
            self.params if params is None else params,
            self.body if body is _KEPT else body,
            self.upload if upload is _KEPT else upload,
            self.meta if meta is None else meta,
            self.deadline if deadline is None else deadline,
            self.reply if reply is None else reply,
        )

    def __repr__(self) -> str:
        """What it is about; of parameters only the names, as reprs end in tracebacks and logs."""
        return f"<Request {self.verb} {'/'.join(self.path)!r} params={list(self.params)} body={self.body!r}>"


Sender: TypeAlias = trio.abc.SendChannel[Request]
