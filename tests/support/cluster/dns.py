"""The cluster's DNS: the addresses of Services and of their endpoints, as CoreDNS gives them.

`SERVICE.NAMESPACE.svc.cluster.local` is a Service's address or, of a headless one, the addresses of its endpoints that
are ready; `HOSTNAME.SERVICE.…` are those of them that have this host name. Everything follows the API by watches, so
that what is gone is answered no longer. Names outside of the cluster don't exist, since it is not on the internet.

    python -m tests.support.cluster.dns KUBECONFIG ADDRESS
"""

import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.cluster.api import Api

_SERVICES = "/api/v1/services"
_SLICES = "/apis/discovery.k8s.io/v1beta1/endpointslices"
_ADDRESS, _INTERNET = 1, 1
_ANSWER, _NO_SUCH_NAME = 0x8580, 0x8583
"""The flags of an answer, from the authority; and of one that says that there is no such name."""
_SECONDS = 5
"""How long an answer may be kept."""
_MAX_ADDRESSES = 25
"""What fits into an answer by UDP."""


class Kept:
    """All objects of a kind, kept up to date by a thread."""

    def __init__(self, api: Api, path: str) -> None:
        self._api, self._path = api, path
        self._objects: dict[str, Any] = {}
        self.listed = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    def values(self) -> list[Any]:
        """The objects as they are now."""
        return list(self._objects.values())

    def _follow(self) -> None:
        while True:
            try:
                listed = self._api.value("GET", self._path)
                self._objects = {each["metadata"]["uid"]: each for each in listed["items"]}
                self.listed.set()
                self._watch(listed["metadata"]["resourceVersion"])
            except (OSError, AssertionError, ValueError) as exc:
                print(f"dns: {self._path}: {exc}", file=sys.stderr, flush=True)
                time.sleep(1)

    def _watch(self, version: str) -> None:
        for change in self._api.changes(f"{self._path}?watch=1&resourceVersion={version}"):
            match change["type"], change["object"]:
                case "ADDED" | "MODIFIED", found:
                    self._objects[found["metadata"]["uid"]] = found
                case "DELETED", found:
                    self._objects.pop(found["metadata"]["uid"], None)
                case _:
                    return  # the version is too old: list anew


class Question(NamedTuple):
    """A request for what is known of a name."""

    id: int
    labels: list[str]
    type: int
    raw: bytes

    @classmethod
    def read(cls, data: bytes) -> "Question":
        """Read the only question of a message; ValueError, IndexError or struct.error if there is none."""
        labels, at = list[str](), 12
        while length := data[at]:
            labels.append(data[at + 1 : at + 1 + length].decode("ascii").lower())
            at += 1 + length
        type, _ = struct.unpack_from("!HH", data, at + 1)
        return cls(struct.unpack_from("!H", data)[0], labels, type, data[12 : at + 5])

    def answer(self, addresses: list[str]) -> bytes:
        """An answer: without addresses, there is no such name."""
        shown = random.sample(addresses, min(len(addresses), _MAX_ADDRESSES)) if self.type == _ADDRESS else []
        flags = _ANSWER if addresses else _NO_SUCH_NAME
        head = struct.pack("!6H", self.id, flags, 1, len(shown), 0, 0)
        records = [struct.pack("!3HIH4s", 0xC00C, _ADDRESS, _INTERNET, _SECONDS, 4, socket.inet_aton(each))
                   for each in shown]  # fmt: skip
        return head + self.raw + b"".join(records)


class Names:
    """The names of a cluster."""

    def __init__(self, api: Api) -> None:
        self._services, self._slices = Kept(api, _SERVICES), Kept(api, _SLICES)

    def wait(self) -> None:
        """Wait until everything has been listed."""
        self._services.listed.wait()
        self._slices.listed.wait()

    def addresses(self, labels: list[str]) -> list[str]:
        """The IPv4 addresses of a name, each once."""
        match labels:
            case [name, namespace, "svc", "cluster", "local"]:
                found = self._found("", name, namespace)
            case [host, name, namespace, "svc", "cluster", "local"]:
                found = self._found(host, name, namespace)
            case _:
                return []
        return sorted({each for each in found if ":" not in each})

    def _found(self, host: str, name: str, namespace: str) -> Iterator[str]:
        for service in self._services.values():
            if (service["metadata"]["name"], service["metadata"]["namespace"]) == (name, namespace):
                if host or service["spec"].get("clusterIP") == "None":
                    yield from self._endpoints(host, name, namespace)
                elif "clusterIP" in service["spec"]:
                    yield service["spec"]["clusterIP"]

    def _endpoints(self, host: str, name: str, namespace: str) -> Iterator[str]:
        for slice in self._slices.values():
            of = slice["metadata"].get("labels", {}).get("kubernetes.io/service-name")
            if (of, slice["metadata"]["namespace"]) == (name, namespace):
                for endpoint in slice["endpoints"] or []:
                    if endpoint.get("conditions", {}).get("ready", True) and host in ("", endpoint.get("hostname")):
                        yield from endpoint["addresses"]


def main(kubeconfig: str, address: str) -> None:
    """Answer, for ever."""
    names = Names(Api(Path(kubeconfig)))
    names.wait()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, 53))
        while True:
            data, client = server.recvfrom(4096)
            try:
                question = Question.read(data)
            except (ValueError, IndexError, struct.error):
                continue  # it is no question
            server.sendto(question.answer(names.addresses(question.labels)), client)


if __name__ == "__main__":
    main(*sys.argv[1:])
