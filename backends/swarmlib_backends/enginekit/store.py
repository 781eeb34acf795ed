"""Containers by id, by name, and by the beginning of an id: named and found as an engine names and finds them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

from swarmlib import NotFound

from ..dockerapi.status import refusal, restated

_NAME: Final = re.compile(r"/?[a-zA-Z0-9][a-zA-Z0-9_.-]+")


class Named(Protocol):
    """What a store needs of a container."""

    id: str
    name: str


C = TypeVar("C", bound=Named)


class ContainerStore(Generic[C]):
    """The containers of a backend, the oldest first."""

    def __init__(self) -> None:
        self._by_id: dict[str, C] = {}
        self._by_name: dict[str, C] = {}

    def __iter__(self) -> Iterator[C]:
        return iter(self._by_id.values())

    def __reversed__(self) -> Iterator[C]:
        return reversed(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, container: C) -> bool:
        return self._by_id.get(container.id) is container

    def add(self, container: C) -> None:
        """Add a new container, whose name is free (`free_name`)."""
        self._by_id[container.id] = self._by_name[container.name] = container

    def remove(self, container: C) -> bool:
        """Remove a container; returns whether it was still there."""
        if self._by_id.pop(container.id, None) is None:
            return False
        del self._by_name[container.name]
        return True

    def rename(self, container: C, name: str) -> None:
        """Give a container another name. Raises what `new_name` does."""
        self.set_name(container, self.new_name(container, name))

    def new_name(self, container: C, name: str) -> str:
        """Return the name that a container may be given, without the slash that may stand before it.

        Raises:
            SwarmError: it has this name already, or the name is not a valid one, or is taken.
        """
        if name.removeprefix("/") == container.name:
            raise refusal(400, "Renaming a container with the same name as its current name")
        with restated("Error when allocating new name: "):
            return self.free_name(name if name.startswith("/") else f"/{name}")

    def set_name(self, container: C, name: str) -> None:
        """Give a container another name, which is free."""
        del self._by_name[container.name]
        container.name = name
        self._by_name[name] = container

    def free_name(self, name: str) -> str:
        """Return the name for a new container, without the slash that may stand before it.

        Raises:
            SwarmError: the name is not a valid one, or another container has it.
        """
        if not _NAME.fullmatch(name):
            raise refusal(400, f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
        name = name.removeprefix("/")
        holder = self.named(name)
        if holder is not None:
            text = f'Conflict. The container name "/{name}" is already in use by container "{holder.id}"'
            raise refusal(409, f"{text}. You have to remove (or rename) that container to be able to reuse that name.")
        return name

    def named(self, name: str) -> C | None:
        """Return the container that has exactly this name; None if there is none."""
        return self._by_name.get(name)

    def find(self, ref: str) -> C:
        """Return a container by its id, its name, or a unique beginning of its id.

        Raises:
            NotFound: there is none.
            SwarmError: more than one id begins so, or `ref` is empty.
        """
        if not ref:
            raise refusal(400, 'invalid name or ID supplied: ""')
        found = self._by_id.get(ref) or self._by_name.get(ref.removeprefix("/"))
        if found is not None:
            return found
        fitting = [id for id in self._by_id if id.startswith(ref)]
        if len(fitting) > 1:
            raise refusal(500, f"Multiple IDs found with provided prefix: {ref}")
        if not fitting:
            raise NotFound(f"No such container: {ref}")
        return self._by_id[fitting[0]]
