"""How the author of a leaf describes its workloads to the kit, so that the kit can use them."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from ..names import Path
from .reference import LINES


def as_it_comes(stream: trio.abc.ReceiveStream) -> AsyncIterable[bytes | bytearray]:
    """Return the bytes of a stream that is not framed."""
    return stream


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """What a leaf has. The rules about fields that are left out don't apply; what is given, the leaf must have.

    Attributes:
        place: where workloads are spawned and listed.
        idle: the body to spawn for a workload that, once started, runs until it is stopped.
        talks: for one that, once started, writes `lines` and ends; its `attach` gives them.
        echoes: for one whose `connect` stream returns what is sent on it, and ends when that ends.
        connect_params: the parameters of that `connect`.
        unframed: reads the payload out of that stream, where the leaf frames it (Docker does without a TTY).
        files: the words after an `idle` workload's path at which `file` puts a tar into `folder`, its parameter
            `path`, and returns a tar of what is there.
    """

    place: Path = ("containers",)
    idle: Any = None
    talks: Any = None
    lines: tuple[bytes, ...] = ()
    echoes: Any = None
    connect_params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    unframed: Callable[[trio.abc.ReceiveStream], AsyncIterable[bytes | bytearray]] = as_it_comes
    files: Path | None = None
    folder: str = "/tmp"


REFERENCE: Final = Leaf(
    idle={"Image": "idle"},
    talks={"Image": "talks"},
    lines=LINES,
    echoes={"Image": "echoes"},
    files=("archive",),
)
"""The description of the kit's own `Reference`."""
