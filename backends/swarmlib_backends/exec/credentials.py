"""Whose process it is: the users and groups that a request names, read as runc reads them."""

from __future__ import annotations

import grp
import os
import pwd
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from swarmlib import Denied, Invalid

_NUMBER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_MAX_ID: Final = (1 << 31) - 1


@dataclass(frozen=True)
class Credentials:
    """A user, its group, its other groups, and its home folder."""

    user: int
    group: int
    groups: tuple[int, ...]
    home: str

    @property
    def own(self) -> bool:
        """Whether the user is swarmd's own."""
        return self.user == os.geteuid()


def credentials(text: str, more: Sequence[str] = ()) -> Credentials:
    """Return the credentials that `user[:group]` means, each by name or number; "" is swarmd's own user.

    A user that this machine knows has its own group and groups, unless the text has a group: then it has that one
    alone. The group of an unknown number is 0. None of swarmd's own groups are kept. It reads the machine's user
    database, which may block.

    more: further groups (HostConfig.GroupAdd).

    Raises:
        Invalid: there is no such user or group, or a number is out of range.
    """
    name, _, group = text.partition(":")
    if ":" in group:
        raise Invalid(f"invalid user {text!r}: expected USER or USER:GROUP")
    found = _look_up(name or str(os.geteuid()), group or ("" if name else _own_group()))
    return replace(found, groups=(*found.groups, *map(_group, more)))


def _own_group() -> str:
    """Return the group of who names no user: root has its own, as in the database; anybody else can't change it."""
    return "" if os.geteuid() == 0 else str(os.getegid())


def check_permitted(found: Credentials) -> None:
    """Raise Denied if swarmd is not root, and this is not its own user and group with none of further groups."""
    user, group = os.geteuid(), os.getegid()
    if user != 0 and ((found.user, found.group) != (user, group) or not {*found.groups} <= {group, *os.getgroups()}):
        raise Denied(
            f"swarmd runs as user {user} and group {group}: only root can start processes as another user or group"
        )


def _look_up(name: str, group: str) -> Credentials:
    try:
        entry = _entry(name, pwd.getpwnam, pwd.getpwuid)
    except KeyError as exc:
        if not _NUMBER.fullmatch(name):
            raise Invalid(f"unable to find user {name}: no matching entries in passwd file") from exc
        return Credentials(_in_range(name), _group(group) if group else 0, (), "/")
    if group:
        return Credentials(entry.pw_uid, _group(group), (), entry.pw_dir)
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return Credentials(entry.pw_uid, entry.pw_gid, tuple(groups), entry.pw_dir)


def _group(name: str) -> int:
    try:
        return int(_entry(name, grp.getgrnam, grp.getgrgid).gr_gid)
    except KeyError as exc:
        if not _NUMBER.fullmatch(name):
            raise Invalid(f"unable to find group {name}: no matching entries in group file") from exc
        return _in_range(name)


def _entry(name: str, by_name: Callable[[str], Any], by_number: Callable[[int], Any]) -> Any:
    """Return the entry of a user or a group; what looks like a number is one. Raises KeyError if there is none."""
    if not _NUMBER.fullmatch(name):
        return by_name(name)
    return by_number(_in_range(name))


def _in_range(text: str) -> int:
    number = int(text) if len(text) <= len(str(_MAX_ID)) + 1 else -1
    if not 0 <= number <= _MAX_ID:
        raise Invalid(f"uids and gids must be in range 0-{_MAX_ID}, not {text}")
    return number
