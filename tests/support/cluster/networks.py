"""Network namespaces: how to run something in another one, and ports in one that lead to another."""

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from tests.support.namespaces import Host

T = TypeVar("T")
_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_PIECE = 256 * 1024
_FORWARD = ["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]


def inside(pid: int, function: Callable[[], T]) -> T:
    """Call a function in a process's network namespace: what it opens belongs there."""

    def run() -> T:  # in a thread, since a thread has a network of its own
        with open(f"/proc/{pid}/ns/net") as namespace:
            if _LIBC.setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"can't enter the network of {pid}")
        return function()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def run_inside(pid: int, *command: str) -> None:
    """Run a command in a process's network namespace."""
    subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", *command], check=True)


def lead(port: int, pid: int, to: tuple[str, int], from_pid: int | None = None) -> None:
    """Lead a loopback port, of this process's network or another one's, to an address in a process's network."""
    listener = inside(from_pid or os.getpid(), lambda: socket.create_server(("127.0.0.1", port), backlog=256))
    threading.Thread(target=_accept, args=(listener, pid, to), daemon=True).start()


def _accept(listener: socket.socket, pid: int, to: tuple[str, int]) -> None:
    while True:
        client, _ = listener.accept()
        threading.Thread(target=_join, args=(client, pid, to), daemon=True).start()


def _join(client: socket.socket, pid: int, to: tuple[str, int]) -> None:
    with client, suppress(OSError), inside(pid, lambda: socket.create_connection(to)) as server:
        back = threading.Thread(target=_copy, args=(server, client), daemon=True)
        back.start()
        _copy(client, server)
        back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(_PIECE):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:  # one of them broke: so does the other
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class Switch:
    """The control plane's network, in which all nodes meet, and the routes to their Pods.

    The control plane is 10.90.0.1, and node N is 10.90.0.(10 + N), with the Pods of 10.90.N.0/24. Nothing outside sees
    these addresses, so that any number of clusters may use them.
    """

    ADDRESS = "10.90.0.1"
    SERVICES = "10.90.255.0/24"
    FIRST_SERVICE = "10.90.255.1"

    def __init__(self) -> None:
        self.host = Host(self.ADDRESS)
        self._ports: set[str] = set()
        self.host.run("ip", "link", "add", "switch", "type", "bridge")
        self.host.run("ip", "address", "add", f"{self.ADDRESS}/24", "dev", "switch")
        self.host.run("ip", "link", "set", "switch", "up")
        self.host.run(*_FORWARD)

    @staticmethod
    def pods(number: int) -> str:
        """The Pods' network of a node."""
        return f"10.90.{number}.0/24"

    @staticmethod
    def node(number: int) -> str:
        """The address of a node."""
        return f"10.90.0.{10 + number}"

    def join(self, number: int, pid: int) -> None:
        """Connect the network of a process, as node `number`."""
        port = f"node{number}"
        self._ports.add(port)
        self.host.run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        self.host.run("ip", "link", "set", port, "master", "switch", "up")
        run_inside(pid, "ip", "address", "add", f"{self.node(number)}/24", "dev", "eth0")
        run_inside(pid, "ip", "link", "set", "eth0", "up")
        run_inside(pid, "ip", "route", "add", "default", "via", self.ADDRESS)
        run_inside(pid, *_FORWARD)
        self.host.run("ip", "route", "replace", self.pods(number), "via", self.node(number))

    def leave(self, number: int) -> None:
        """Take node `number` out, if it is there: relays may keep its network for a while."""
        if (port := f"node{number}") in self._ports:
            self._ports.remove(port)
            self.host.run("ip", "link", "delete", port)
