"""The merging of answers: how the lists and summaries of several engines become those of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from swarmlib import Path

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.versions import Range
from . import swarm_mode
from .labels import LABEL
from .node import Node
from .versions import common, said_by

Parts: TypeAlias = list[tuple[Node, Any]]
"""Each engine with its own answer."""

_SUMS: Final = (
    "Containers",
    "ContainersRunning",
    "ContainersPaused",
    "ContainersStopped",
    "Images",
    "NCPU",
    "MemTotal",
)
_LAYERS: Final = "LayersSize"


def listed(item: Any, node: Node) -> dict[str, Any]:
    """Add its engine to a container in a list, as a field, and as a label that the docker CLI can show."""
    return {**item, "Node": node.name, "Labels": {**dict_of(item.get("Labels")), LABEL: node.name}}


def inspected(item: Any, node: Node) -> dict[str, Any]:
    """Add its engine to an inspection. The labels stay as the client set them, as tools recreate objects from
    inspections, and compare these with what they asked for.
    """
    return {**item, "Node": described(node)}


def described(node: Node) -> dict[str, Any]:
    """Describe a node in the form that the Engine API took over from the old Swarm, Go's `types.ContainerNode`."""
    about = node.about
    return {
        "ID": about.get("ID") or "",
        "IP": dict_of(about.get("Swarm")).get("NodeAddr") or "",
        "Addr": "",  # the address of the engine's API, which a chain doesn't tell
        "Name": node.name,
        "Cpus": about.get("NCPU") or 0,
        "Memory": about.get("MemTotal") or 0,
        "Labels": node.labelled,
    }


def containers(parts: Parts) -> list[Any]:
    """Merge the containers of all engines, newest first, each with its engine."""
    merged = [listed(item, node) for node, found in parts for item in list_of(found)]
    return sorted(merged, key=_created, reverse=True)


def _created(item: Mapping[str, Any]) -> int:
    return item.get("Created") or 0


def images(parts: Parts) -> list[Any]:
    """Merge the images of all engines, each once, with all its tags and the engines that have it."""
    merged: dict[str, dict[str, Any]] = {}
    for node, found in parts:
        for item in list_of(found):
            known = merged.setdefault(item["Id"], {**item, "Nodes": []})
            known["Nodes"].append(node.name)
            for key in ("RepoTags", "RepoDigests"):
                known[key] = _real_names([*list_of(known.get(key)), *list_of(item.get(key))])
            count: int | None = item.get("Containers")
            if len(known["Nodes"]) > 1 and count is not None and count >= 0:
                known["Containers"] = max(known.get("Containers") or 0, 0) + count
    return sorted(merged.values(), key=_created, reverse=True)


def _real_names(names: list[str]) -> list[str]:
    """Return each name once; `<none>` only if there is no other, as an engine does."""
    once = list(dict.fromkeys(names))
    return [name for name in once if not name.startswith("<none>")] or once


def networks(parts: Parts) -> list[Any]:
    """Merge the networks of all engines, as inspections show them; those of a swarm, the same on all, appear once.

    A manager says which networks its swarm has: a worker may still list one that has been removed.
    """
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    managed = frozenset[str]().union(*(swarm_mode.managers_of(node.about) for node, _ in parts if _manages(node)))
    for node, found in parts:
        for item in list_of(found):
            of_swarm = item.get("Scope") == swarm_mode.SCOPE
            if of_swarm and not _manages(node) and managed & swarm_mode.managers_of(node.about):
                continue
            merged.setdefault(("" if of_swarm else node.name, item["Id"]), inspected(item, node))
    return list(merged.values())


def _manages(node: Node) -> bool:
    return swarm_mode.is_manager(node.about)


def volumes(parts: Parts) -> dict[str, Any]:
    """Merge the volumes of all engines, as inspections show them, and the warnings of each.

    Those of a swarm, the same on all its managers, appear once.
    """
    lists: list[tuple[Node, list[dict[str, Any]], list[str]]] = [
        (node, list_of(dict_of(answer).get("Volumes")), list_of(dict_of(answer).get("Warnings")))
        for node, answer in parts
    ]
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for node, found, _ in lists:
        for item in found:
            of_swarm = bool(item.get("ClusterVolume"))
            merged.setdefault(("" if of_swarm else node.name, item["Name"]), inspected(item, node))
    return {
        "Volumes": list(merged.values()),
        "Warnings": [f"{node.name}: {text}" for node, _, texts in lists for text in texts] or None,
    }


def plugins(parts: Parts) -> list[Any]:
    """Merge the plugins of all engines."""
    return [{**item, "Node": node.name} for node, found in parts for item in list_of(found)]


def info(parts: Parts) -> dict[str, Any]:
    """Return the first engine's description, with the counts and resources of all summed, and each one's share.

    The fields about swarm mode are a manager's, if there is one: calls that concern swarm mode go there.
    """
    merged = dict(parts[0][1])
    if (manager := swarm_mode.speaker(item for _, item in parts)) is not None:
        merged["Swarm"] = parts[manager][1]["Swarm"]
    for key in _SUMS:
        merged[key] = sum(item.get(key) or 0 for _, item in parts)
    warnings = [f"{node.name}: {text}" for node, item in parts for text in list_of(item.get("Warnings"))]
    # `SystemStatus` was made for this; the docker CLI stopped showing it, and some clients expect a plain list.
    drivers = [[f"Node {node.name}", _share(item)] for node, item in parts]
    merged |= {"Name": "swarmlib", "Warnings": warnings or None}
    merged["DriverStatus"] = [*list_of(merged.get("DriverStatus")), *drivers]
    return merged


def with_capacity(merged: Mapping[str, Any], capacity: Mapping[str, Any]) -> dict[str, Any]:
    """Return an info with what a provisioner says of the nodes that it has and could have."""
    lines = [*list_of(merged.get("DriverStatus")), *list_of(capacity.get("DriverStatus"))]
    return {**merged, **capacity, "DriverStatus": lines}


def _share(item: dict[str, Any]) -> str:
    running, memory = item.get("ContainersRunning") or 0, (item.get("MemTotal") or 0) / 2**30
    held = f"{item.get('Containers') or 0} containers ({running} running), {item.get('Images') or 0} images"
    return f"{held}, {item.get('NCPU') or 0} CPUs, {memory:.1f} GiB, version {item.get('ServerVersion') or 'unknown'}"


def version(parts: Parts) -> dict[str, Any]:
    """Return the version of the oldest engine, with the API versions that work on every engine."""
    ranges = [Range.of(item) for _, item in parts]
    oldest = min(range(len(parts)), key=lambda index: ranges[index].newest)
    return said_by(parts[oldest][1], common(ranges))


def usage(parts: Parts) -> dict[str, Any]:
    """Merge disk usage: sizes summed, lists concatenated, each entry with its engine, and each engine's share."""
    merged: dict[str, Any] = {_LAYERS: sum(item.get(_LAYERS) or 0 for _, item in parts)}
    for key in dict.fromkeys(key for _, item in parts for key in item if key != _LAYERS):
        values = [(node, item.get(key)) for node, item in parts]
        if all(value is None or isinstance(value, list) for _, value in values):
            merged[key] = [{**each, "Node": node.name} for node, value in values for each in list_of(value)]
        else:
            merged[key] = _summed([value for _, value in values])
    merged["Nodes"] = {node.name: {_LAYERS: item.get(_LAYERS) or 0} for node, item in parts}
    return merged


def _summed(values: Iterable[Any]) -> Any:
    """Merge values: add numbers, join lists, and merge objects by field (API 1.52 and later); else take the first."""
    given = [value for value in values if value is not None]
    if given and all(isinstance(value, dict) for value in given):
        return {key: _summed(value.get(key) for value in given) for key in dict.fromkeys(k for v in given for k in v)}
    if given and all(isinstance(value, list) for value in given):
        return joined(given)
    if given and all(isinstance(value, int) and not isinstance(value, bool) for value in given):
        return sum(given)
    return given[0] if given else None


def joined(lists: Iterable[Any]) -> list[Any]:
    """Concatenate the lists."""
    return [item for part in lists for item in list_of(part)]


def deleted(parts: Parts) -> Any:
    """Merge what the prunes, or an image's removals, on all engines report as removed, each thing once."""
    answers = [item for _, item in parts if item is not None]
    if not answers:
        return None
    if isinstance(answers[0], list):
        return list({tuple(each.items()): each for each in joined(answers)}.values())
    return _summed(answers)


LISTS: Final[Mapping[Path, Callable[[Parts], Any]]] = {
    ("containers",): containers,
    ("images",): images,
    ("networks",): networks,
    ("volumes",): volumes,
    ("plugins",): plugins,
}
SUMMARIES: Final[Mapping[Path, Callable[[Parts], Any]]] = {(): info, ("version",): version, ("df",): usage}
