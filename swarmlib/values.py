"""Values of requests and replies: JSON that is decoded only where it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, Self

import orjson

from .errors import Invalid, SwarmError

_UNDECODED: Final[Any] = object()


class Json:
    """A JSON value that keeps the bytes in which it came, and is decoded only when `data` is read.

    >>> Json.from_data({"Id": "web"}).raw
    b'{"Id":"web"}'
    """

    __slots__ = ("_data", "_raw", "_wrong")

    def __init__(self, raw: bytes, wrong: Callable[[str], SwarmError] = Invalid) -> None:
        """Keep bytes that are not decoded yet.

        wrong: makes the error that `data` raises if they are not JSON: a `BadAnswer` if they came from a backend.
        """
        self._raw: bytes | None = raw
        self._data: Any = _UNDECODED
        self._wrong = wrong

    @classmethod
    def from_data(cls, data: Any) -> Self:
        """Make the JSON value of `data`, which is encoded when its bytes are read."""
        value = cls(b"")
        value._raw = None
        value._data = data
        return value

    @property
    def raw(self) -> bytes:
        """The bytes as they came, or as `data` encodes.

        Raises:
            Invalid: `data` is not something that JSON can express.
        """
        if self._raw is None:
            try:
                self._raw = orjson.dumps(self._data)
            except TypeError as exc:
                raise Invalid(f"invalid JSON value: {exc}") from exc
        return self._raw

    @property
    def held(self) -> int:
        """The number of bytes in which it came; 0 for data of this process that is not encoded yet."""
        return len(self._raw or b"")

    @property
    def data(self) -> Any:
        """The decoded value. It is shared: copy before changing it.

        Raises:
            Invalid: the bytes are not JSON; the error says where. (BadAnswer, if they came in a peer's reply.)
        """
        if self._data is _UNDECODED:
            try:
                self._data = orjson.loads(self._raw or b"")
            except orjson.JSONDecodeError as exc:
                raise self._wrong(f"the body is not JSON: {exc}") from exc
        return self._data

    def __repr__(self) -> str:
        """Show the size only: reprs end up in tracebacks and logs, where no secret may appear."""
        return "Json(not encoded)" if self._raw is None else f"Json({self.held} bytes)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Json) and (self.raw == other.raw or self.data == other.data)

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # equal values may have different bytes


def as_json(value: Any) -> Json | None:
    """Convert JSON data to `Json`; `Json` and None stay as they are."""
    return value if value is None or isinstance(value, Json) else Json.from_data(value)
