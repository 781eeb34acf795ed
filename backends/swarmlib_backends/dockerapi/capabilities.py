"""The capabilities of Linux (capabilities(7)), as Docker names them: with or without `CAP_`, in any case."""

from __future__ import annotations

from typing import Final

from swarmlib import Invalid
from swarmlib.suggestions import nearest

KNOWN: Final = frozenset(
    {
        *("ALL", "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN"),
        *("DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE"),
        *("LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST"),
        *("NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT"),
        *("SYS_CHROOT", "SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME"),
        *("SYS_TTY_CONFIG", "WAKE_ALARM"),
    }
)
"""All of them, in their plain form, and `ALL`."""


def plain(given: str) -> str:
    """Return a capability in capitals and without `CAP_`."""
    return given.upper().removeprefix("CAP_")


def known(given: str) -> str:
    """Return a capability in its plain form.

    Raises:
        Invalid: Linux has none of this name; the error says which is meant.
    """
    if (found := plain(given)) in KNOWN:
        return found
    raise unknown(given)


def unknown(given: str) -> Invalid:
    """Return the error for a capability that Linux doesn't have; it says which is meant."""
    return Invalid(f"unknown capability {given!r}: {nearest(plain(given), sorted(KNOWN))}")
