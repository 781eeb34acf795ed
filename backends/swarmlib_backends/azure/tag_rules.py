"""The rules of Azure for tags: https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from swarmlib import Invalid

MOST: Final = 35
"""How many tags of its own a machine may have: Azure allows 50, and swarmlib needs up to 15, such as for leases."""
_LONGEST: Final = (512, 256)
_BAD: Final = "<>%&\\?/"
_RESERVED: Final = ("microsoft", "azure", "windows")
"""How names must not begin, in any case."""


def check_tags(tags: Mapping[str, str]) -> None:
    """Check the tags of a machine.

    Raises:
        Invalid: they are too many, or Azure does not allow one of them; the error names it.
    """
    if len(tags) > MOST:
        raise Invalid(f"a machine can't have {len(tags)} tags: the maximum is {MOST}, and labels are tags")
    seen: dict[str, str] = {}
    for name, value in tags.items():
        if not name or set(_BAD) & set(name) or len(name) > _LONGEST[0] or len(value) > _LONGEST[1]:
            raise Invalid(f"{name}={value[:20]} can't be a tag of Azure's: no {_BAD} in its name, and at most"
                          f" {_LONGEST[0]} characters in its name and {_LONGEST[1]} in its value")  # fmt: skip
        if name.lower().startswith(_RESERVED):
            raise Invalid(f"{name} can't be a tag of Azure's: names must not begin with {', '.join(_RESERVED)}")
        if (other := seen.setdefault(name.lower(), name)) != name:
            raise Invalid(f"{other} and {name} are one tag for Azure, which ignores the case of names: rename one")
