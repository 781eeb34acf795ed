"""What a type of resource must say of itself, so that `crud` can create, change, show and delete it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from . import errors
from .errors import ArmError
from .http import Body
from .resource import Resource
from .state import Call, State


@dataclass(frozen=True)
class Action:
    """Something else that can be asked of a resource: METHOD …/NAME/ACTION.

    `run` gives the answer's body (None: none, and the status is then `empty`). If it is `later`, the request is
    answered with 202, and `run` is the operation's work.
    """

    run: Callable[[Resource, Call], Awaitable[Any]]
    later: bool = True
    method: str = "POST"
    empty: int = 204


class Kind:
    """A type of resource. Its checks raise ArmErrors, which are then the answer."""

    type: ClassVar[str]
    """Such as Microsoft.Network/virtualNetworks/subnets."""
    created: ClassVar[int] = 201
    """The status of the answer to a PUT that made one."""
    updated: ClassVar[int] = 200
    working: ClassVar[str] = "Updating"
    """The provisioning state while it is being made."""
    weight: ClassVar[float] = 0.1
    """How long it takes to make one, compared with a virtual machine."""
    located: ClassVar[bool] = True
    """Whether it has a location of its own; parts of resources have not."""
    actions: Mapping[str, Action] = {}
    """By their names in lower case."""

    def __init__(self, state: State) -> None:
        self.state = state

    def prepare(self, resource: Resource, old: Resource | None, call: Call) -> None:
        """Check what is wanted, and fill in what was left to Azure. Nothing is changed yet: `old` may stay as it is."""

    def accepted(self, resource: Resource, old: Resource | None) -> None:
        """It is wanted from now on: make the resources that come with it."""

    async def provision(self, resource: Resource, old: Resource | None) -> None:
        """Make it, or make it so."""

    def check_delete(self, resource: Resource) -> None:
        """Raise an ArmError where something still uses it."""

    async def remove(self, resource: Resource) -> None:
        """Take away what it stood for; it is off the lists afterwards."""

    def view(self, resource: Resource, query: Mapping[str, str]) -> Body:
        """What GET shows of it."""
        return resource.body

    def patched(self, resource: Resource, patch: Body) -> Body:
        """The body that a PATCH asks for: here only tags can be changed that way."""
        return resource.body | {"tags": patch.get("tags", {})}

    def busy_error(self, resource: Resource) -> ArmError:
        """Why it can't be touched now."""
        assert resource.operation is not None
        message = (
            "Another operation on this or dependent resource is in progress. To retrieve status of the operation use"
        )
        message += f" uri: {resource.operation.path}."
        return errors.retryable("AnotherOperationInProgress", message, self.state.poll_seconds)
