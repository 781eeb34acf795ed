"""The stage `web`: it serves a live page about the chain, and forwards every request as it is."""

from __future__ import annotations

import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from swarmlib import Filter, Invalid, argument, option
from swarmlib.net.address import Address
from swarmlib.net.listening import Risk
from swarmlib.net.tls import server_context
from swarmlib.options import Reader

from .. import control
from ..observe.endpoint import Endpoint
from ..observe.observation import observed
from .pages import Pages

MIN_TOKEN: Final = 16
"""The least characters of a token: nobody guesses one."""
_RISK: Final = Risk("see calls and logs", "use tls:// with --cert, --key and --token-file")


class _Address(Address):
    schemes = ("tcp", "tls", "unix")


@dataclass
class Web(Filter):
    """Serves a live page about the whole chain: calls as they happen, engines, containers and their logs, tenants.

    Only this machine reaches the page, and it changes nothing, unless you allow that. Other machines, and viewers who
    approve held calls, must present a token, which the page asks for. Bodies are shown without secrets.

    The page asks for containers and logs what follows it in the chain, as a client of its own: a policy that follows
    it judges its viewers.

    web tcp://127.0.0.1:8080
    """

    address: Annotated[str | Address, Reader(_Address.read)] = argument(
        "address to listen on: tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH"
    )
    token_file: str = option(
        f"file with the token that viewers must present, {MIN_TOKEN} characters or more", default="", metavar="FILE"
    )
    approve: bool = option("let viewers approve and deny held calls; requires --token-file", default=False)
    cert: str = option("tls: certificate of this server", default="", metavar="FILE")
    key: str = option("tls: key of this server", default="", metavar="FILE")
    insecure: bool = option("let other machines connect without TLS; requires --token-file", default=False)
    allow_host: list[str] = option(
        "name that browsers may use for this server (header Host)", default=[], metavar="HOST"
    )

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        self._address = _Address.read(self.address)
        for flag in ("approve", "insecure"):
            if getattr(self, flag) and not self.token_file:
                raise Invalid(f"--{flag} requires --token-file")
        if self._address.scheme == "tls" and not (self.cert and self.key):
            raise Invalid("tls:// requires --cert and --key")

    async def preflight(self) -> None:
        """See `Backend.preflight`."""
        self._endpoint().check()

    def _endpoint(self) -> Endpoint:
        token = _token(Path(self.token_file)) if self.token_file else ""
        tls = server_context(self.cert, self.key) if self._address.scheme == "tls" else None
        exposed = bool(token) and (tls is not None or self.insecure)
        return Endpoint(self.name, self._address, self.allow_host, exposed, _RISK, tls, token)

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Serve the page."""
        endpoint = self._endpoint()
        pages = Pages(observed(self.name), control.current(), self.next, may_approve=self.approve)
        async with endpoint.serving(pages.answer):
            yield


def _token(file: Path) -> str:
    """Read the token.

    Raises:
        Invalid: the file can't be read, can be read by others, or has no token that is long enough.
    """
    try:
        mode = file.stat().st_mode
        text = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise Invalid(f"can't read the token: {exc}") from exc
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Invalid(f"{file} can be read or changed by other users: expected mode 0600")
    if len(text) < MIN_TOKEN or not text.isascii() or not text.isprintable() or " " in text:
        raise Invalid(f"{file} must contain a token of {MIN_TOKEN} ASCII characters or more, without spaces")
    return text
