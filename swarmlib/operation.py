"""An operation, as data: a verb, the object that it is about, what it needs, and what is known about the call.

Imports no trio.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .names import Path, check_path
from .values import Json
from .verbs import Verb


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
        """Give the value of a header, the first where it is repeated; None where it is missing."""
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
        """Make a copy with some fields changed."""
        return Meta(
            self.caller if caller is None else caller,
            self.version if version is None else version,
            self.headers if headers is None else headers,
        )

    def __repr__(self) -> str:
        """Without the values of headers: reprs end in tracebacks and logs, where no secret may be."""
        return f"<Meta caller={self.caller!r} version={self.version!r} headers={[name for name, _ in self.headers]}>"


NO_META: Final = Meta()


@dataclass(slots=True, repr=False)
class Operation:
    """What a request asks: all of it that is plain data.

    Attributes:
        path: the object below the service that the request is sent to; `()` is the service itself. It is checked when
            the operation is made (`swarmlib.names`).
        params: the operation's parameters; the values are what msgpack can carry.
        body: the object that the verb speaks of.
        meta: what is known about the call.
        deadline: on trio's clock; when it passes, the work is cancelled and answered `timeout`.

    Raises:
        Invalid, TooLarge: the path is not one (`swarmlib.names.check_path`).
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
        """Tell what it is about; of parameters only the names, as reprs end in tracebacks and logs."""
        about = f"{self.verb} {'/'.join(self.path)!r} params={list(self.params)} body={self.body!r}"
        return f"<{type(self).__name__} {about}>"
