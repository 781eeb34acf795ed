"""Values that travel: JSON that is decoded only where somebody looks at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, Self

import orjson

from .errors import Invalid, SwarmError

_UNDECODED: Final[Any] = object()


class Json:
    """A JSON value that keeps the bytes that it came in, and is decoded only by who looks at `data`.

    >>> Json.from_data({"Id": "web"}).raw
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
    def from_data(cls, data: Any) -> Self:
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


def as_json(value: Any) -> Json | None:
    """JSON data as `Json`; `Json` and None as they are."""
    return value if value is None or isinstance(value, Json) else Json.from_data(value)
