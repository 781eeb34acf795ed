"""What swarmd tells the service manager that started it, such as systemd: sd_notify(3), and sd_watchdog_enabled(3)."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import trio

from swarmlib import Invalid

_MICROSECONDS: Final = 1e6
_log = logging.getLogger(__name__)


def notify(state: str) -> None:
    """Tell a state, such as `READY=1`, if the process was started by a manager that wants to know.

    Where that can't be told, a warning says why: a variable that was inherited by mistake must not end the service.
    """
    if not (path := os.environ.get("NOTIFY_SOCKET")):
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect("\0" + path[1:] if path.startswith("@") else path)
            sock.sendall(state.encode())
    except OSError as exc:
        _log.warning("can't tell the service manager at $NOTIFY_SOCKET: %s", exc.strerror or exc)


@contextmanager
def reloading() -> Generator[None]:
    """Tell that the configuration is read again, and then that this is done."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
    try:
        yield
    finally:
        notify("READY=1")


async def keep_watchdog() -> None:
    """Tell that the process lives, twice in the time after which the manager would end it, until cancelled.

    Where the manager does not watch it, return at once.

    Raises:
        Invalid: $WATCHDOG_USEC is not a number.
    """
    given, pid = os.environ.get("WATCHDOG_USEC"), os.environ.get("WATCHDOG_PID")
    if not given or pid not in (None, str(os.getpid())):
        return
    if not given.isdecimal():
        raise Invalid(f"$WATCHDOG_USEC must be a number of microseconds, not {given!r}")
    while True:
        notify("WATCHDOG=1")
        await trio.sleep(int(given) / _MICROSECONDS / 2)
