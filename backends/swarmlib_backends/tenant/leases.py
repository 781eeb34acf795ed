"""Leases: tenants for a time. At the end of a lease, everything of its tenant is removed.

A lease lives no longer than the stage, whose endpoint it is. So its tenant's name says enough after a crash: the names
of leases belong to no other tenant, and hold a digest of the machine and the file, so that of several stages over one
engine each removes what its own leases have left behind. No client can set the label with the name.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import secrets
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import trio

from swarmlib import CLEANUP_SECONDS, Conflict, Denied, Invalid, Request, Sender, SwarmError
from swarmlib.errors import ungrouped
from swarmlib.net import callers

from ..control import folder
from . import resources
from .endpoints import endpoint
from .listing import owned
from .removal import remove_all
from .tenants import LEASE, NAME, Tenancy

_log = logging.getLogger(__name__)

Take = Callable[[Tenancy, Request], Awaitable[None]]

_DISCONNECTED_SECONDS: Final = 10.0
"""Seconds after its last connection has gone until a lease ends: a client may come back (as with ryuk)."""
_REMOVAL_SECONDS: Final = 120.0
"""Seconds for the removal of what an ended lease has. What is left then is removed when the stage opens again."""
_SETTLE_SECONDS: Final = 0.2
"""Seconds for the end of a call that was under way when its lease ended."""
_LONGEST_SECONDS: Final = 30 * 86400.0
_MOST: Final = 10_000
"""Leases at the same time."""
_PAUSE_SECONDS: Final = 5.0
"""Seconds before an engine is asked again for what earlier leases have left."""


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody asks for.

    Attributes:
        ttl: seconds until the lease ends.
        name: the end of its tenant's name; "" for any.
        idle: seconds without a call after which it ends; None for never.
        connection: whether it ends when its last connection has gone.
        tcp: the address to listen on, HOST:PORT; "" for a unix socket.
        limits: limits of its quota that replace those of the file.
    """

    ttl: float
    name: str = ""
    idle: float | None = None
    connection: bool = False
    tcp: str = ""
    limits: dict[str, int] = {}

    def check(self) -> None:
        """Raise Invalid if it can't be given."""
        if not 0 < self.ttl <= _LONGEST_SECONDS:
            raise Invalid(f"the time of a lease must be more than 0 s, and at most {_LONGEST_SECONDS:.0f} s")
        if self.idle is not None and not self.idle > 0:
            raise Invalid("the idle time of a lease must be more than 0 s")
        for name, limit in self.limits.items():
            resources.check(name)
            if limit < 0:
                raise Invalid(f"the limit of {name} must be 0 or more, not {limit}")


class Lease:
    """A lease, as long as it lasts."""

    def __init__(self, asked: Asked, tenancy: Tenancy, host: str, token: str) -> None:
        self.tenancy = tenancy
        self.host = host
        self.token = token
        self.ends = trio.current_time() + asked.ttl
        self._asked = asked
        self._connected = 0
        self._busy = 0
        self._idle_since = trio.current_time()
        self._left_at = math.inf
        self._changed = trio.Event()
        self._ended = trio.Event()
        self.removed = trio.Event()
        """Set when everything of it has been removed."""

    def heed(self, connected: int, busy: int) -> None:
        """Heed how many clients are connected, and how many of them have a call under way."""
        now = trio.current_time()
        if self._connected and not connected:
            self._left_at = now
        elif connected:
            self._left_at = math.inf
        if self._busy or busy:
            self._idle_since = now
        self._connected, self._busy = connected, busy
        self._changed.set()

    def check(self, caller: str) -> None:
        """Raise Denied if a caller does not present the lease's token."""
        if self.token and not hmac.compare_digest(caller, callers.by_token(self.token.encode())):
            what = "this address requires the token of its lease: Authorization: Bearer TOKEN"
            raise Denied(what, details={"status": 401})

    def end(self) -> None:
        """End it now."""
        self._ended.set()
        self._changed.set()

    async def over(self) -> str:
        """Wait for its end, and return why it has ended."""
        while True:
            self._changed = trio.Event()
            if self._ended.is_set():
                return "it was ended"
            moment, reason = min(self._ends())
            with trio.move_on_at(moment) as patience:
                await self._changed.wait()
            if patience.cancelled_caught:
                return reason

    def _ends(self) -> list[tuple[float, str]]:
        """Return when it ends if nothing happens until then, and why."""
        found = [(self.ends, "its time has passed")]
        if self._asked.idle is not None and not self._busy:
            found.append((self._idle_since + self._asked.idle, "it was idle"))
        if self._asked.connection:
            found.append((self._left_at + _DISCONNECTED_SECONDS, "its last connection has gone"))
        return found

    def described(self) -> dict[str, Any]:
        """Describe it to whoever asked for it."""
        secret = {"Token": self.token} if self.token else {}
        return {"Tenant": self.tenancy.name, "Host": self.host, **secret, "Seconds": self.left}

    @property
    def left(self) -> int:
        """The seconds that are left."""
        return max(0, round(self.ends - trio.current_time()))


class Leases:
    """The leases of a stage.

    file: the file of the stage, which with the machine's name tells its leases from those of other stages.
    terms: gives what leases may use; None if the file has none. take: answers a request for a tenant.
    forget: forgets a tenant that has ended; returns whether nothing of it is known any more.
    """

    def __init__(
        self,
        sender: Sender,
        file: Path,
        terms: Callable[[], Tenancy | None],
        take: Take,
        forget: Callable[[str], bool],
        nursery: trio.Nursery,
    ) -> None:
        self._sender = sender
        self._terms = terms
        self._take = take
        self._forget = forget
        self._nursery = nursery
        own = f"{socket.gethostname()}\0{file.resolve()}"
        self._prefix = f"{LEASE}{hashlib.sha256(own.encode()).hexdigest()[:8]}-"
        self.current: dict[str, Lease] = {}
        """The leases by the names of their tenants, until everything of them is removed."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        sender: Sender,
        file: Path,
        terms: Callable[[], Tenancy | None],
        take: Take,
        forget: Callable[[str], bool],
    ) -> AsyncGenerator[Self]:
        """Hold leases, and remove what earlier ones have left. At the end all leases end."""
        async with trio.open_nursery() as nursery:
            leases = cls(sender, file, terms, take, forget, nursery)
            nursery.start_soon(leases.remove_left)
            yield leases
            nursery.cancel_scope.cancel()

    def tenancy(self, tenant: str) -> Tenancy | None:
        """Return the tenancy of a lease; None if there is none of this name."""
        lease = self.current.get(tenant)
        return None if lease is None else lease.tenancy

    async def begin(self, asked: Asked) -> Lease:
        """Begin a lease; it can be used when this returns.

        Raises:
            Invalid: something that is asked for is wrong. Conflict: there is a lease of this name.
            Denied: there are no leases, or too many. SwarmError: its address can't be had.
        """
        asked.check()
        terms = self._terms()
        if terms is None:
            raise Denied("the file of the tenants has no [lease], which says what leases may use")
        if len(self.current) >= _MOST:
            raise Denied(f"there are {_MOST} leases: the maximum")
        lease = self._make(asked, terms)
        if self.current.setdefault(lease.tenancy.name, lease) is not lease:
            raise Conflict(f"there is a lease {asked.name} already")
        await self._nursery.start(self._hold, lease)
        return lease

    def _make(self, asked: Asked, terms: Tenancy) -> Lease:
        name = self._prefix + (asked.name or secrets.token_hex(4))
        if not NAME.fullmatch(name):
            most = 32 - len(self._prefix)
            raise Invalid(f"invalid name {asked.name!r:.80} of a lease: expected 1 to {most} of a-z, 0-9 and -")
        limits = {**terms.terms.limits, **asked.limits}
        tenancy = replace(terms, name=name, terms=replace(terms.terms, limits=limits))
        if asked.tcp:
            return Lease(asked, tenancy, f"tcp://{asked.tcp}", secrets.token_urlsafe(32))
        sockets = Path(terms.socket) if terms.socket else _made(folder() / "leases")
        return Lease(asked, tenancy, f"unix://{sockets / name}.sock", "")

    async def _hold(self, lease: Lease, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve a lease until it is over, then remove what is its tenant's."""
        name = lease.tenancy.name

        async def take(request: Request) -> None:
            lease.check(request.meta.caller)
            await self._take(lease.tenancy, request)

        reason = "it could not begin"
        try:
            with ungrouped():
                group, tokens = lease.tenancy.group, bool(lease.token)
                async with endpoint(lease.host, take, group=group, tokens=tokens, heed=lease.heed):
                    task_status.started()
                    reason = "the stage was closed"
                    reason = await lease.over()
        finally:
            await self._remove(name, reason)

    async def _remove(self, tenant: str, reason: str) -> None:
        seconds = CLEANUP_SECONDS if trio.current_effective_deadline() == -math.inf else _REMOVAL_SECONDS
        with trio.CancelScope(shield=True, deadline=trio.current_time() + seconds) as patience:
            await remove_all(self._sender, tenant)
            while not self._forget(tenant):  # a creation was under way
                await trio.sleep(_SETTLE_SECONDS)
                await remove_all(self._sender, tenant)
        self.current.pop(tenant).removed.set()
        left = "; not everything of it could be removed in time" if patience.cancelled_caught else ""
        _log.info("tenant: the lease %s has ended: %s%s", tenant, reason, left)

    async def remove_left(self) -> None:
        """Remove what is left of leases of this stage before it was opened."""
        while True:
            try:
                found = set((await owned(self._sender)).values())
            except SwarmError as exc:
                _log.warning("tenant: what earlier leases have left can't be listed yet: %s", exc.message)
                await trio.sleep(_PAUSE_SECONDS)
                continue
            for tenant in sorted(found - self.current.keys()):
                if tenant.startswith(self._prefix):
                    _log.warning("tenant: removing what the lease %s has left", tenant)
                    await remove_all(self._sender, tenant)
                    self._forget(tenant)
            return


def _made(path: Path) -> Path:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise Invalid(f"can't make the folder of leases' sockets: {exc}") from exc
    return path
