"""Which operations a rule names: by the routing table's names, by verb and by family of objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Final

from swarmlib import Invalid
from swarmlib.suggestions import nearest

from ..dockerapi import schema
from ..dockerapi.rows import ROWS, Row
from . import containers, objects
from .demands import Reader

_BY_NAME: Final = {row.name: row for row in ROWS}
JUDGED: Final[Mapping[str, Reader]] = {
    "ContainerCreate": containers.read,
    "ContainerExec": objects.command,
    "ExecStart": objects.beginning,
    "NetworkCreate": objects.network,
    "VolumeCreate": objects.volume,
}
"""The readers of the bodies that are judged field by field."""
JUDGED_PARAMETERS: Final = frozenset({"checkpoint", "checkpoint-dir"})
"""The parameters that the API knows, and that reach for the host: a start reads a checkpoint from any folder."""
_BY_PARAMETERS: Final = frozenset({"ImageCreate", "ImageTag", "ImagePush", "ContainerRename", "PluginPull"})
"""The operations whose parameters decide what happens to other objects than the one in the path."""


def family(row: Row) -> str:
    """Return the kind of object that an operation is about: `containers`, `images`, `system`, …"""
    return row.template.removeprefix("/").partition("/")[0] if row.shape else "system"


def named(pattern: str) -> frozenset[str]:
    """Return the names of the operations that a pattern selects.

    pattern: a name such as `ContainerList`, which may hold `*`; or `verb:ls`, or `family:images`.

    Raises:
        Invalid: it selects none.
    """
    key, colon, value = pattern.partition(":")
    if not colon:
        found = {name for name in _BY_NAME if fnmatchcase(name, pattern)}
        known = sorted(_BY_NAME)
    elif key == "verb":
        found = {row.name for row in ROWS if row.verb == value}
        known = sorted({row.verb.value for row in ROWS})
    elif key == "family":
        found = {row.name for row in ROWS if family(row) == value}
        known = sorted({family(row) for row in ROWS})
    else:
        raise Invalid(f"invalid operation {pattern!r}: expected a name, verb:VERB or family:FAMILY")
    if not found:
        raise Invalid(f"unknown operation {pattern!r}; {nearest(value or pattern, known)}")
    return frozenset(found)


def unjudged(names: frozenset[str]) -> Iterator[str]:
    """Yield the operations whose bodies, uploads or parameters say what happens, and are not judged yet."""
    for name in sorted(names - JUDGED.keys()):
        row = _BY_NAME[name]
        if row.upload or schema.body_reader(name) is not None or name in _BY_PARAMETERS:
            yield name
