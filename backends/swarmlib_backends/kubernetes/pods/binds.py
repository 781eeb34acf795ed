"""The part of a Pod that gets copies of what a container binds: volumes, and an init container that waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from . import shim, tars
from .options import PodOptions
from .volume import Volume

WAITS: Final = "swarm-binds"
"""The name of the init container."""
INSIDE: Final = "copy"
"""What a volume holds of a bind: its folder or its file, of this name."""
_FOLDER: Final = "/.swarm-binds"
_COPIED: Final = f"{shim.FOLDER}/copied"
_WAIT: Final = f"until [ -e {_COPIED} ]; do {shim.BUSYBOX} sleep 0.1; done; {shim.BUSYBOX} sleep 0.5"
"""Waits for the copies, and then until the cluster has told how the command has ended that has made them."""
UNPACK: Final = (shim.BUSYBOX, "sh", "-c", f"({tars.UNPACK}) && : >{_COPIED}", "sh", _FOLDER)
"""The command that makes the copies, of a tar with their places (`place`)."""


def place(volume: Volume) -> str:
    """Return the path of a bind's copy in the tar."""
    return f"{volume.name}/{INSIDE}"


def waiting_container(made: Sequence[Volume], options: PodOptions) -> list[dict[str, Any]]:
    """Return the init container that waits for the copies, if there are any."""
    mounts = [{"name": each.name, "mountPath": f"{_FOLDER}/{each.name}"} for each in made if each.bind]
    if not mounts:
        return []
    return [
        {
            "name": WAITS,
            "image": options.tools_image,
            "imagePullPolicy": "IfNotPresent",
            "command": shim.doubled((shim.BUSYBOX, "sh", "-c", _WAIT)),
            "volumeMounts": [shim.MOUNT, *mounts],
        }
    ]
