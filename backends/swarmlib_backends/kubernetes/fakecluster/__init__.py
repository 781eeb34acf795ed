"""A fake Kubernetes cluster on loopback: what the kubernetes backend, and other clients, need of one.

    async with fakecluster.serving(release=NEW) as cluster:
        kubeconfig.write_text(json.dumps(cluster.kubeconfig()))

It keeps namespaces, Pods, ConfigMaps, Services, EndpointSlices, Secrets, PersistentVolumeClaims, Nodes and Events with
an apiserver's own rules and errors: versions, conflicts, selectors, pages, patches, dry runs, watches with bookmarks,
compaction, owners, namespaces that end with all that is in them, and the rights of accounts. As a 1.20.2 (`OLD`) or a
1.35 (`NEW`), it speaks what these speak. `python -m swarmlib_backends.kubernetes.fakecluster --help` runs it.

Its Pods run the simulator's programs, with logs, exec, attach, signals, deadlines and volumes. What serves the ports of
Pods is given by tests (`cluster.streams.listeners`).

It lacks Deployments and other controllers' kinds, custom resources, server-side apply, tables and protobuf; probes,
NetworkPolicies and the addresses of Services do nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random

import trio

from swarmlib.errors import ungrouped

from ... import certificates
from ...enginekit.clock import Clock
from ...http.serving import Body
from ...http.serving import serving as serving_https
from .cluster import FakeCluster
from .errors import bad_request
from .garbage import Controllers
from .kinds import NEW, OLD, Release
from .rights import Rule, User

__all__ = ["NEW", "OLD", "FakeCluster", "Release", "Rule", "User", "serving"]


@asynccontextmanager
async def serving(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    seed: int = 0,
    release: Release = OLD,
    clock: Clock | None = None,
    nodes: int = 2,
) -> AsyncGenerator[FakeCluster]:
    """Run a fake; it ends with the context.

    port: 0 takes any free port. seed: of all randomness. clock: its time; by default the machine's. nodes: how
    many it has.

    Raises:
        Unavailable: the address is in use, or is not one of this machine.
    """
    server_tls, client_tls, ca = certificates.loopback_tls("fakecluster", host)
    cluster = FakeCluster(release, Random(seed), clock or Clock(), ca, client_tls, nodes)
    with ungrouped():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Controllers(cluster.objects, release).run)
            nursery.start_soon(cluster.kubelets.run)
            async with serving_https(host, port, server_tls, "fakecluster", cluster.answer, _refused) as cluster.url:
                yield cluster
                nursery.cancel_scope.cancel()


def _refused(reason: str) -> Body:
    """Return the answer to what is not HTTP."""
    return bad_request(reason).status
