"""A fake Azure on loopback: enough of Azure Resource Manager for the real SDK's clients to run against, unchanged.

    async with fakearm.serving(seed=7, machines=mine) as arm:
        compute = ComputeManagementClient(credential, arm.state.subscription, base_url=arm.url, ...)

It keeps resource groups, networks, virtual machines and container groups with Azure's own rules, errors, asynchronous
operations, quotas and throttling; all randomness comes from the seed. It also issues tokens, as Entra and the managed
identities do. A script of faults makes it fail, hang or break where a test wants it (`faults`), `machines` provides the
machines behind its virtual machines, and the containers of its groups run on an engine, by default a simulated one.
Requests and answers are validated against Microsoft's OpenAPI documents if they are given (`spec`).
`python -m swarmlib_backends.azure.fakearm --help` runs it from a shell.

It lacks scale sets, deployments, role assignments and other providers. Security groups filter nothing, extensions run
nothing, and disks have no content. A public address belongs to the loopback network, where `machines` may listen. A
list with `statusOnly=true` shows little more of each machine than its state.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Final

import trio

import swarmlib
from swarmlib import CLEANUP_SECONDS, Backend, Chain, Client
from swarmlib.errors import ungrouped

from ... import certificates
from ...http.serving import Body
from ...http.serving import serving as serving_https
from ...simulator import Simulator
from .arm import VERSIONS, FakeArm
from .clouds import NAMES
from .faults import Fault, Faults
from .groups import PROVIDERS
from .machines import Machine, Machines, NoMachines
from .state import State
from .throttle import ARM, Limit, Throttle
from .tokens import Tokens
from .world import Region

if TYPE_CHECKING:
    from .spec import Spec

__all__ = [
    "ARM",
    "PROVIDERS",
    "SUBSCRIPTION",
    "VERSIONS",
    "FakeArm",
    "Fault",
    "Limit",
    "Machine",
    "Machines",
    "NoMachines",
    "Region",
    "serving",
]

SUBSCRIPTION: Final = "0b1f6471-1bf0-4dda-aec3-cb9272f09590"
TENANT: Final = "84f1e4ea-8554-43e1-8709-f0b8589ea118"
CLIENT: Final = "3f4b2a7e-0c39-4a3b-9a2f-0b3d5c1e7f10"
SECRET: Final = "not~a~secret"


@asynccontextmanager
async def serving(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    seed: int = 0,
    subscription: str = SUBSCRIPTION,
    machines: Machines | None = None,
    spec: Spec | None = None,
    registered: bool = True,
    seconds: float = 0,
    poll_seconds: float = 0.01,
    reserve_seconds: float = 180,
    limits: Mapping[str, Limit] | None = None,
    engine: Backend | Chain | None = None,
) -> AsyncGenerator[FakeArm]:
    """Run a fake; it ends, and stops its machines, with the context.

    port: 0 takes any free port. seed: of all randomness. machines: what is behind virtual machines; by default nothing.
    spec: Microsoft's documents, to validate by. registered: whether the providers are, from the start. seconds: roughly
    how long operations on virtual machines take (others: a tenth). poll_seconds: the pause that clients are asked for
    between two polls of an operation. reserve_seconds: how long the interface of a machine that was refused can't be
    deleted. limits: the throttling; `ARM` is the real one. engine: where the containers of container groups run, by
    default a simulator.

    Raises:
        Unavailable: the address is in use, or is not one of this machine.
    """
    random = Random(seed)
    server_tls, client_tls, ca = certificates.loopback_tls("fakearm", host, *NAMES)
    tokens = Tokens(TENANT, CLIENT, SECRET, random)
    with ungrouped():
        async with swarmlib.connect(engine or Simulator()) as client, trio.open_nursery() as nursery:
            times = (seconds, poll_seconds, reserve_seconds)
            state = State(subscription, random, machines or NoMachines(), nursery, *times)
            _furnish(state, registered, client, simulated=engine is None)
            arm = FakeArm(state, Faults(random), tokens, Throttle(dict(limits or {})), spec, ca, client_tls)
            async with _answering(arm, host, port, server_tls):
                yield arm
                nursery.cancel_scope.cancel()


@asynccontextmanager
async def _answering(arm: FakeArm, host: str, port: int, tls: ssl.SSLContext) -> AsyncGenerator[None]:
    try:
        async with serving_https(host, port, tls, "fake ARM", arm.answer, _refused) as arm.url:
            arm.state.first_address = int(arm.url.rpartition(":")[2]) * 64  # to differ from those of another fake
            yield
    finally:
        with trio.move_on_after(CLEANUP_SECONDS, shield=True):
            await arm.state.stop_machines()


def _furnish(state: State, registered: bool, engine: Client, *, simulated: bool) -> None:
    state.engine, state.simulated = engine, simulated
    state.registered = {name.lower(): "Registered" if registered else "NotRegistered" for name in PROVIDERS}
    state.registered["microsoft.resources"] = "Registered"


def _refused(reason: str) -> Body:
    """Return the answer to what is not HTTP."""
    return {"error": {"code": "BadRequest", "message": reason}}
