"""What the operator of a chain says about all of its Pods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from .claims import Claim

Tools: TypeAlias = Literal["auto", "always", "never"]
Binds: TypeAlias = Literal["refuse", "copy"]
Publishing: TypeAlias = Literal["forward", "pod", "node"]


@dataclass(frozen=True)
class PodOptions:
    """How Pods are made.

    Attributes:
        namespace: the one they are in.
        tools: whether Pods get `/.swarm/busybox`. `auto`: all get it, and a command is started by it if all of the
            command is known. `always`: a container whose image's entrypoint is not known is refused. `never`: none.
        tools_image: an image with a static busybox at /bin/busybox.
        keep: whether new containers outlive their commands, with their files; except those that remove themselves.
        requests: the part of a limit that is requested from the scheduler, from 0 to 1.
        claim: what is claimed for a named volume, unless its own options say otherwise.
        binds: whether folders of the gateway's machine are copied in where they would be mounted, or refused.
        template: a Pod whose fields are the defaults of all Pods.
        service_account: whose token containers get; "" for none.
        pull_secrets: names of Secrets with credentials for registries.
        domain: the cluster's own domain.
        ports: how published ports are reached: the gateway forwards connections to them, they are the Pod's own, or
            the nodes listen for them.
        capture: whether a second container in each Pod keeps stderr apart in the logs.
        isolate: whether a Pod lets in only those that share a network with it.
    """

    namespace: str = "default"
    tools: Tools = "auto"
    tools_image: str = "busybox"
    keep: bool = False
    requests: float = 1.0
    claim: Claim = field(default_factory=Claim)
    binds: Binds = "refuse"
    template: Mapping[str, Any] = field(default_factory=dict[str, Any])
    service_account: str = ""
    pull_secrets: Sequence[str] = ()
    domain: str = "cluster.local"
    ports: Publishing = "forward"
    capture: bool = False
    isolate: bool = False
