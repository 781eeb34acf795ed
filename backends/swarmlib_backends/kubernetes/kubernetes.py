"""`kubernetes`: a namespace of a cluster that answers the Docker API. Each container is a Pod.

All state lives in the cluster: any number of gateways may serve one namespace, and each may end at any time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module

import trio

from swarmlib import Backend, Invalid, Sender

from .options import KubernetesOptions


@dataclass
class Kubernetes(KubernetesOptions, Backend):
    """A namespace of a Kubernetes cluster as a Docker engine: each container is a Pod."""

    position = "last"

    async def preflight(self) -> None:
        """See `Backend.preflight`."""
        try:
            from .api.kubeconfig import read_access
        except ModuleNotFoundError as exc:
            raise _extra_missing(exc) from exc
        read_access(self.kubeconfig, self.context, self.namespace)

    @asynccontextmanager
    async def open(self, next: Sender, /) -> AsyncGenerator[Sender]:
        """See `Backend.open`.

        Raises:
            Invalid: the extra isn't installed, or the kubeconfig can't be used.
        """
        try:
            await trio.to_thread.run_sync(import_module, f"{__package__}.engine")
            from .engine import Engine
        except ModuleNotFoundError as exc:
            raise _extra_missing(exc) from exc
        async with Engine(self).open(next) as sender:
            yield sender


def _extra_missing(exc: ModuleNotFoundError) -> Invalid:
    return Invalid(f"kubernetes requires its extra: pip install 'swarmlib[kubernetes]' ({exc})")
