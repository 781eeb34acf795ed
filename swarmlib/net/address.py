"""Addresses as they are typed: which transport, and where."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Self, TypeAlias

from ..errors import Invalid
from ..options import Reader

_HOST: Final = r"(?:\[(?P<ip>[^\]]+)\]|(?P<host>[^/:@\[\]-][^/:@\[\]]*))"


@dataclass(frozen=True)
class Form:
    """How the addresses of one transport are written: for people, and what follows the `://` of its name."""

    shown: str
    rest: str


FORMS: Final = {
    "tcp": Form("tcp://HOST:PORT", rf"{_HOST}:(?P<port>\d+)/?"),
    "tls": Form("tls://HOST:PORT", rf"{_HOST}:(?P<port>\d+)/?"),
    "unix": Form("unix:///PATH", r"(?P<path>/.+)"),
    "ssh": Form(
        "ssh://[USER@]HOST[:PORT][/SOCKET]", rf"(?:(?P<user>[^/@:]+)@)?{_HOST}(?::(?P<port>\d+))?(?P<path>/.*)?"
    ),
    "fd": Form("fd://[NAME]", r"[\w.-]*"),
}


@dataclass(frozen=True)
class Address:
    """One address; a subclass says of which transports it may be."""

    schemes: ClassVar[tuple[str, ...]] = tuple(FORMS)

    text: str
    scheme: str
    host: str = ""
    port: int = 0
    user: str = ""
    path: str = ""

    @classmethod
    def read(cls, text: str | Address) -> Self:
        """Read an address from its text.

        Raises:
            Invalid: it is no address, or its transport is not allowed here; the error says what would be right.
        """
        text = str(text)
        scheme, _, rest = text.partition("://")
        found = re.fullmatch(FORMS[scheme].rest, rest) if scheme in cls.schemes else None
        if found is None:
            raise Invalid(f"invalid address {text!r}: expected {cls.usage(scheme)}")
        parts = {name: value or "" for name, value in found.groupdict().items()}
        port = int(parts.get("port") or 0)
        if port > 65_535:
            raise Invalid(f"invalid address {text!r}: expected a port up to 65535")
        host = parts.get("ip") or parts.get("host", "")
        try:
            host.encode("idna")
        except UnicodeError as exc:
            raise Invalid(f"invalid address {text!r}: {host!r} is not a host name") from exc
        return cls(text, scheme, host, port, parts.get("user", ""), parts.get("path", ""))

    @classmethod
    def usage(cls, scheme: str = "") -> str:
        """Return the form of `scheme`, else all that are allowed, for people."""
        allowed = (scheme,) if scheme in cls.schemes else cls.schemes
        *most, last = [FORMS[each].shown for each in allowed]
        return f"{', '.join(most)} or {last}" if most else last

    def __str__(self) -> str:
        return self.text


class ListenAddress(Address):
    """Where to listen for sessions."""

    schemes = ("tcp", "tls", "unix", "fd")


class DialAddress(Address):
    """Where to reach who listens."""

    schemes = ("tcp", "tls", "unix", "ssh")


ListenUrl: TypeAlias = Annotated[str | ListenAddress, Reader(ListenAddress.read)]
"""An option that takes where to listen, or its text."""
DialUrl: TypeAlias = Annotated[str | DialAddress, Reader(DialAddress.read)]
"""An option that takes where to reach who listens, or its text."""
