"""Replies, as data: the answers to a request on their way back to the caller. Imports no trio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from .errors import SwarmError
from .values import Json

if TYPE_CHECKING:
    import trio


@dataclass(slots=True, repr=False)
class Ack:
    """The final reply of success.

    Attributes:
        value: what the service reports about what it did; the object, where no `set` came before.
        details: small facts about the reply, such as a header; the values are what msgpack can carry.
        stream: a byte stream that comes with the reply: a `HalfCloseableStream` for a conversation (`connect`), any
            receive stream for bytes one way (`file`). Whoever receives the reply closes it.
    """

    kind: ClassVar[str] = "ack"
    value: Json | None = None
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    stream: trio.abc.ReceiveStream | None = None

    @property
    def json(self) -> Any:
        """The decoded value; None where the reply has none.

        Raises:
            Invalid, BadAnswer: the value is not JSON (see `Json`).
        """
        return None if self.value is None else self.value.data

    def replace(
        self,
        *,
        value: Json | None = None,
        details: Mapping[str, Any] | None = None,
        stream: trio.abc.ReceiveStream | None = None,
    ) -> Ack:
        """Make a copy with some fields changed."""
        return Ack(
            self.value if value is None else value,
            self.details if details is None else details,
            self.stream if stream is None else stream,
        )

    def __repr__(self) -> str:
        """Show the kind and size only: reprs end up in tracebacks and logs, where no secret may appear."""
        return f"<Ack {self.value!r} details={list(self.details)}>"


@dataclass(slots=True, repr=False)
class Set:
    """An object: the answer, or one of several."""

    kind: ClassVar[str] = "set"
    value: Json | None = None
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def json(self) -> Any:
        """The decoded value. Raises as `Ack.json`."""
        return None if self.value is None else self.value.data

    def replace(self, *, value: Json | None = None, details: Mapping[str, Any] | None = None) -> Set:
        """Make a copy with some fields changed."""
        return Set(self.value if value is None else value, self.details if details is None else details)

    def __repr__(self) -> str:
        """See `Ack.__repr__`."""
        return f"<Set {self.value!r} details={list(self.details)}>"


@dataclass(slots=True, repr=False)
class Log:
    """One line of text, without its line end. `details` say which stream of a program wrote it, and when."""

    kind: ClassVar[str] = "log"
    line: bytes = b""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def replace(self, *, line: bytes | None = None, details: Mapping[str, Any] | None = None) -> Log:
        """Make a copy with some fields changed."""
        return Log(self.line if line is None else line, self.details if details is None else details)

    def __repr__(self) -> str:
        """See `Ack.__repr__`."""
        return f"<Log {len(self.line)} bytes details={list(self.details)}>"


@dataclass(slots=True, repr=False)
class Error:
    """The final reply of failure; after an `Ack`, it says that the conversation broke off."""

    kind: ClassVar[str] = "error"
    error: SwarmError

    def __repr__(self) -> str:
        """See `Ack.__repr__`."""
        return f"<Error {self.error.code}>"


Reply: TypeAlias = Ack | Set | Log | Error
FINAL: Final = (Ack, Error)
"""The replies of which every request gets exactly one."""


def held(reply: Reply) -> int:
    """Return the number of bytes in which a reply's value arrived."""
    if isinstance(reply, Log):
        return len(reply.line)
    return 0 if isinstance(reply, Error) or reply.value is None else reply.value.held
