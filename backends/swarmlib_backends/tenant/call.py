"""One call of a tenant: what it asks, the objects that are its own, and how answers come back to it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final

from swarmlib import (
    Ack,
    Answer,
    Conflict,
    Denied,
    Error,
    Json,
    Log,
    Meta,
    NotFound,
    Path,
    Reply,
    Request,
    Sender,
    Server,
    SwarmError,
    Tap,
    Verb,
)
from swarmlib.asking import ask, call, next_reply

from .. import notes
from ..calls import forward, relay
from ..dockerapi.nullable import dict_of
from ..dockerapi.rows import Row
from ..policy import readings
from ..policy.demands import Demand
from ..tars import Rewritten
from .names import Names
from .own import Found, Own
from .quotas import Quotas
from .shapes import Show
from .tenants import Tenancy

_TEXTS: Final = ("body", "line")
"""The details of an error that hold its text in the engine's own bytes."""


@dataclass(frozen=True)
class Call:
    """A call of a tenant.

    Attributes:
        tenancy: the tenant.
        row: the operation.
        request: the request in canonical form, with the tenant in its caller.
        sender: the engine, or whatever comes after the stage.
        quotas: admit what uses something.
    """

    tenancy: Tenancy
    row: Row
    request: Request
    sender: Sender
    quotas: Quotas

    @property
    def names(self) -> Names:
        """The names of the tenant's objects."""
        return self.tenancy.names

    @property
    def meta(self) -> Meta:
        """What is known about the stage's own requests: the caller, and nothing else of the client's."""
        return self.request.meta.of_caller()

    @cached_property
    def own(self) -> Own:
        """The tenant's objects."""
        return Own(self.tenancy, self.sender, self.meta)

    def judge(self, limited: Container[str]) -> None:
        """Refuse what the request demands beyond the harmless, unless it is granted.

        limited: the kinds of demands that the operation itself limits to what is the tenant's.

        Raises:
            Denied: something is not granted; the error names the field, and the line that would grant it.
        """
        for demand in readings.demands(self.row, self.request):
            if demand.kind not in limited:
                self.demand(demand)

    def demand(self, demand: Demand) -> None:
        """Refuse a demand that is not granted. Raises as `judge`."""
        if not self.tenancy.allows(demand):
            value, line = f"{demand.value!r:.80}", self.tenancy.line(demand)
            raise Denied(f"{demand.place} asks for {value}, which {self.tenancy.name} is not granted: {line}")

    async def ask(self, request: Request) -> Any:
        """Ask the engine, and return its answer's value. Raises its error."""
        return (await call(self.sender, request)).value

    async def create(self, name: str, request: Request, exposed: Collection[str] = ()) -> Answer:
        """Have an object created, if the quota has room for it; see `Quotas.create`."""
        return await self.quotas.create(self.names.tenant, name, request, exposed)

    async def remove(self, path: Path) -> Any:
        """Remove an object that a prune is about. Return what the engine says of it; None if it could not be removed,
        because it is used, or gone, by now.
        """
        try:
            return await self.ask(Request(Verb.RM, path, meta=self.meta)) or ()
        except (Conflict, Denied, NotFound):
            return None

    async def forward(self, request: Request, show: Show | None = None) -> Any:
        """Forward a request; each value of the answer is shown to the tenant by its shape, if there is one."""
        return await self.forward_seen(request, None if show is None else partial(show, self.names))

    async def forward_seen(self, request: Request, see: Callable[[Any], Any] | None) -> Any:
        """Forward a request; `see` returns each value as it is shown, or None to hold it back."""

        tap = Tap(request.reply, lambda reply: self.shown(reply, see))
        return await Server.forward(request.replace(reply=tap), self.sender)

    def shown(self, reply: Reply, see: Callable[[Any], Any] | None) -> Reply | None:
        """Return a reply as the tenant sees it; None if `see` holds its value back."""
        if isinstance(reply, Error):
            return Error(self.shown_error(reply.error))
        if isinstance(reply, Log) or see is None or reply.value is None:
            return reply
        value = see(reply.json)
        return None if value is None else reply.replace(value=Json.from_data(value))

    async def relay(self, request: Request, show: Show | None = None) -> None:
        """Send a request, and reply with its answer until that has ended."""
        see = None if show is None else partial(show, self.names)

        async def take(reply: Reply) -> None:
            shown = self.shown(reply, see)
            if shown is not None:
                await forward(shown, self.request.reply)

        await relay(request, self.sender, take)

    async def progress(self, request: Request, see: Callable[[Any], Any]) -> Ack:
        """Send a request, forward what is told of its progress as `see` shows it, and return the final reply.

        Raises:
            SwarmError: the engine's error, or the one for which the request's upload broke off.
        """
        try:
            async with await ask(self.sender, request) as replies:
                while not isinstance(reply := await next_reply(replies), Ack):
                    if (shown := self.shown(reply, see)) is not None:
                        await forward(shown, self.request.reply)
                return reply
        except SwarmError as exc:
            failure = request.upload.failure if isinstance(request.upload, Rewritten) else None
            raise failure or exc from None

    async def reply(self, answer: Answer, show: Show | None = None) -> None:
        """Reply with an answer of the engine, shown as those that are forwarded."""
        for each in (*answer.before, answer.ack):
            shown = self.shown(each, None if show is None else partial(show, self.names))
            if shown is not None:
                await self.request.reply.send(shown)

    def shown_error(self, error: SwarmError) -> SwarmError:
        """Return an error with the tenant's objects named as the tenant knows them."""
        return reworded(error, self.names.in_bytes)

    def at(self, found: Found | None, ref: str) -> Path:
        """Return the request's path with the object's full id; with a name that nothing has if there is no object."""
        kind, _, *rest = self.request.path
        if found is None:
            return (kind, self.names.nobody(ref), *rest)
        id = str(found["Name" if kind == "volumes" else "Id"])
        notes.found(id)
        return (kind, id, *rest)

    def labelled(self, body: dict[str, Any]) -> Json:
        """Return the body of a new object with the tenant's label."""
        return Json.from_data({**body, "Labels": self.names.labelled(dict_of(body.get("Labels")))})


def reworded(error: SwarmError, change: Callable[[bytes], bytes]) -> SwarmError:
    """Return an error with another text, also where it is in the engine's own bytes."""
    details = dict(error.details)
    for name in _TEXTS:
        if isinstance(text := details.get(name), bytes):
            details[name] = change(text)
    message = change(error.message.encode(errors="surrogatepass")).decode(errors="surrogatepass")
    return type(error)(message, backend=error.backend, details=details)
