"""The interface of a type of resource, by which `crud` can create, change, show and delete resources."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ...http.serving import Body
from . import errors
from .errors import ArmError
from .resource import Resource
from .state import ArmCall, State


@dataclass(frozen=True)
class Action:
    """A further action on a resource: METHOD …/NAME/ACTION.

    `run` returns the answer's body (None: no body, and the status is `empty`). If the action is `later`, the request is
    answered with 202, and `run` is the operation's work; what `check` raises is the answer instead.
    """

    run: Callable[[Resource, ArmCall], Awaitable[Any]]
    later: bool = True
    method: str = "POST"
    empty: int = 204
    check: Callable[[Resource], None] = lambda _resource: None


class Kind:
    """A type of resource. Its checks raise ArmErrors, which are then the answer."""

    type: ClassVar[str]
    """The full type, such as Microsoft.Network/virtualNetworks/subnets."""
    created: ClassVar[int] = 201
    """The status of the answer to a PUT that created a resource."""
    updated: ClassVar[int] = 200
    working: ClassVar[str] = "Updating"
    """The provisioning state during creation."""
    weight: ClassVar[float] = 0.1
    """How long creation takes, relative to a virtual machine."""
    located: ClassVar[bool] = True
    """Whether the resource has a location of its own; parts of resources have none."""
    actions: Mapping[str, Action] = {}
    """The actions by their names in lower case."""

    def __init__(self, state: State) -> None:
        self.state = state

    def prepare(self, resource: Resource, old: Resource | None, call: ArmCall) -> None:
        """Check the request, and fill in what it leaves to Azure. Nothing is changed yet: `old` may stay as it is."""

    def accepted(self, resource: Resource, old: Resource | None) -> None:
        """Create the resources that come with this one; it is listed from now on."""

    async def provision(self, resource: Resource, old: Resource | None) -> None:
        """Create the resource, or change it."""

    def check_delete(self, resource: Resource) -> None:
        """Raise an ArmError if something still uses the resource."""

    async def remove(self, resource: Resource) -> None:
        """Remove what the resource stands for; it is taken off the lists afterwards."""

    def view(self, resource: Resource, query: Mapping[str, str]) -> Body:
        """Return what GET shows of the resource."""
        return resource.body

    def listed(self, resource: Resource, query: Mapping[str, str]) -> Body:
        """Return what a list shows of the resource: by default the same as GET."""
        return self.view(resource, query)

    def patched(self, resource: Resource, patch: Body) -> Body:
        """Return the body that a PATCH asks for: by default it can only change tags."""
        return resource.body | {"tags": patch.get("tags", {})}

    def busy_error(self, resource: Resource) -> ArmError:
        """Return the error for a resource that can't be changed now."""
        assert resource.operation is not None
        message = (
            "Another operation on this or dependent resource is in progress. To retrieve status of the operation use"
        )
        message += f" uri: {resource.operation.path}."
        return errors.retryable("AnotherOperationInProgress", message, self.state.poll_seconds)
