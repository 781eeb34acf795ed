"""The options of `kubernetes`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from swarmlib import Invalid, Stages, SwarmError, option
from swarmlib.quantities import Duration, Size

from ..dockerapi.references import is_registry, normal
from .pods.claims import AccessMode


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
        "part of a limit (--memory, --cpus) that is requested from the scheduler, from 0 to 1",
        default=1.0,
        metavar="FRACTION",
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
    registry_mirror: str = option(
        "registry that is asked in place of Docker Hub, and that the nodes pull from",
        default="",
        metavar="HOST[:PORT]",
    )
    storage_class: str = option(
        "storage class of named volumes (default: the cluster's default)", default="", metavar="NAME"
    )
    volume_size: Size = option("size of a named volume, unless it is created with the option size", default=2**30)
    access_mode: AccessMode = option("how the nodes of a cluster may mount a named volume", default="ReadWriteOnce")
    binds: Literal["refuse", "copy"] = option(
        "whether folders of this machine (-v) are copied into the Pod before the start; changes don't come back",
        default="refuse",
    )
    binds_size: Size = option("the most bytes of a folder that is copied", default=256 * 2**20)
    logs: Literal["node", "capture"] = option(
        "logs as the nodes keep them, or with stdout and stderr apart by a second container in each Pod", default="node"
    )
    ports: Literal["forward", "pod", "node"] = option(
        "published ports: forwarded by the gateway, told as the Pod's own, or listened for by all nodes",
        default="forward",
    )
    builder: Stages | None = option(
        "chain with an engine that builds images, and loads, saves and pushes them", default=None, metavar="CHAIN"
    )
    registry: str = option("where the nodes find what is built", default="", metavar="HOST[/PREFIX]")
    isolate: bool = option("NetworkPolicies that let in only containers of the same network", default=False)
    start_timeout: Duration = option("how long a container may wait for a node with room for it", default=120.0)

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        if not 0 <= self.requests <= 1:
            raise Invalid(f"--requests must be from 0 to 1, not {self.requests:g}")
        if self.tools == "never" and (self.keep or self.logs == "capture"):
            raise Invalid(f"{'--keep' if self.keep else '--logs capture'} and --tools never can't be used together")
        if (self.builder is None) != (not self.registry):
            raise Invalid("--builder and --registry require each other")
        for given, expected in ((self.registry, "HOST[:PORT][/PREFIX]"), (self.registry_mirror, "HOST[:PORT]")):
            if given:
                _check_registry(given, expected)


def _check_registry(given: str, expected: str) -> None:
    form = f"invalid registry {given!r:.120}: expected {expected}"
    try:
        known = normal(f"{given}/image")
    except SwarmError as exc:
        raise Invalid(f"{form} ({exc.message})") from exc
    host, prefixed, _ = given.partition("/")
    if known != f"{given}/image:latest" or not is_registry(host) or (prefixed and "PREFIX" not in expected):
        raise Invalid(form)
