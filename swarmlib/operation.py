"""An operation, as data: a verb, the object that it is about, its parameters, and what is known about the call.

Imports no trio.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .names import Path, check_path
from .trace_context import TraceContext
from .values import Json
from .verbs import Verb


@dataclass(frozen=True, slots=True, repr=False)
class Meta:
    """What is known about a call besides the operation's own parameters. No parameter of a client can set it.

    Attributes:
        caller: who sent the request, as the source that took it knows: `cert:NAME` by a TLS certificate, `uid:N` by a
            unix socket, or `container:ID` if the peer runs in a container, `ip:ADDRESS` by a plain TCP connection,
            `token:DIGEST` by the SHA-256 of a bearer token; "" where it doesn't know. A wire peer can't set it: for its
            requests, the caller is that peer itself.
        version: the version of the API that the client speaks; "" where the client names none.
        headers: headers of the client's protocol that belong to the operation, such as credentials for a registry.
            Their names are in lower case.
        trace: the trace that the call belongs to; None where it belongs to none.
    """

    caller: str = ""
    version: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    trace: TraceContext | None = None

    def header(self, name: str) -> str | None:
        """Return the value of a header: the first if it is repeated, None if it is missing."""
        for known, value in self.headers:
            if known == name:
                return value
        return None

    def of_caller(self) -> Meta:
        """Return the meta of what a stage asks on its own in order to answer this call: it says only who the caller is,
        and to which trace it belongs.

        The headers are about the call's own operation; another one may refuse them.
        """
        return Meta(self.caller, trace=self.trace)

    def replace(
        self,
        *,
        caller: str | None = None,
        version: str | None = None,
        headers: tuple[tuple[str, str], ...] | None = None,
        trace: TraceContext | None = None,
    ) -> Meta:
        """Make a copy with some fields changed."""
        return Meta(
            self.caller if caller is None else caller,
            self.version if version is None else version,
            self.headers if headers is None else headers,
            self.trace if trace is None else trace,
        )

    def __repr__(self) -> str:
        """Leave out the values of headers: reprs end up in tracebacks and logs, where no secret may appear."""
        return f"<Meta caller={self.caller!r} version={self.version!r} headers={[name for name, _ in self.headers]}>"


NO_META: Final = Meta()


@dataclass(slots=True, repr=False)
class Operation:
    """The part of a request that is plain data.

    Attributes:
        path: the object below the service that the request is sent to; `()` is the service itself. It is checked when
            the operation is made (`swarmlib.names`).
        params: the operation's parameters; the values are what msgpack can carry.
        body: the object that the verb is about.
        meta: what is known about the call.
        deadline: on trio's clock; when it passes, the work is cancelled and answered `timeout`.

    Raises:
        Invalid, TooLarge: the path is not valid (`swarmlib.names.check_path`).
    """

    verb: Verb
    path: Path = ()
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    body: Json | None = None
    meta: Meta = NO_META
    deadline: float = math.inf

    def __post_init__(self) -> None:
        if self.path:
            check_path(self.path)

    @property
    def json(self) -> Any:
        """The decoded body; None where there is none.

        Raises:
            Invalid: the body is not JSON.
        """
        return None if self.body is None else self.body.data

    def __repr__(self) -> str:
        """Show the verb, the path and the names of parameters only: reprs end up in tracebacks and logs."""
        about = f"{self.verb} {'/'.join(self.path)!r} params={list(self.params)} body={self.body!r}"
        return f"<{type(self).__name__} {about}>"
