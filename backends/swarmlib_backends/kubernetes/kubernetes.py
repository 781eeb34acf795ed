"""`kubernetes`: a namespace of a cluster that answers the Docker API. Each container is a Pod.

All state lives in the cluster: any number of gateways may serve one namespace, and each may end at any time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from swarmlib import Backend, BadAnswer, Sender

from ..extras import load
from .options import KubernetesOptions


@dataclass
class Kubernetes(KubernetesOptions, Backend):
    """A namespace of a Kubernetes cluster as a Docker engine: each container is a Pod."""

    position = "last"

    async def preflight(self) -> None:
        """See `Backend.preflight`."""
        await self._load("api.client")
        from .api.kubeconfig import read_access

        read_access(self.kubeconfig, self.context, self.namespace)

    async def greet(self) -> str:
        """See `Backend.greet`."""
        await self._load("api.client")
        from .api.client import Api
        from .api.kubeconfig import read_access

        access = read_access(self.kubeconfig, self.context, self.namespace)
        async with Api.open(access) as api:
            told: object = await api.get("/version")
        version = cast("Mapping[str, object]", told).get("gitVersion") if isinstance(told, dict) else None
        if not isinstance(version, str):
            raise BadAnswer("the cluster's version must be an object with the text gitVersion", backend=self.name)
        return f"Kubernetes {version}, namespace {access.namespace}"

    @asynccontextmanager
    async def open(self, next: Sender, /) -> AsyncGenerator[Sender]:
        """See `Backend.open`.

        Raises:
            Invalid: the extra isn't installed, or the kubeconfig can't be used.
        """
        await self._load("engine")
        from .engine import Engine

        async with Engine(self).open(next) as sender:
            yield sender

    async def _load(self, module: str) -> None:
        await load(f"{__package__}.{module}", stage=self.name, extra="kubernetes")
