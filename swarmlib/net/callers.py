"""Who a client is, as its connection tells: `Meta.caller` of every request that comes from there. The form tells how
the client is known, so that no client can pass for one of another kind.
"""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import sys
from collections.abc import Mapping
from typing import Any, Final

import trio

from .containers import peer_container

_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred, unix(7)


def by_socket(sock: trio.socket.SocketType) -> str:
    """`uid:N` by a unix socket, or `container:ID` if the peer runs in a container, whose users are not those of this
    machine; `uid:unknown` if that can't be found out. Empty where the platform does not tell. `ip:ADDRESS` by TCP.

    Raises nothing: a TCP peer that is gone already is `ip:unknown`, which is nobody's address.
    """
    if sock.family != socket.AF_UNIX:
        try:
            return f"ip:{sock.getpeername()[0]}"
        except OSError:  # ENOTCONN: it was reset between its connection and this question
            return "ip:unknown"
    if not hasattr(socket, "SO_PEERCRED"):
        return ""
    pid, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if pid == os.getpid():
        return f"uid:{uid}"
    try:
        id = peer_container(sock, pid)
    except OSError:  # it has ended, or /proc does not show it: a container's root must not pass for this machine's
        return "uid:unknown"
    return f"container:{id}" if id else f"uid:{uid}"


def by_process() -> str:
    """`uid:N` of this process's own user, whose login whoever started it has; empty where users have no numbers."""
    return f"uid:{os.getuid()}" if sys.platform != "win32" else ""


def by_certificate(certificate: Mapping[str, Any] | None) -> str:
    """`cert:NAME` by the common name of a certificate that was verified; empty without one."""
    subject = (certificate or {}).get("subject", ())
    names = [value for part in subject for key, value in part if key == "commonName"]
    return f"cert:{names[0]}" if names else ""


def by_token(token: bytes) -> str:
    """`token:DIGEST` by the SHA-256 of a bearer token, in hexadecimal. The token itself is a secret."""
    return f"token:{hashlib.sha256(token).hexdigest()}"
