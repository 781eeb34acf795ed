"""What a simulated engine has from its start: images, and running containers, as many as wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..dockerapi.references import normal
from . import create
from .container import Container
from .containers import Containers
from .endpoint import Endpoint
from .engine import Engine
from .lifecycle import Lifecycle

_BUSYBOX: Final = "busybox:latest"
_BODY: Final[dict[str, Any]] = {"Image": "busybox", "Cmd": ["sleep", "infinity"]}
_MAX_ON_BRIDGE: Final = 60_000
"""The bridge has no more addresses than 65,533: what is seeded beyond has the host's network."""


def seed(engine: Engine, containers: Containers, life: Lifecycle, *, images: Sequence[str], count: int) -> None:
    """Fill an engine.

    Raises:
        SwarmError: a reference is none.
    """
    for ref in (_BUSYBOX, *map(normal, images)):
        if engine.images.lookup(ref) is None:
            engine.images.add_runnable(ref)
    image = engine.images.find(_BUSYBOX)
    on_bridge, on_host = (
        create.host_of(_BODY, engine),
        create.host_of(_BODY | {"HostConfig": {"NetworkMode": "host"}}, engine),
    )
    config = create.config_of(_BODY | {"Hostname": "seeded"}, image, "")
    for number in range(count):
        host, network = (on_bridge, "bridge") if number < _MAX_ON_BRIDGE else (on_host, "host")
        name = engine.names.name(engine.containers.named)
        container = Container(engine.names.id(), name, engine.clock.now(), image, config, host, {network: Endpoint()})
        containers.add(container)
        engine.networks.join(container, engine.networks.find(network), {})
        life.mark_running(container, engine.next_pid())
