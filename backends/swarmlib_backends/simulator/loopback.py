"""Sockets that listen on this machine's loopback addresses, for what listens on all addresses of a simulated host."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Final

from .addresses import address_in

_ON_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_NO_IPV6: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


def opened(addresses: Iterable[str], port: int) -> list[socket.socket]:
    """Sockets that listen at a port of each address, of all IPv6 addresses only where this machine has IPv6.

    Raises:
        OSError: an address can't be had: the port is in use, say, or other machines would reach it.
    """
    with ExitStack() as stack:
        sockets: list[socket.socket] = []
        for address in addresses:
            try:
                sockets.append(stack.enter_context(_opened(_ON_LOOPBACK.get(address, address), port)))
            except OSError as exc:
                if address != "::" or exc.errno not in _NO_IPV6:
                    raise
        stack.pop_all()
        return sockets


def _opened(host: str, port: int) -> socket.socket:
    address = address_in(host)
    if address is None or not address.is_loopback:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return socket.create_server((host, port), family=family)
