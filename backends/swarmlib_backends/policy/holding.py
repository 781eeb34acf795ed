"""Calls that wait until a person approves them, who sees what will be lost."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, IPv6Network
from typing import Any, Final

import orjson
import trio

from swarmlib import UNSENT, Denied, NotFound, Request, Sender, Server, TooLarge, Unavailable
from swarmlib.quantities import shown_seconds

from .. import notes, redact
from ..dockerapi.rows import Row
from .inspected import Inspected, in_path
from .losses import losses

MAX_HELD: Final = 100
"""The most calls that wait at once in one stage."""
MAX_HELD_EACH: Final = 10
"""The most calls of one caller that wait at once."""
MAX_SHOWN: Final = 64 * 1024
"""The most bytes, as JSON, that a person is shown of a call: nobody can judge more."""
HOLD_SECONDS: Final = 600.0
"""How long a call waits if its rule does not say."""
_ONE_MACHINES: Final = 64
"""The bits of an IPv6 address that say in which network it is."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hold:
    """What a rule holds.

    Attributes:
        operations: the operations that wait.
        seconds: how long, at most.
    """

    operations: frozenset[str]
    seconds: float


@dataclass
class _Held:
    """A call that waits.

    Attributes:
        client: whose call it is, as the bound of each client counts.
        data: what the operator sees of it; None while that is being found out.
        decided: set as soon as the operator has decided.
        approved: what the operator decided.
        reason: why the operator denied it.
    """

    client: str
    data: Mapping[str, Any] | None = None
    decided: trio.Event = field(default_factory=trio.Event)
    approved: bool = False
    reason: str = ""


@dataclass
class Holding(Server):
    """The calls that wait in one stage. To the operator, it answers `ls held`, `start held/ID` (approve) and `stop
    held/ID` (deny, with the parameter `reason`).
    """

    calls: dict[str, _Held] = field(default_factory=dict[str, _Held])

    async def ls(self, request: Request) -> list[Mapping[str, Any]]:
        """List the calls that wait, the oldest first."""
        return [each.data for each in self.calls.values() if each.data is not None and not each.decided.is_set()]

    async def start(self, request: Request) -> None:
        """Approve a call."""
        self._decide(request, approved=True)

    async def stop(self, request: Request) -> None:
        """Deny a call."""
        self._decide(request, approved=False)

    def _decide(self, request: Request, *, approved: bool) -> None:
        id = request.path[-1]
        found = self.calls.get(id)
        if found is None or found.decided.is_set():
            raise NotFound(f"no call waits as {id}")
        found.approved, found.reason = approved, str(request.params.get("reason", ""))
        found.decided.set()

    async def wait(self, rule: str, hold: Hold, row: Row, request: Request, sender: Sender) -> Request:
        """Wait until a person has approved a request; return it with the full id of its object.

        Raises:
            Denied: the person denied it, or nobody approved it in time; or another object has its object's name now.
            Unavailable: too many calls wait.
            TooLarge: it is too large to be shown to a person.
            SwarmError: the engine's error for an object that does not exist.
        """
        client = _client_of(request.meta.caller)
        self._check_room(client)
        id = secrets.token_hex(4)
        held = self.calls[id] = _Held(client)
        try:
            found = await in_path(row, request, sender)
            if found is not None and found.kind != "images":
                request = request.replace(path=(found.kind, found.id, *request.path[2:]))
            lost = await losses(found, request, sender)
            held.data = _shown(id, rule, hold, row, request, found, lost)
            caller, seconds = request.meta.caller, shown_seconds(hold.seconds)
            _log.warning("policy: %s of %s waits for approval as %s for %s", row.name, caller, id, seconds)
            with trio.move_on_after(hold.seconds):
                await held.decided.wait()
        finally:
            del self.calls[id]
        request = _outcome(held, hold, row, request)
        now = await in_path(row, request, sender)
        if now is not None and (found is None or _identity(now) != _identity(found)):
            raise Denied(f"{row.name} was approved for another object: {now.kind}/{now.name} has been made anew since")
        return request

    def _check_room(self, client: str) -> None:
        own = sum(each.client == client for each in self.calls.values())
        if len(self.calls) >= MAX_HELD or own >= MAX_HELD_EACH:
            what = f"{own} of your calls wait" if own >= MAX_HELD_EACH else f"{len(self.calls)} calls wait"
            raise Unavailable(f"{what} for approval already; try again later", details={UNSENT: True, "status": 429})


def _client_of(caller: str) -> str:
    """Return whose a call is: all that call for one tenant are one client, however many containers it makes, and so
    are all IPv6 addresses of the network that a single machine is given.
    """
    if caller.startswith("tenant:"):
        return caller.partition("/")[0]
    try:
        address = IPv6Address(caller.removeprefix("ip:").partition("%")[0])
    except ValueError:
        return caller
    return f"ip:{address.ipv4_mapped or IPv6Network((address, _ONE_MACHINES), strict=False)}"


def _identity(found: Inspected) -> object:
    """Return what tells an object from a later one of its name: a volume has no id, and an image's name can move."""
    return found.id, found.data.get("CreatedAt"), found.labels


def _outcome(held: _Held, hold: Hold, row: Row, request: Request) -> Request:
    if held.approved:
        notes.held("approved")
        return request
    if held.decided.is_set():
        notes.held("denied")
        raise Denied(f"{row.name} was not approved" + (f": {held.reason:.500}" if held.reason else ""))
    notes.held("timed out")
    raise Denied(f"{row.name} was not approved: nobody decided within {shown_seconds(hold.seconds)}")


def _shown(
    id: str, rule: str, hold: Hold, row: Row, request: Request, found: Inspected | None, lost: Mapping[str, Any]
) -> Mapping[str, Any]:
    now = datetime.now(UTC).replace(microsecond=0)
    shown = redact.request(request)
    named = {} if found is None else {"kind": found.kind, "id": found.id, "name": found.name}
    data = {
        "id": id,
        "operation": row.name,
        "caller": request.meta.caller,
        "rule": rule,
        "since": now.isoformat(),
        "until": (now + timedelta(seconds=hold.seconds)).isoformat(),
        "object": named or {"kind": "/".join(request.path)},
        "params": dict(shown.params),
        "body": shown.json,
        "lost": lost,
    }
    if len(orjson.dumps(data)) > MAX_SHOWN:
        raise TooLarge(f"{row.name} can't be held for approval: it is larger than the {MAX_SHOWN} bytes that are shown")
    return data
