"""The container of the process at the other end of a unix socket, by its control group.

A control group shows the container whatever namespaces the process has. The process is held by a descriptor while its
group is read, so that no other process can take its number meanwhile.
"""

from __future__ import annotations

import os
import re
import select
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import trio

_SO_PEERPIDFD: Final = 77  # asm-generic/socket.h, Linux 6.5
_INT_BYTES: Final = 4
_CONTAINER: Final = re.compile(r"(?:[a-z][a-z-]*-)?([0-9a-f]{64})(?:\.scope)?")
"""The group of a container: its id, or `docker-ID.scope` where systemd makes it."""
_LEFT_TO_OTHERS: Final = re.compile(r"user(?:-\d+)?\.slice|.*\.(?:service|scope)")
"""A group below which services and users make groups themselves, with any names."""


def peer_container(sock: trio.socket.SocketType, pid: int) -> str:
    """Return the full id of the container in which the peer of a unix socket runs; "" if it runs in none.

    pid: the peer's process, as the socket tells.

    Raises:
        OSError: it can't be found out: the process has ended, or is not visible here.
    """
    with _held(sock, pid) as process:
        groups, own = _groups(pid), _groups(os.getpid())
        if _has_ended(process):  # the groups may be another process's
            raise ProcessLookupError
    found = {container_of(group, own.get(hierarchy, "")) for hierarchy, group in groups.items()} - {""}
    if len(found) > 1:
        raise ProcessLookupError("its control groups are of several containers")
    return found.pop() if found else ""


@contextmanager
def _held(sock: trio.socket.SocketType, pid: int) -> Generator[int]:
    """Hold the peer's process by a descriptor, which the kernel has made when it connected, or which is opened now."""
    if sys.platform != "linux":
        raise ProcessLookupError
    try:
        process = int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD, _INT_BYTES), sys.byteorder)
    except ProcessLookupError:  # it has ended
        raise
    except OSError:  # a kernel before 6.5
        process = os.pidfd_open(pid)
    try:
        yield process
    finally:
        os.close(process)


def _has_ended(process: int) -> bool:
    poll = select.poll()  # select(2) takes no descriptor above 1023
    poll.register(process, select.POLLIN)
    return bool(poll.poll(0))


def _groups(pid: int) -> dict[str, str]:
    """Return the control groups of a process, by their hierarchies: one in version 2, several in version 1."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
        lines = [line.split(":", 2) for line in file.read().splitlines()]
    return {hierarchy: group for hierarchy, _, group in lines}


def container_of(group: str, own: str) -> str:
    """Return the id of the container to which a control group belongs, "" if to none.

    The outermost container counts, as the machine's own engine knows it; whoever is in it can name the groups below.

    own: the group of this process: a container in which it runs itself does not count.
    """
    parts, mine = group.split("/"), own.split("/")
    for index, part in enumerate(parts):
        if found := _CONTAINER.fullmatch(part):
            if mine[: index + 1] != parts[: index + 1]:
                return found[1]
        elif _LEFT_TO_OTHERS.fullmatch(part):
            return ""
    return ""
