"""The users and groups of a simulated container: those of its /etc/passwd and /etc/group, and any number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ..dockerapi.status import refusal
from .files import Files

_PASSWD: Final = "/etc/passwd"
_GROUP: Final = "/etc/group"


@dataclass(frozen=True, slots=True)
class User:
    """Who a process runs as. `name` is empty where /etc/passwd doesn't know the number."""

    uid: int = 0
    gid: int = 0
    name: str = "root"
    groups: tuple[int, ...] = ()
    """The further groups' numbers."""


def user_of(files: Files, text: str, added: Iterable[str]) -> User:
    """Return the user that `USER[:GROUP]` names, by names or numbers, who is in the groups that are `added` too.

    Raises:
        SwarmError: there is no such user or group.
    """
    named, _, group = text.partition(":")
    entry = _entry(files, _PASSWD, named or "0")
    if entry is None and named and not named.isdecimal() and named != "root":
        raise refusal(500, f"unable to find user {named}: no matching entries in passwd file")
    uid = int(entry[2]) if entry else int(named) if named.isdecimal() else 0
    gid = int(entry[3]) if entry else 0
    name = entry[0] if entry else "" if uid else "root"
    if group:
        gid = _group(files, group, f"unable to find group {group}: no matching entries in group file")
    more = [_group(files, each, f"Unable to find group {each}") for each in added]
    return User(uid, gid, name, tuple(dict.fromkeys(more)))


def owner_of(files: Files, text: str) -> tuple[int, int]:
    """Return the numbers of the user and the group that `USER[:GROUP]` names as an owner of files: of one name, both.

    Raises:
        SwarmError: there is no such user or group.
    """
    user, _, group = text.partition(":")
    return _owner(files, _PASSWD, user, "uid for user"), _owner(files, _GROUP, group or user, "gid for group")


def _owner(files: Files, path: str, name: str, what: str) -> int:
    if name.isdecimal():
        return int(name)
    entry = _entry(files, path, name)
    if entry is None:
        raise refusal(500, f"can't find {what} {name}: no such {what.split()[-1]}: {name}")
    return int(entry[2])


def group_name(files: Files, gid: int) -> str:
    """Return the name of a group; empty if /etc/group doesn't know it."""
    entry = _entry(files, _GROUP, str(gid))
    return entry[0] if entry else "" if gid else "root"


def _group(files: Files, text: str, problem: str) -> int:
    entry = _entry(files, _GROUP, text)
    if entry is not None:
        return int(entry[2])
    if not text.isdecimal():
        if text == "root":
            return 0
        raise refusal(500, problem)
    return int(text)


def _entry(files: Files, path: str, wanted: str) -> Sequence[str] | None:
    """Return the line of a user or a group, by its name or number."""
    node = files.get(path)
    lines = (node.data if node else b"").decode("utf-8", "replace").split("\n")
    entries = [line.split(":") for line in lines if line.count(":") >= 3]
    fitting = [each for each in entries if wanted == each[0]] or [each for each in entries if wanted == each[2]]
    found = next(iter(fitting), None)
    return found if found and all(number.isdecimal() for number in found[2 : 4 if path == _PASSWD else 3]) else None
