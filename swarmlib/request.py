"""Requests, which travel towards the engines: an operation with the streams and replies that belong to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

import trio

from .names import Path
from .operation import Meta, Operation
from .reply_channel import NOBODY, ReplySender
from .values import Json
from .verbs import Verb


class _Kept(Enum):
    """Stands for a field that `Request.replace` leaves as it is, where None is a value; and for the owner of a request
    that a filter keeps.
    """

    KEPT = "kept"


_KEPT: Final = _Kept.KEPT


@dataclass(slots=True, repr=False)
class Request(Operation):
    """A request. Whoever receives it must not change it, but may forward a copy (`replace`).

    Attributes:
        verb, path, params, body, meta, deadline: see `Operation`.
        upload: a byte stream that travels with the request. Whoever receives the request closes it.
        reply: where the replies go. Nobody waits for those of a request that has not been sent yet (`ask`).

    Raises:
        Invalid, TooLarge: the path is not valid (`swarmlib.names.check_path`).
    """

    upload: trio.abc.ReceiveStream | None = None
    reply: ReplySender = NOBODY

    @classmethod
    def of(
        cls, asked: Operation, *, upload: trio.abc.ReceiveStream | None = None, reply: ReplySender = NOBODY
    ) -> Request:
        """Make the request for an operation. Raises as the class does."""
        return cls(asked.verb, asked.path, asked.params, asked.body, asked.meta, asked.deadline, upload, reply)

    def keep(self) -> None:
        """Declare that a filter keeps this request after its `send` returns, and will answer or forward it later."""
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
        """Make a copy with some fields changed; the original stays as it is for whoever else holds it."""
        return Request(
            self.verb if verb is None else verb,
            self.path if path is None else path,
            self.params if params is None else params,
            self.body if body is _KEPT else body,
            self.meta if meta is None else meta,
            self.deadline if deadline is None else deadline,
            self.upload if upload is _KEPT else upload,
            self.reply if reply is None else reply,
        )


Sender: TypeAlias = trio.abc.SendChannel[Request]
Handler: TypeAlias = Callable[[Request], Awaitable[Any]]
"""Handles a request: one of a `Server`'s methods."""
