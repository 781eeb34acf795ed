"""Resources and their ids: /subscriptions/S/resourceGroups/G/providers/NAMESPACE/TYPE/NAME[/TYPE/NAME…]."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final, Self, cast

from ...http.serving import Body
from .operations import Operation

_ID: Final = re.compile(
    r"/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/([^/]+)((?:/[^/]+/[^/]+)+)", re.IGNORECASE
)


@dataclass(frozen=True)
class ResourceId:
    """An id. Azure compares ids without regard to case, and so does `key`."""

    subscription: str
    group: str
    provider: str
    types: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read an id; return None if the text is not an id."""
        if (match := _ID.fullmatch(text)) is None:
            return None
        subscription, group, provider, rest = match.groups()
        parts = rest.split("/")[1:]
        return cls(subscription, group, provider, tuple(parts[::2]), tuple(parts[1::2]))

    @property
    def type(self) -> str:
        """The full type, such as Microsoft.Network/virtualNetworks/subnets."""
        return "/".join((self.provider, *self.types))

    @property
    def name(self) -> str:
        """The resource's own name, which is the last one."""
        return self.names[-1]

    @property
    def parent(self) -> Self | None:
        """The id of the resource that this one is a part of; None for a resource at the top."""
        if len(self.names) == 1:
            return None
        return type(self)(self.subscription, self.group, self.provider, self.types[:-1], self.names[:-1])

    def sibling(self, name: str, kind: str = "", provider: str = "") -> Self:
        """Return the id of another resource at the top of the same group."""
        return type(self)(self.subscription, self.group, provider or self.provider, (kind or self.types[0],), (name,))

    def child(self, kind: str, name: str) -> Self:
        """Return the id of a part of the resource."""
        return type(self)(self.subscription, self.group, self.provider, (*self.types, kind), (*self.names, name))

    @property
    def key(self) -> str:
        """The form by which ids are compared."""
        return str(self).lower()

    def __str__(self) -> str:
        pairs = "".join(f"/{kind}/{name}" for kind, name in zip(self.types, self.names, strict=True))
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/{self.provider}{pairs}"


@dataclass
class Resource:
    """A resource: `body` is what GET shows, `hidden` what only the service knows (secrets, the power state)."""

    id: ResourceId
    body: Body
    hidden: dict[str, Any] = field(default_factory=dict[str, Any])
    refs: frozenset[str] = frozenset()
    """The keys of the resources that the body refers to; see `note_references`."""
    operation: Operation | None = None
    """The last operation on the resource."""

    def note_references(self) -> None:
        """Update `refs` from the body."""
        self.refs = frozenset(each.lower() for each in references(self.body)) - {self.id.key}

    @property
    def properties(self) -> Body:
        """The resource's `properties`."""
        found: Body = self.body.setdefault("properties", {})
        return found

    @property
    def busy(self) -> bool:
        """Whether an operation on the resource is in progress."""
        return self.operation is not None and self.operation.status == "InProgress"

    @property
    def location(self) -> str:
        """The resource's region."""
        return str(self.body.get("location", ""))

    @property
    def state(self) -> str:
        """The resource's provisioning state."""
        return str(self.properties.get("provisioningState", ""))

    @state.setter
    def state(self, value: str) -> None:
        self.properties["provisioningState"] = value


def references(value: Any) -> list[str]:
    """Return every id that a JSON value refers to, at any depth, in the values of `id`."""
    if isinstance(value, dict):
        members = cast("Body", value)
        found = [members["id"]] if isinstance(members.get("id"), str) else []
        return found + [each for part in members.values() for each in references(part)]
    if isinstance(value, list):
        return [each for part in cast("list[Any]", value) for each in references(part)]
    return []


def dig(value: Any, *names: str) -> Any:
    """Return a nested member of a JSON value; None if one on the way is missing."""
    for name in names:
        value = cast("Body", value).get(name) if isinstance(value, dict) else None
    return value
