"""The names of containers: what a new one may be, and what an engine says of one that can't be had."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from swarmlib import SwarmError

from .status import refusal

_NAME: Final = re.compile(r"/?[a-zA-Z0-9][a-zA-Z0-9_.-]+")


def free_name(name: str, holder_of: Callable[[str], str | None]) -> str:
    """A new name without the slash before it.

    holder_of: takes a name, and gives the id of the container that has it.

    Raises:
        SwarmError: it has not the form of one, or is taken.
    """
    if not _NAME.fullmatch(name):
        raise refusal(400, f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    name = name.removeprefix("/")
    holder = holder_of(name)
    if holder is not None:
        text = f'Conflict. The container name "/{name}" is already in use by container "{holder}"'
        raise refusal(409, f"{text}. You have to remove (or rename) that container to be able to reuse that name.")
    return name


def other_name(before: str, name: str, holder_of: Callable[[str], str | None]) -> str:
    """As `free_name`, for a container that is called `before` and gets another name."""
    if name.removeprefix("/") == before:
        raise refusal(400, "Renaming a container with the same name as its current name")
    try:
        return free_name(name if name.startswith("/") else f"/{name}", holder_of)
    except SwarmError as exc:
        raise type(exc)(f"Error when allocating new name: {exc.message}", details=exc.details) from exc


def no_link() -> SwarmError:
    """What an engine says to who wants to remove a link, and names a container."""
    return refusal(500, "Conflict, cannot remove the default link name of the container")
