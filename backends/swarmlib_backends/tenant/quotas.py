"""The admission of the calls that use what a tenant has a quota of."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Self

import trio

from swarmlib import UNSENT, Answer, Denied, Json, Request, Sender, SwarmError, TimedOut, Unavailable, Verb
from swarmlib.asking import call

from ..dockerapi.nullable import list_of
from ..keyed_locks import KeyedLocks
from . import amounts, ports
from .census import Census
from .ledger import Found, Ledger, Ledgers, Ref, Reservation
from .ports import Ports
from .resources import Amounts
from .terms import Terms

_LEFT_SECONDS: Final = 60.0
"""Seconds that a call goes on whose client has left: only its end tells what is used."""


class Quotas:
    """Admits calls: reserves what a call may use, has it carried out, and counts what it has made.

    sender: the stages that lead to the engine. terms_of: gives the terms of a tenant.
    """

    def __init__(
        self,
        sender: Sender,
        terms_of: Callable[[str], Terms],
        nursery: trio.Nursery,
    ) -> None:
        self._sender = sender
        self._nursery = nursery
        self._locks = KeyedLocks[str]()
        self.ledgers = Ledgers(terms_of)
        self.census = Census(sender, self.ledgers)

    @classmethod
    @asynccontextmanager
    async def open(cls, sender: Sender, terms_of: Callable[[str], Terms]) -> AsyncGenerator[Self]:
        """Count what is there, for as long as the context lasts."""
        async with trio.open_nursery() as nursery:
            quotas = cls(sender, terms_of, nursery)
            nursery.start_soon(quotas.census.run)
            yield quotas
            nursery.cancel_scope.cancel()

    async def create(self, tenant: str, name: str, request: Request, exposed: Collection[str] = ()) -> Answer:
        """Have a container, a network or a volume created, with what the tenant's terms give it.

        name: the name that its engine gets. exposed: the ports that a container's image exposes.

        Raises:
            Denied: the quota has no room for it, or the terms don't allow it.
            SwarmError: the engine's error.
        """
        ledger = await self._ledger(tenant)
        kind = request.path[0]
        if kind == "containers":
            asked = ports.asked(request.json, exposed)
            chosen = ledger.ports.choose(ledger.terms.ports, asked, self._ports_of_others(ledger)) if asked else ()
            body = ports.published(ledger.terms.container(request.json), chosen, ledger.terms.address)
            request = request.replace(body=Json.from_data(body))
            held = [ledger.create(kind, name, {kind: 1, "ports": len(chosen)}, chosen)]
            self._reserve_volumes(ledger, body, held)
        elif kind == "networks":
            request = request.replace(body=Json.from_data(ledger.terms.network(request.json)))
            held = [ledger.create(kind, name, {kind: 1})]
        else:
            held = [ledger.reserve((kind, name), {kind: 1})]
        return await self._outlive(lambda: self._create(ledger, name, held, request))

    async def _create(self, ledger: Ledger, name: str, held: Sequence[Reservation], request: Request) -> Answer:
        async with self._locks.of(name):  # an engine that is asked twice at once makes two networks of one name
            return await self._carry_out(ledger, held, request)

    def _ports_of_others(self, ledger: Ledger) -> Collection[int]:
        return {number for each in self.ledgers.all() if each is not ledger for number in each.ports.numbers}

    @staticmethod
    def _reserve_volumes(ledger: Ledger, body: Mapping[str, Any], held: list[Reservation]) -> None:
        """Reserve the volumes that an engine makes for a container, unless they are there already."""
        try:
            for mount in list_of(body["HostConfig"].get("Mounts")):
                if mount.get("Type") == "volume":
                    name = mount.get("Source")
                    one = {"volumes": 1}
                    held.append(ledger.reserve(("volumes", name), one) if name else ledger.create("volumes", "", one))
        except Denied:
            ledger.end(held)
            raise

    async def start(self, tenant: str, id: str, request: Request) -> Answer:
        """Have a container started or restarted. Raises as `create`.

        One that is to be removed at its end is removed if it is denied: its client waits for that.
        """
        return await self._outlive(lambda: self._start(tenant, id, request))

    async def _start(self, tenant: str, id: str, request: Request) -> Answer:
        async with self._locks.of(id):
            ledger = await self._ledger(tenant)
            found, host = await self._inspect(id)
            try:
                reservation = ledger.reserve(("containers", id), {**found.amounts, **amounts.running(host)})
            except Denied:
                if host.get("AutoRemove") and "running" not in found.amounts:  # as an engine after a start that failed
                    await call(self._sender, Request(Verb.RM, ("containers", id), {"v": "1"}))
                raise
            return await self._carry_out(ledger, [reservation], request)

    async def update(self, tenant: str, id: str, request: Request) -> Answer:
        """Have the limits of a container changed. Raises as `create`."""
        return await self._outlive(lambda: self._update(tenant, id, request))

    async def _update(self, tenant: str, id: str, request: Request) -> Answer:
        async with self._locks.of(id):  # else a start could be judged by the limits before
            ledger = await self._ledger(tenant)
            found, host = await self._inspect(id)
            changed = amounts.changed(host, request.json or {})
            used = {**found.amounts, **amounts.running(changed)} if "running" in found.amounts else found.amounts
            reservation = ledger.reserve(("containers", id), used)
            return await self._carry_out(ledger, [reservation], request)

    async def _inspect(self, id: str) -> tuple[Found, Mapping[str, Any]]:
        value = (await call(self._sender, Request(Verb.GET, ("containers", id)))).value
        return amounts.found("containers", value), value["HostConfig"]

    async def ports_of(self, tenant: str) -> Ports:
        """Return the published ports of a tenant."""
        return (await self._ledger(tenant)).ports

    async def _ledger(self, tenant: str) -> Ledger:
        ledger = self.ledgers.of(tenant)
        if ledger.terms.limits or ledger.terms.ports:
            await self.census.complete(tenant)
        return ledger

    async def _carry_out(self, ledger: Ledger, held: Sequence[Reservation], request: Request) -> Answer:
        """Send a request whose effects are reserved. A reservation ends when somebody has seen them.

        held: the reservation for the object that it is about, then those for others.
        """
        first = held[0]
        without_effect, made = False, first.ref
        try:
            answer = await call(self._sender, request)
            if first.creates:
                made = (made[0], amounts.read(amounts.WithId, answer.value)["Id"])
            return answer
        except SwarmError as exc:
            without_effect = first.creates and not _is_uncertain(exc)
            raise
        finally:
            if without_effect:
                ledger.end(held)
            else:
                self._settle(ledger, first, made)
                for each in held[1:]:
                    self._settle(ledger, each, each.ref)

    def _settle(self, ledger: Ledger, reservation: Reservation, ref: Ref) -> None:
        reservation.settle(ref)
        if reservation.creates and ref[0] != "volumes":
            self.census.doubt()  # nobody knows whether it has made something
        else:
            self.census.look_at(ref, ledger.tenant)

    async def _outlive(self, run: Callable[[], Awaitable[Answer]]) -> Answer:
        """Await a call that goes on when the client leaves, as it does at an engine: else what it makes is not counted.

        Raises what it raises.
        """
        result = _Result()
        scope = trio.CancelScope()
        self._nursery.start_soon(result.of, run, scope)
        try:
            return await result.get()
        except trio.Cancelled:
            scope.deadline = trio.current_time() + _LEFT_SECONDS
            raise

    @asynccontextmanager
    async def tagging(self, tenant: str, *tags: str) -> AsyncGenerator[None]:
        """Admit a call that gives images these tags, which is sent in the context.

        Raises:
            Denied: the quota has no room for them.
        """
        ledger = await self._ledger(tenant)
        held = list[Reservation]()
        try:
            for tag in tags:
                held.append(ledger.reserve(("images", tag), {"images": 1}))
        except Denied:
            ledger.end(held)
            raise
        try:
            yield
        finally:
            for each in held:
                each.settle(each.ref)
            self.census.look_at_images()

    def turn(self, name: str) -> AbstractAsyncContextManager[None]:
        """Wait for the turn of a call that uses a name at the engine which no other call may use meanwhile."""
        return self._locks.of(name)

    def usage(self) -> Mapping[str, Mapping[str, Amounts]]:
        """Return what each tenant uses (`Used`), and its limits (`Limits`), by resource: CPUs in billionths, memory in
        bytes.
        """
        ledgers = self.ledgers.all()
        return {each.tenant: {"Used": dict(each.used), "Limits": dict(each.terms.limits)} for each in ledgers}


class _Result:
    """What a call that runs in another task returns or raises."""

    def __init__(self) -> None:
        self._done = trio.Event()
        self._found: Answer | SwarmError | None = None

    async def of(self, run: Callable[[], Awaitable[Answer]], scope: trio.CancelScope) -> None:
        """Keep what a call returns or raises."""
        with scope:
            try:
                self._found = await run()
            except SwarmError as exc:
                self._found = exc
        self._done.set()

    async def get(self) -> Answer:
        """Wait for it."""
        await self._done.wait()
        if isinstance(self._found, Answer):
            return self._found
        raise self._found or Unavailable("the stage was closed during the call")


def _is_uncertain(exc: SwarmError) -> bool:
    """Return whether a call that failed may have had an effect: no engine has said that it had none."""
    details = exc.details
    return isinstance(exc, Unavailable | TimedOut) and not details.get(UNSENT) and "status" not in details
