"""The state of the fake: groups, resources, operations, registrations, and its time and randomness."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from random import Random
from typing import Any, Final, cast
from uuid import UUID

import orjson
import trio

from swarmlib import Client

from ...dockerapi.nullable import list_of
from ...http.serving import Body, Request
from . import errors
from .faults import Fault
from .machines import Machines
from .nulls import without_nulls
from .operations import Operation, Work
from .policies import Policies
from .resource import Resource, ResourceId, dig
from .world import Region, regions

PUBLIC: Final = IPv4Network("127.64.0.0/10")
"""The range of public addresses: the loopback network, so that a machine can be reached at one."""


@dataclass(frozen=True)
class ArmCall:
    """A request in progress, with the faults that happen to it."""

    request: Request
    faults: list[Fault]

    def json(self) -> Body:
        """Return the request's body.

        Raises:
            ArmError: it is not a JSON object.
        """
        try:
            found = orjson.loads(self.request.body)
        except orjson.JSONDecodeError as exc:
            raise errors.bad(
                "InvalidRequestContent", f"The request content was invalid and could not be deserialized: {exc}."
            ) from exc
        if not isinstance(found, dict):
            raise errors.bad("InvalidRequestContent", "The request content should be a JSON object.")
        return cast("Body", without_nulls(found))


@dataclass
class Group:
    """A resource group."""

    name: str
    body: Body
    operation: Operation | None = None
    """The operation that deletes the group."""


@dataclass
class State:
    """One subscription of one tenant."""

    subscription: str
    random: Random
    machines: Machines
    nursery: trio.Nursery
    seconds: float
    """Roughly how long an operation on a virtual machine takes; others take a tenth of it."""
    poll_seconds: float
    """How long a client is asked to wait before it polls an operation again."""
    reserve_seconds: float
    """How long an interface is reserved for the machine that could not be created with it."""
    first_address: int = 0
    list_lag: float = 0
    """How long ARM's own list of resources, unlike the providers' lists, still shows what was deleted."""
    basic_addresses: bool = False
    """Whether Basic public addresses can be created, as was possible until 2025."""
    regions: dict[str, Region] = field(default_factory=regions)
    groups: dict[str, Group] = field(default_factory=dict[str, Group])
    resources: dict[str, Resource] = field(default_factory=dict[str, Resource])
    operations: dict[str, Operation] = field(default_factory=dict[str, Operation])
    policies: Policies = field(default_factory=Policies)
    registered: dict[str, str] = field(default_factory=dict[str, str])
    """The registration state of each provider, by its name in lower case."""
    terms: set[str] = field(default_factory=set[str])
    """The plans whose terms were accepted, as PUBLISHER:PRODUCT:NAME in lower case."""
    public_images: dict[str, Body] = field(default_factory=dict[str, Body])
    """The properties of images in community and shared galleries, by /communitygalleries/NAME/images/NAME and so on."""
    engine: Client | None = None
    """Where the containers of container groups run."""
    simulated: bool = True
    """Whether that engine is the simulator: its terminals do nothing, and it has one set of ports for all."""
    registries: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    """The registries that want a user with a password to pull an image for a container group, by their names."""
    _gone: list[tuple[float, Resource]] = field(default_factory=list[tuple[float, Resource]])

    def uuid(self) -> str:
        """Return a new UUID from the seeded randomness."""
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def drop(self, id: ResourceId) -> None:
        """Take a resource off the lists; ARM's own list shows it for a while longer."""
        if (gone := self.resources.pop(id.key, None)) is not None and self.list_lag:
            self._gone.append((trio.current_time() + self.list_lag, gone))

    def cached(self) -> list[Resource]:
        """Return what ARM's own list of resources shows."""
        self._gone = [(until, each) for until, each in self._gone if until > trio.current_time()]
        return [*self.resources.values(), *(each for _, each in self._gone)]

    def of_type(self, type: str, group: str = "") -> Iterator[Resource]:
        """Yield the resources of a type; only a group's, if one is named."""
        for resource in self.resources.values():
            same = resource.id.type.lower() == type.lower()
            if same and (not group or resource.id.group.lower() == group.lower()):
                yield resource

    def children(self, parent: ResourceId, kind: str) -> list[Resource]:
        """Return the parts of a resource that are of one kind."""
        start = f"{parent.key}/{kind.lower()}/"
        return [each for key, each in self.resources.items() if key.startswith(start)]

    def users_of(self, id: ResourceId) -> list[Resource]:
        """Return the resources that refer to this one, without its own parts."""
        key = id.key
        return [each for each in self.resources.values() if key in each.refs and not each.id.key.startswith(f"{key}/")]

    def get(self, id: ResourceId) -> Resource:
        """Return a resource.

        Raises:
            ArmError: the resource or its group doesn't exist.
        """
        self.group(id.group)
        if (found := self.resources.get(id.key)) is None:
            raise errors.missing("/".join((id.provider, *id.types)), "/".join(id.names), id.group)
        return found

    def referenced(self, user: ResourceId, id: str) -> Resource:
        """Return the resource that another one refers to.

        Raises:
            ArmError: it doesn't exist, or is not ready.
        """
        found = self.resources.get(id.lower())
        if found is None:
            raise errors.missing_reference(str(user), id)
        if found.busy or found.state not in ("Succeeded", "Failed", ""):
            message = f"Cannot proceed with operation because resource {id} used by resource {user} is not in Succeeded"
            message += f" state. Resource is in {found.state} state."
            raise errors.retryable("ReferencedResourceNotProvisioned", message, self.poll_seconds)
        return found

    def group(self, name: str) -> Group:
        """Return a resource group.

        Raises:
            ArmError: it doesn't exist.
        """
        if (found := self.groups.get(name.lower())) is None:
            raise errors.missing_group(name)
        return found

    def region(self, location: str, type: str = "") -> Region:
        """Return a region, by its canonical name.

        Raises:
            ArmError: there is none of that name.
        """
        if (found := self.regions.get(location)) is None:
            message = f"The provided location '{location}' is not available for resource type '{type}'."
            listed = f"List of available regions for the resource type is '{','.join(self.regions)}'."
            raise errors.bad("LocationNotAvailableForResourceType", f"{message} {listed}")
        return found

    def public_address(self) -> str:
        """Return a public address that is not in use."""
        taken = {each.properties.get("ipAddress") for each in self.of_type("Microsoft.Network/publicIPAddresses")}
        groups = self.of_type("Microsoft.ContainerInstance/containerGroups")
        taken |= {dig(each.properties, "ipAddress", "ip") for each in groups}
        for offset in range(PUBLIC.num_addresses):
            address = str(PUBLIC[(self.first_address + offset) % PUBLIC.num_addresses])
            if address not in taken and not address.endswith((".0", ".255")):
                return address
        raise errors.conflict("PublicIPCountLimitReached", "Cannot create more public IP addresses in this region.")

    async def work(self, call: ArmCall, weight: float) -> None:
        """Wait for as long as an operation takes, and apply the script of faults to it.

        Raises:
            ArmError: the script lets it fail.
        """
        await trio.sleep(self.seconds * weight * self.random.uniform(0.5, 1.5))
        for fault in call.faults:
            if fault.do == "slow":
                await trio.sleep(fault.seconds)
            elif fault.do == "hang-later":
                await trio.sleep_forever()
            elif fault.do == "fail-later":
                raise fault.error

    def begin(self, provider: str, location: str, work: Work, *, place: str = "") -> Operation:
        """Start an operation; it continues for as long as the fake runs.

        place: where its status is found, if not with its provider.
        """
        id = self.uuid()
        where = place or f"/subscriptions/{self.subscription}/providers/{provider}/locations/{location}/operations"
        operation = Operation(id, f"{where}/{id}", datetime.now(UTC))
        self.operations[id] = operation
        self.nursery.start_soon(operation.run, work)
        return operation

    async def stop_machines(self) -> None:
        """Stop every machine, and every container on an engine that isn't the fake's own, concurrently."""
        async with trio.open_nursery() as nursery:
            for resource in self.resources.values():
                if (real := resource.hidden.get("machine")) is not None:
                    nursery.start_soon(self.machines.stop, real)
                for container in [] if self.simulated else list_of(resource.hidden.get("running")):
                    nursery.start_soon(container.halt)

    def waiting(self) -> dict[str, str]:
        """Return the header that says when to poll again."""
        return errors.retry_after(self.poll_seconds)

    def next_private(self, subnet: Resource, user: Resource) -> str:
        """Return a free address of a subnet for an interface; as in Azure, the first four are reserved.

        Raises:
            ArmError: there is none.
        """
        network = IPv4Network(subnet.properties["addressPrefix"])
        taken = set(_addresses([*self.users_of(subnet.id), user]))
        for offset in range(4, network.num_addresses - 1):
            if (address := str(network[offset])) not in taken:
                return address
        message = (
            f"Subnet {subnet.id.name} with address prefix {network} does not have enough capacity for 1 IP addresses."
        )
        raise errors.bad("SubnetIsFull", message)


def _addresses(interfaces: list[Resource]) -> Iterator[str]:
    for interface in interfaces:
        for each in interface.properties.get("ipConfigurations", []):
            yield each.get("properties", {}).get("privateIPAddress", "")


def valid_address(text: Any, inside: IPv4Network) -> bool:
    """Return whether a text is an address of a network."""
    try:
        return IPv4Address(text) in inside
    except ValueError:
        return False
