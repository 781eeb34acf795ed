"""The options of `kubernetes`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from swarmlib import Invalid, option
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
    keep: bool = option(
        "keep the files of containers over their ends, so that they run again; those made without it can't",
        default=False,
    )
    tools_image: str = option("image with a static busybox at /bin/busybox", default="busybox", metavar="IMAGE")
    requests: float = option(
        "part of a limit (--memory, --cpus) that is requested from the scheduler, from 0 to 1", default=1.0
    )
    pod_template: str = option("Pod (YAML) whose fields are the defaults of all Pods", default="", metavar="FILE")
    service_account: str = option(
        "service account whose token containers get (default: none)", default="", metavar="NAME"
    )
    pull_secret: list[str] = option(
        "Secret with credentials for registries, besides those of docker login", default=[], metavar="NAME"
    )
    cluster_domain: str = option("the cluster's own domain", default="cluster.local", metavar="DOMAIN")
    insecure_registry: list[str] = option(
        "registry that is spoken to without TLS, besides those on this machine", default=[], metavar="HOST[:PORT]"
    )
    start_timeout: Duration = option("how long a container may wait for a node with room for it", default=120.0)

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        if not 0 <= self.requests <= 1:
            raise Invalid(f"--requests must be from 0 to 1, not {self.requests:g}")
        if self.keep and self.tools == "never":
            raise Invalid("--keep and --tools never can't be used together")
