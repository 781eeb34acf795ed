"""Who calls the cluster: a token, a token in a file that is read again, a name with a password, or nobody."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from swarmlib import Denied

from .tls import Pem

Headers: TypeAlias = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Shown:
    """What is shown to the cluster for a call: headers, and a certificate with its key instead of the access's own."""

    headers: Headers = field(default=(), repr=False)
    certificate: Pem | None = None
    key: Pem | None = None


NOTHING: Final = Shown()


class Credentials(Protocol):
    """Where that comes from which is shown to the cluster."""

    async def shown(self) -> Shown:
        """Return what is shown for a call.

        Raises:
            SwarmError: there are no valid credentials, and why.
        """
        ...

    def refused(self, shown: Shown) -> bool:
        """Take note that the cluster refused these (401), and return whether others may be shown now."""
        ...


@dataclass(frozen=True)
class Fixed:
    """Always the same; by default nothing, but perhaps the certificate of the access."""

    always: Shown = NOTHING

    async def shown(self) -> Shown:
        """See `Credentials.shown`."""
        return self.always

    def refused(self, shown: Shown) -> bool:
        """See `Credentials.refused`."""
        return False


@dataclass(frozen=True)
class TokenFile:
    """A bearer token in a file, which is read for each call: such tokens are replaced while they are used.

    path: the file. what: names it in errors. token: used while the file can't be read; "" for none.
    """

    path: Path
    what: str
    token: str = field(default="", repr=False)

    async def shown(self) -> Shown:
        """See `Credentials.shown`. Raises Denied if there is no token."""
        return Shown(bearer(self._read()))

    def refused(self, shown: Shown) -> bool:
        """See `Credentials.refused`."""
        return bearer(self._read()) != shown.headers

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


def bearer(token: str) -> Headers:
    """Return the headers that show a token."""
    return (("Authorization", f"Bearer {token}"),)


def basic(username: str, password: str) -> Headers:
    """Return the headers that show a name and a password."""
    pair = base64.b64encode(f"{username}:{password}".encode()).decode()
    return (("Authorization", f"Basic {pair}"),)
