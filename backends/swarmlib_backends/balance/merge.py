"""One answer out of many: how the lists and summaries of several engines become those of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias, cast

from swarmlib import Path

from .versions import Range, common, said_by

Parts: TypeAlias = "list[tuple[str, Any]]"
"""Each member's name, and its own answer."""

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
_EVERYWHERE: Final = frozenset({"bridge", "host", "none"})


def containers(parts: Parts) -> list[Any]:
    """Every engine's containers, the newest first, each with its engine in `Node`."""
    merged = [{**item, "Node": node} for node, items in parts for item in items]
    return sorted(merged, key=lambda item: item.get("Created", 0), reverse=True)


def images(parts: Parts) -> list[Any]:
    """Every engine's images, each once, with the tags that it has anywhere."""
    merged: dict[str, dict[str, Any]] = {}
    for _, items in parts:
        for item in items:
            known = merged.setdefault(item["Id"], dict(item))
            for key in ("RepoTags", "RepoDigests"):
                known[key] = list(dict.fromkeys([*(known.get(key) or []), *(item.get(key) or [])]))
    return sorted(merged.values(), key=lambda item: item.get("Created", 0), reverse=True)


def networks(parts: Parts) -> list[Any]:
    """Every engine's networks; the three that every engine has, once."""
    merged = [{**item, "Node": node} for node, items in parts for item in items]
    first = {item["Name"]: item for item in reversed(merged) if item["Name"] in _EVERYWHERE}
    return [item for item in merged if first.get(item["Name"], item) is item]


def volumes(parts: Parts) -> dict[str, Any]:
    """Every engine's volumes, and what each has to say of them."""
    lists: list[tuple[str, list[dict[str, Any]], list[str]]] = [
        (node, answer.get("Volumes") or [], answer.get("Warnings") or []) for node, answer in parts
    ]
    return {
        "Volumes": [{**item, "Node": node} for node, items, _ in lists for item in items],
        "Warnings": [f"{node}: {text}" for node, _, texts in lists for text in texts],
    }


def plugins(parts: Parts) -> list[Any]:
    """Every engine's plugins."""
    return [{**item, "Node": node} for node, items in parts for item in items]


def info(parts: Parts) -> dict[str, Any]:
    """The first engine's description, with the counts and resources of all summed, and each one's share."""
    merged = dict(parts[0][1])
    for key in _SUMS:
        merged[key] = sum(item.get(key, 0) for _, item in parts)
    warnings = [f"{node}: {text}" for node, item in parts for text in cast("list[Any]", item.get("Warnings") or [])]
    shares = [[node, f"{item.get('Containers', 0)} containers, {item.get('Images', 0)} images"] for node, item in parts]
    merged |= {"Name": "swarmlib", "Warnings": warnings, "SystemStatus": shares}
    return merged


def version(parts: Parts) -> dict[str, Any]:
    """The version of the oldest engine, with the API versions that a client may count on everywhere."""
    ranges = [Range.of(item) for _, item in parts]
    oldest = min(range(len(parts)), key=lambda index: ranges[index].newest)
    return said_by(parts[oldest][1], common(ranges))


def usage(parts: Parts) -> dict[str, Any]:
    """Disk usage: the lists of all in a row, the sizes summed."""
    merged: dict[str, Any] = {_LAYERS: sum(item.get(_LAYERS) or 0 for _, item in parts)}
    for key in dict.fromkeys(key for _, item in parts for key in item if key != _LAYERS):
        values = [item.get(key) for _, item in parts]
        lists: list[Any] = [value or [] for value in values if value is None or isinstance(value, list)]
        merged[key] = joined(lists) if len(lists) == len(values) else values[0]
    return merged


def joined(lists: Iterable[Any]) -> list[Any]:
    """The lists in a row."""
    return [item for part in lists for item in cast("list[Any]", part or [])]


def deleted(parts: Parts) -> Any:
    """What a prune or an image's removal says it removed, of every engine that did."""
    answers = [item for _, item in parts if item is not None]
    if not answers:
        return None
    if isinstance(answers[0], list):
        return joined(answers)
    merged: dict[str, Any] = {}
    for key in dict.fromkeys(key for item in answers for key in item):
        values = [item.get(key) for item in answers]
        merged[key] = sum(values) if all(isinstance(v, int) for v in values) else joined(values)
    return merged


LISTS: Final[Mapping[Path, Callable[[Parts], Any]]] = {
    ("containers",): containers,
    ("images",): images,
    ("networks",): networks,
    ("volumes",): volumes,
    ("plugins",): plugins,
}
SUMMARIES: Final[Mapping[Path, Callable[[Parts], Any]]] = {(): info, ("version",): version, ("df",): usage}
