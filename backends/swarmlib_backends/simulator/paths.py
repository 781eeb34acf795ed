"""Where an engine would keep what the simulator has in memory: paths that inspections show."""

from __future__ import annotations

from typing import Any, Final

from ..dockerapi.status import refusal

ROOT: Final = "/var/lib/docker"
LONGEST_NAME: Final = 255
"""Bytes of a part of a path, at most."""
_LONGEST_PATH: Final = 4095


def check_length(path: str, id: str) -> None:
    """Refuse a path in the files of a container that is too long for a file system. Raises `SwarmError`."""
    if len(path.encode()) > _LONGEST_PATH or any(len(name.encode()) > LONGEST_NAME for name in path.split("/")):
        raise refusal(500, f"lstat {ROOT}/overlay2/{id}/merged{path}: file name too long")


def graph_driver(id: str, *folders: str) -> dict[str, Any]:
    """Return where the files of a container or an image would be."""
    return {"Name": "simulator", "Data": {name: f"{ROOT}/simulator/{id}/{name.lower()}" for name in folders}}
