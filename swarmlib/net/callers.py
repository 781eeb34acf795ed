"""Who a client is, as its connection tells: `Meta.caller` of every request that comes from there. The form tells how
the client is known, so that no client can pass for one of another kind.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Mapping
from typing import Any, Final

import trio

_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred, unix(7)


def by_socket(sock: trio.socket.SocketType) -> str:
    """`uid:N` by a unix socket (empty where the platform does not tell), `ip:ADDRESS` by TCP.

    Raises nothing: a TCP peer that is gone already is `ip:unknown`, which is nobody's address.
    """
    if sock.family != socket.AF_UNIX:
        try:
            return f"ip:{sock.getpeername()[0]}"
        except OSError:  # ENOTCONN: it was reset between its connection and this question
            return "ip:unknown"
    if not hasattr(socket, "SO_PEERCRED"):
        return ""
    _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return f"uid:{uid}"


def by_process() -> str:
    """`uid:N` of this process's own user, whose login whoever started it has; empty where users have no numbers."""
    return f"uid:{os.getuid()}" if sys.platform != "win32" else ""


def by_certificate(certificate: Mapping[str, Any] | None) -> str:
    """`cert:NAME` by the common name of a certificate that was verified; empty without one."""
    subject = (certificate or {}).get("subject", ())
    names = [value for part in subject for key, value in part if key == "commonName"]
    return f"cert:{names[0]}" if names else ""
