"""Where an engine would keep what the simulator has in memory: paths that inspections show."""

from __future__ import annotations

from typing import Any, Final

ROOT: Final = "/var/lib/docker"


def graph_driver(id: str, *folders: str) -> dict[str, Any]:
    """Where the files of a container or an image would be."""
    return {"Name": "simulator", "Data": {name: f"{ROOT}/simulator/{id}/{name.lower()}" for name in folders}}
