"""Who calls the cluster: a token, a token in a file that is read again, a name with a password, or nobody."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from swarmlib import Denied

from .tls import Tls

Headers: TypeAlias = Sequence[tuple[str, str]]


class Credentials(Protocol):
    """What a request shows of its caller."""

    async def headers(self) -> Headers:
        """Return the headers of a request.

        Raises:
            SwarmError: there are no valid credentials, and why.
        """
        ...

    async def tls(self, tls: Tls) -> Tls:
        """Return the TLS to connect with: `tls`, or the same with the caller's own certificate.

        Raises:
            SwarmError: as for `headers`.
        """
        ...

    def refused(self) -> bool:
        """Take note that the cluster refused them (401), and return whether another try may show others."""
        ...


class Anonymous:
    """No credentials but a client's certificate, if the TLS has one."""

    async def headers(self) -> Headers:
        """See `Credentials.headers`."""
        return ()

    async def tls(self, tls: Tls) -> Tls:
        """See `Credentials.tls`."""
        return tls

    def refused(self) -> bool:
        """See `Credentials.refused`."""
        return False


@dataclass(frozen=True)
class Token(Anonymous):
    """A bearer token."""

    token: str = field(repr=False)

    async def headers(self) -> Headers:
        """See `Credentials.headers`."""
        return (("Authorization", f"Bearer {self.token}"),)


@dataclass(frozen=True)
class TokenFile(Anonymous):
    """A bearer token in a file, which is read for each request: such tokens are replaced while they are used.

    what: names it in errors. token: used while the file can't be read; "" for none.
    """

    path: Path
    what: str
    token: str = field(default="", repr=False)

    async def headers(self) -> Headers:
        """See `Credentials.headers`. Raises Denied if there is no token."""
        return (("Authorization", f"Bearer {self._read()}"),)

    def _read(self) -> str:
        try:
            token, why = self.path.read_text("utf-8").strip(), "it is empty"
        except OSError as exc:
            token, why = "", exc.strerror or type(exc).__name__
        except UnicodeDecodeError:
            token, why = "", "it is not text"
        if not (token or self.token):
            raise Denied(f"can't read a token from {self.what}: {why}")
        return token or self.token


@dataclass(frozen=True)
class Password(Anonymous):
    """A user's name and password."""

    username: str
    password: str = field(repr=False)

    async def headers(self) -> Headers:
        """See `Credentials.headers`."""
        pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return (("Authorization", f"Basic {pair}"),)
