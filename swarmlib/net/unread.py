"""Whether the peer of a socket has read what was sent to it.

Some clients read the head of a response through a buffer, and what follows it from the socket itself. Bytes that arrive
together with the head stay in that buffer, and are lost to them. (So does docker-py, since Python's `http.client`
buffers.) A server that is about to send the first of such bytes therefore waits here until the head has been read.

On a unix socket the kernel says how much of what was sent is unread. On TCP it says what the peer's own socket has read
if that socket is on this machine; of other machines only what has arrived there is known. TLS needs no waiting: one
read gives one record at most.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

PATIENCE_SECONDS: Final = 30.0
"""How long a peer is waited for that reads nothing."""
_FIRST_PAUSE: Final = 0.0002
_LONGEST_PAUSE: Final = 0.5
_TIME_TO_READ: Final = 0.02
"""How long a peer on another machine is given, once bytes have arrived there, to read them."""

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_INET_DIAG_INFO: Final = 2
_ANY: Final = 0xFFFFFFFF
_HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr
_ANSWER: Final = struct.Struct("=16xBBBB48xIIIII")  # its header, then struct inet_diag_msg
_ATTRIBUTE: Final = struct.Struct("=HH")
_RECEIVED_AT: Final = 128  # offsets in struct tcp_info
_NOT_SENT_AT: Final = 144
_SENT_AT: Final = 200
_TCP_INFO_BYTES: Final = 216
_ANSWER_BYTES: Final = 4096


async def until_read(sock: trio.socket.SocketType) -> None:
    """Wait until the peer has read everything that was sent, up to PATIENCE_SECONDS.

    The pauses grow with the waiting, so that a peer that reads late waits at most twice as long as it took.
    """
    unread, grace = _question(sock)
    pause = _FIRST_PAUSE
    with trio.move_on_after(PATIENCE_SECONDS):
        while unread():
            await trio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        await trio.sleep(grace)


def _question(sock: trio.socket.SocketType) -> tuple[Callable[[], bool], float]:
    """Return what tells whether something is still unread, and how long to wait after that."""
    if sock.family == socket.AF_UNIX:
        return partial(_queued, sock), 0
    if _read_by_peer(sock) is not None:
        return partial(_unread_here, sock), 0
    return partial(_queued, sock), _TIME_TO_READ


def _queued(sock: trio.socket.SocketType) -> bool:
    """Whether the kernel still holds some of it: unread on a unix socket, not yet acknowledged on TCP."""
    import fcntl  # these two are not there on Windows
    import termios

    try:
        return fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)) != bytes(4)
    except OSError:
        return False  # closed, or a platform that doesn't tell


def _unread_here(sock: trio.socket.SocketType) -> bool:
    """Whether the peer, on this machine, has anything still to read. It is asked twice: what arrives in the middle of
    an answer is in its count of bytes and not in its queue.
    """
    written = _written(sock)
    return any((read := _read_by_peer(sock)) is not None and read < written for _ in range(2))


def _written(sock: trio.socket.SocketType) -> int:
    """How many bytes were ever written to a TCP socket."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    sent, again = struct.unpack_from("=QQ", info, _SENT_AT)
    (waiting,) = struct.unpack_from("=I", info, _NOT_SENT_AT)
    return int(sent - again + waiting)


def _read_by_peer(sock: trio.socket.SocketType) -> int | None:
    """How many bytes a TCP socket's peer has ever read; None if that is not on this machine, or no kernel tells."""
    if sys.platform != "linux":
        return None
    try:
        answer = _about_peer(sock)
    except OSError:
        return None
    if len(answer) < _ANSWER.size:
        return None  # there is no such socket here
    queued = _ANSWER.unpack_from(answer)[5]
    kind_at = _ANSWER.size
    while kind_at + _ATTRIBUTE.size <= len(answer):
        length, kind = _ATTRIBUTE.unpack_from(answer, kind_at)
        if kind == _INET_DIAG_INFO:
            (received,) = struct.unpack_from("=Q", answer, kind_at + _ATTRIBUTE.size + _RECEIVED_AT)
            return int(received - queued)
        kind_at += max(_ATTRIBUTE.size, (length + 3) & ~3)
    return None


def _about_peer(sock: trio.socket.SocketType) -> bytes:
    """Ask what the kernel says of the socket at the other end of a TCP connection."""
    (near, near_port), (far, far_port) = sock.getsockname()[:2], sock.getpeername()[:2]
    ends = [socket.inet_pton(sock.family, host).ljust(16, b"\0") for host in (far, near)]
    wanted = struct.pack("=BBBBI", sock.family, socket.IPPROTO_TCP, 1 << (_INET_DIAG_INFO - 1), 0, _ANY)
    wanted += struct.pack("!HH", far_port, near_port) + b"".join(ends) + struct.pack("=III", 0, _ANY, _ANY)
    head = _HEADER.pack(_HEADER.size + len(wanted), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0)
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    with socket.socket(socket.AF_NETLINK, kind, _NETLINK_SOCK_DIAG) as asking:
        asking.send(head + wanted)
        return asking.recv(_ANSWER_BYTES)
