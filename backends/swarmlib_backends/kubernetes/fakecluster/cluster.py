"""The entrance of the fake cluster: credentials and rights, before a request reaches the objects or the Pods."""

from __future__ import annotations

import base64
import logging
import ssl
from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ...enginekit.clock import Clock
from ...http.serving import Answer, Request
from ..api.resources import NAMESPACES
from .crud import Crud
from .errors import StatusError
from .kinds import Release, discovered
from .kubelet import Kubelets
from .objects import Objects
from .pod_streams import PodStreams
from .rights import Accounts, User, check
from .routes import act_of
from .store import Store

_log = logging.getLogger(__name__)
_HEALTH = ("/healthz", "/livez", "/readyz")


@dataclass
class FakeCluster:
    """A running fake. Its attributes are the interface for tests.

    release: what it speaks. url: where it listens. ca: the certificate of its authority (PEM). tls: a context for
    clients that trusts it. asked: the last requests, as "METHOD /path". bugs: requests that failed in the fake itself.
    """

    release: Release
    random: Random
    clock: Clock
    ca: bytes
    tls: ssl.SSLContext
    nodes: int = 1
    url: str = ""
    accounts: Accounts = field(default_factory=Accounts)
    asked: deque[str] = field(default_factory=lambda: deque[str](maxlen=100_000))
    bugs: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.store = Store()
        self.objects = Objects(self.store, self.clock, self.random)
        self.crud = Crud(self.objects)
        self.admin = self.add_user(User("admin"))
        self.kubelets = Kubelets(self.objects, self.nodes)
        self.streams = PodStreams(self.objects, self.kubelets, self.release)
        for name in ("default", "kube-system"):
            self.objects.create(NAMESPACES, "", {"metadata": {"name": name}})

    def add_user(self, user: User) -> str:
        """Add an account, and return its token."""
        token = f"fake-{self.random.getrandbits(128):032x}"
        self.accounts.tokens[token] = user
        return token

    def kubeconfig(self, token: str = "", namespace: str = "default") -> dict[str, Any]:
        """Return a kubeconfig for an account, by its token; by default for the administrator."""
        cluster = {"server": self.url, "certificate-authority-data": _base64(self.ca)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": cluster}],
            "users": [{"name": "fake", "user": {"token": token or self.admin}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake", "namespace": namespace}}],
        }

    def compact(self) -> None:
        """Forget all versions of objects but the present ones, as a compaction of etcd does."""
        self.store.compact()

    async def answer(self, request: Request) -> Answer | None:
        """Answer a request."""
        self.asked.append(f"{request.method} {request.path}")
        try:
            found = await self._answered(request)
        except StatusError as exc:
            found = exc.answer()
        except Exception as exc:  # noqa: BLE001 - one request must not end the server
            found = self._bug(request, exc)
        _log.info("fakecluster: %s %s: %d", request.method, request.path, found.status)
        return found

    async def _answered(self, request: Request) -> Answer:
        if request.path in _HEALTH:
            return Answer(200, b"ok")
        user = self.accounts.of(request.headers.get("authorization", ""))
        if request.method == "GET" and (found := discovered(self.release, request.path)) is not None:
            return Answer(200, found)
        act = act_of(request, self.release)
        check(user, act, self.release)
        if act.subresource not in ("", "status", "resize"):
            return self.streams.answer(act, request)
        return self.crud.answer(act, request, user)

    def _bug(self, request: Request, exc: Exception) -> Answer:
        _log.error("fakecluster: %s %s failed by a bug", request.method, request.path, exc_info=exc)
        self.bugs.append(f"{request.method} {request.path} failed: {exc!r}")
        return StatusError(500, "InternalError", f"the fake has a bug: {exc!r}", {}).answer()


def _base64(data: bytes) -> str:

    return base64.b64encode(data).decode()
