"""The control of a running swarmd: what its stages offer to its operator, and the private socket that leads there.

A stage offers a `Server` for one kind of objects, such as the calls that wait for approval, while it is open:

    async with offering("held", Held(self)):
        yield

The operator's commands reach it by swarmlib's own messages, whose path begins with the kind: `ls held`,
`start held/ID`.
Where nobody holds a desk (a chain in a Python program), an offer does nothing.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from swarmlib import Ambiguous, Chain, Handler, Invalid, NotFound, Request, Sender, Server, Unhandled, Verb
from swarmlib.asking import call
from swarmlib.net.address import DialAddress
from swarmlib.net.dialling import dial
from swarmlib.suggestions import nearest
from swarmlib.wire.connection import open_connection

from .listen import Listen

_log = logging.getLogger(__name__)


@dataclass
class Desk(Server):
    """Takes the operator's requests to the stages that offer what they are about, and lists what is offered (`ls`).

    Attributes:
        offers: the channels of what is offered, by kind.
        needed: the kinds that an operator must be able to reach; the others are told where that is possible.
    """

    offers: dict[str, list[Sender]] = field(default_factory=dict[str, list[Sender]])
    needed: set[str] = field(default_factory=set[str])

    def add(self, kind: str, offer: Sender, *, needed: bool = True) -> None:
        """Add the offer of a stage."""
        self.offers.setdefault(kind, []).append(offer)
        if needed:
            self.needed.add(kind)

    def remove(self, kind: str, offer: Sender) -> None:
        """Remove the offer of a stage that closes."""
        self.offers[kind].remove(offer)
        if not self.offers[kind]:
            del self.offers[kind]
            self.needed.discard(kind)

    def choose(self, request: Request) -> Handler:
        """See `Server.choose`."""
        return self._take

    async def ask(self, request: Request) -> Any:
        """Ask the stages in this process, and return the answer's value; None if nothing of the kind is offered.

        Raises:
            SwarmError: the error of the stage that answers.
        """
        if request.path[0] not in self.offers:
            return None
        async with self.open(Unhandled()) as sender:
            return (await call(sender, request)).value

    async def _take(self, request: Request) -> object:
        if not request.path and request.verb is Verb.LS:
            return sorted(self.offers)
        kind = request.path[0] if request.path else ""
        offers = self.offers.get(kind, [])
        if not offers:
            raise NotFound(f"no stage of this chain has {kind or 'nothing'}; {nearest(kind, sorted(self.offers))}")
        if len(offers) == 1:
            return await self.forward(request, offers[0])
        if request.verb is Verb.LS:
            return [each for offer in offers for each in (await call(offer, request)).value]
        return await self._find(request, offers)

    @staticmethod
    async def _find(request: Request, offers: list[Sender]) -> object:
        """Ask the stages for an object one by one; what has no id yet can't be asked of several."""
        if len(request.path) == 1:
            raise Ambiguous(f"{len(offers)} stages of this chain have {request.path[0]}: there must be one")
        for offer in offers[:-1]:
            try:
                return (await call(offer, request)).value
            except NotFound:
                continue
        return (await call(offers[-1], request)).value


async def listed(desk: Desk | None, kind: str) -> list[Any]:
    """Return all objects of a kind that the stages offer; none where there is no desk, or no stage offers them.

    Raises:
        SwarmError: the error of a stage.
    """
    return [] if desk is None else await desk.ask(Request(Verb.LS, (kind,))) or []


_desk: ContextVar[Desk | None] = ContextVar("desk", default=None)


def current() -> Desk | None:
    """Return the desk of the chain whose stage reads this; None where nobody holds one."""
    return _desk.get()


@contextmanager
def desk() -> Generator[Desk]:
    """Hold a desk, which takes the offers of the chains that are opened in this context."""
    held = Desk()
    token = _desk.set(held)
    try:
        yield held
    finally:
        _desk.reset(token)


@asynccontextmanager
async def offering(kind: str, server: Server, *, needed: bool = True) -> AsyncGenerator[None]:
    """Offer to the operator what `server` answers, in requests whose path begins with `kind`.

    needed: the chain must not run where its operator can't reach it.
    """
    held = _desk.get()
    if held is None:
        yield
        return
    async with server.open(Unhandled()) as offer:
        held.add(kind, offer, needed=needed)
        try:
            yield
        finally:
            held.remove(kind, offer)


def folder() -> Path:
    """Return the folder of the sockets by which this user controls the swarmd processes of this machine.

    Raises:
        Invalid: there is no private one, so that a path must be given.
    """
    if sys.platform == "win32":
        raise Invalid("a running swarmd can't be controlled on Windows: it has no unix sockets here")
    if os.getuid() == 0:
        return Path("/run/swarmd")
    if home := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(home, "swarmd")
    raise Invalid("XDG_RUNTIME_DIR is not set: give the path of the control socket with --control")


@asynccontextmanager
async def serving(desk: Desk, path: Path | None) -> AsyncGenerator[Path | None]:
    """Serve a desk on a unix socket that only this user can open (mode 0600), and yield its path.

    path: where; None for one in `folder()` that is named for this process. It is left out, with a warning, if there is
        no private folder, and nothing is offered that is needed.

    Raises:
        Invalid: there is no private folder, and a stage offers something that its operator needs.
        Unavailable: the socket can't be bound.
    """
    if path is None and not desk.offers:
        yield None
        return
    try:
        path = path or _made(folder()) / f"{os.getpid()}.sock"
    except Invalid as exc:
        if desk.needed:
            raise
        _log.warning("there is no control socket, so that `swarmd status` can't see this chain: %s", exc.message)
        yield None
        return
    async with Chain(Listen([f"unix://{path}"]), desk).open():
        yield path


def _made(path: Path) -> Path:
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as exc:
        raise Invalid(f"can't make the folder of control sockets: {exc}; give a path with --control") from exc
    return path


async def found(kind: str) -> Path:
    """Return the control socket of the only swarmd that this user can control here, and that offers a kind of objects.

    Raises:
        Invalid: there is none, or more than one.
    """
    where = folder()
    sockets = sorted(each for each in where.glob("*.sock") if _answers(each))
    if not sockets:
        raise Invalid(f"no swarmd to control is running: there is no socket in {where}")
    if len(sockets) > 1:
        sockets = [each for each in sockets if kind in await ask(each, Request(Verb.LS))] or sockets
    if len(sockets) > 1:
        raise Invalid(f"several swarmd are running: choose one with --control: {', '.join(map(str, sockets))}")
    return sockets[0]


def _answers(path: Path) -> bool:
    """Return whether somebody listens: a swarmd that was killed leaves its socket behind."""
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(os.fspath(path)) == 0


async def ask(path: Path, request: Request) -> Any:
    """Ask the swarmd behind a control socket; return the answer's value.

    Raises:
        Unavailable: nobody listens there.
        SwarmError: the error of the stage that answers.
    """
    address = DialAddress.read(f"unix://{await trio.Path(path).absolute()}")
    async with (
        dial(address, tls=None, program=()) as stream,
        open_connection(stream, service=None, initiator=True, peer="swarmd") as connection,
    ):
        return (await call(connection.sender, request)).value
