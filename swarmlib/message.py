"""Message and verbs: the one thing that travels between backends (design, section 4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeAlias

import orjson
import trio

from .errors import Invalid, SwarmError
from .names import check_path

if TYPE_CHECKING:
    from .channel import Reply, Sender

Path: TypeAlias = tuple[str, ...]


class Verb(StrEnum):
    """What a message asks (the first twelve) or answers (the last four; `set` and `log` do both)."""

    SPAWN = "spawn"
    ATTACH = "attach"
    START = "start"
    STOP = "stop"
    LS = "ls"
    GET = "get"
    SET = "set"
    RM = "rm"
    LOG = "log"
    WATCH = "watch"
    CONNECT = "connect"
    FILE = "file"
    ACK = "ack"
    ERROR = "error"


REQUESTS: Final = frozenset(Verb) - {Verb.ACK, Verb.ERROR}
REPLIES: Final = frozenset({Verb.ACK, Verb.SET, Verb.LOG, Verb.ERROR})
FINAL: Final = frozenset({Verb.ACK, Verb.ERROR})
"""The replies of which every request gets exactly one."""
CONVERSATIONS: Final = frozenset({Verb.ATTACH, Verb.WATCH})
"""The requests whose replies go on after the `ack`, until the end or an `error`, which says that they broke off."""

CALLER: Final = ":caller"
"""The arg of a request that says who asks, as the source that took it knows: `cert:NAME` by a TLS certificate, `uid:N`
by a unix socket, `ip:ADDRESS` by a plain TCP connection. Nothing that a client sends can set it.
"""

_UNDECODED: Final[Any] = object()


class Json:
    """A JSON value that keeps the bytes that it came in, and is decoded only by who looks at `data`.

    >>> Json.of({"Id": "web"}).raw
    b'{"Id":"web"}'
    """

    __slots__ = ("_data", "_raw", "_wrong")

    def __init__(self, raw: bytes, wrong: Callable[[str], SwarmError] = Invalid) -> None:
        """Keep bytes that nobody has looked at yet.

        wrong: makes the error that `data` raises where they are no JSON: a `BadAnswer` where a backend has said them.
        """
        self._raw: bytes | None = raw
        self._data: Any = _UNDECODED
        self._wrong = wrong

    @classmethod
    def of(cls, data: Any) -> Self:
        """The JSON of `data`, encoded when its bytes are asked for."""
        value = cls(b"")
        value._raw = None
        value._data = data
        return value

    @property
    def raw(self) -> bytes:
        """The bytes as they came, or as `data` encodes.

        Raises:
            Invalid: `data` is nothing that JSON can express.
        """
        if self._raw is None:
            try:
                self._raw = orjson.dumps(self._data)
            except TypeError as exc:
                raise Invalid(f"not a JSON value: {exc}") from exc
        return self._raw

    @property
    def held(self) -> int:
        """How many bytes it came in; 0 for data of this process that is not encoded yet."""
        return len(self._raw or b"")

    @property
    def data(self) -> Any:
        """The decoded value. It is shared: copy before changing it.

        Raises:
            Invalid: the bytes are not JSON; the error says where. (BadAnswer, if they came in a reply of a peer's.)
        """
        if self._data is _UNDECODED:
            try:
                self._data = orjson.loads(self._raw or b"")
            except orjson.JSONDecodeError as exc:
                raise self._wrong(f"the body is not JSON: {exc}") from exc
        return self._data

    def __repr__(self) -> str:
        """Its size only: reprs end in tracebacks and logs, where no secret may be."""
        return "Json(not encoded)" if self._raw is None else f"Json({self.held} bytes)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Json) and (self.raw == other.raw or self.data == other.data)

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # equal values may have different bytes


@dataclass(slots=True, repr=False)
class Message:
    """A request or a reply.

    Attributes:
        path: the object below the service that the message is sent to; `()` is the service itself. A request's path is
            checked when the request is made (`swarmlib.names`).
        args: small options; the keys are strings, the values what msgpack can carry.
        value: the object that the verb speaks of; the line of a `log`; the error of an `error`.
        ret: of a request, where its replies go. None for a one-way message.
        channel: of an `ack`, the channel to the object that was spawned or attached to.
        att: a byte stream that travels with the message: a `HalfCloseableStream` for a conversation (`connect`),
            any receive stream for bytes one way (`file`). Who receives the message closes it.
        deadline: on trio's clock; when it passes, the work is cancelled and answered `timeout`.

    Raises:
        Invalid, TooLarge: it is a request, and its path is not one (`swarmlib.names.check_path`).
    """

    verb: Verb
    path: Path = ()
    args: Mapping[str, Any] = field(default_factory=dict[str, Any])
    value: Json | bytes | SwarmError | None = None
    ret: Reply | None = None
    channel: Sender | None = None
    att: trio.abc.ReceiveStream | None = None
    deadline: float = math.inf

    def __post_init__(self) -> None:
        if self.path and self.verb is not Verb.ERROR:  # an error speaks of whatever path it was about
            check_path(self.path)

    @property
    def json(self) -> Any:
        """The decoded value; None where the message has none.

        Raises:
            Invalid: the value is not JSON.
        """
        return self.value.data if isinstance(self.value, Json) else None

    @property
    def reply(self) -> Reply:
        """Where the replies go, for what makes no sense without any.

        Raises:
            Invalid: it is a one-way message.
        """
        if self.ret is None:
            raise Invalid(f"{self.verb} needs a channel for its replies")
        return self.ret

    @property
    def error(self) -> SwarmError:
        """The error of an `error` reply.

        Raises:
            TypeError: this message is none.
        """
        if isinstance(self.value, SwarmError):
            return self.value
        raise TypeError(f"a {self.verb} message holds no error")

    def __repr__(self) -> str:
        """What it is about; of args and values only the names and the type, as reprs end in tracebacks and logs."""
        kind = self.value.code if isinstance(self.value, SwarmError) else type(self.value).__name__
        return f"<Message {self.verb} {'/'.join(self.path)!r} args={list(self.args)} value={kind}>"

    def but(self, **changes: Any) -> Message:
        """A copy with some fields changed; the original stays as it is for whoever else holds it."""
        return replace(self, **changes)
