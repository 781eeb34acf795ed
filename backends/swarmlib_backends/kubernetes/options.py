"""The options of `kubernetes`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from swarmlib import option
from swarmlib.quantities import Duration


@dataclass
class KubernetesOptions:
    """The options of `kubernetes`."""

    kubeconfig: str = option("kubeconfig (default: $KUBECONFIG, then ~/.kube/config)", default="", metavar="FILE")
    context: str = option("context of the kubeconfig (default: the current one)", default="", metavar="NAME")
    namespace: str = option("namespace (default: the context's)", default="", metavar="NAME")
    tools: Literal["auto", "always", "never"] = option(
        "whether containers get swarmlib's tools, which kill, cp, top and attach before start need", default="auto"
    )
    tools_image: str = option("image with a static busybox at /bin/busybox", default="busybox", metavar="IMAGE")
    insecure_registry: list[str] = option(
        "registry that is spoken to without TLS, besides those on this machine", default=[], metavar="HOST[:PORT]"
    )
    start_timeout: Duration = option("how long a container may wait for a node with room for it", default=120.0)
