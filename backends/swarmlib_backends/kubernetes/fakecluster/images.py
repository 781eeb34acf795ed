"""The images that the fake cluster's nodes can pull: their files, and their commands.

`bare` has neither a shell nor tar; an image whose name begins with `nosuch` doesn't exist; all others are what a
simulated registry has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ...dockerapi.nullable import list_of
from ...simulator import pulled
from ...simulator.files import Node
from ...simulator.programs import PROGRAMS

_BARE: Final = ("cat", "echo", "false", "sleep", "true")
_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Image:
    """An image."""

    files: Mapping[str, Node]
    command: tuple[str, ...]
    entrypoint: tuple[str, ...] = ()
    env: tuple[str, ...] = (f"PATH={_DEFAULT_PATH}",)


def image_of(reference: str) -> Image | None:
    """Return an image; None if no registry has it."""
    name = reference.partition("@")[0].rpartition("/")[2].partition(":")[0]
    if name.startswith("nosuch"):
        return None
    if name == "bare":
        found = pulled.files("busybox", [*_BARE])
        cat = found["/bin/busybox"]
        return Image({"/bin/cat": cat} | {f"/bin/{each}": cat for each in _BARE}, ("cat",))
    config: Mapping[str, Any] = pulled.config(reference)
    return Image(pulled.files(reference, [*PROGRAMS, "busybox", "kill", "tar"]), tuple(list_of(config["Cmd"])))
