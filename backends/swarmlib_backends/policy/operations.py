"""Which operations a rule names: by the routing table's names, by verb and by family of objects."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

from swarmlib import Invalid
from swarmlib.suggestions import nearest

from ..dockerapi.rows import ROWS, WHOLE, Row

_BY_NAME: Final = {row.name: row for row in (*ROWS, WHOLE)}


def family(row: Row) -> str:
    """Return the kind of object that an operation is about: `containers`, `images`, `system`, …"""
    return row.template.removeprefix("/").partition("/")[0] if row.template and row.shape else "system"


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
        known = sorted({f"verb:{row.verb.value}" for row in ROWS})
    elif key == "family":
        found = {row.name for row in ROWS if family(row) == value}
        known = sorted({f"family:{family(row)}" for row in ROWS})
    else:
        raise Invalid(f"invalid operation {pattern!r}: expected a name, verb:VERB or family:FAMILY")
    if not found:
        raise Invalid(f"unknown operation {pattern!r}; {nearest(pattern, known)}")
    return frozenset(found)
