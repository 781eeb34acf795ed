"""The limits of tags: https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from . import errors

_MOST: Final = 50
_BAD: Final = frozenset("<>%&\\?/")
_RESERVED: Final = ("microsoft", "azure", "windows")


def check_tags(tags: Mapping[str, str]) -> None:
    """Check the tags of a resource or a group.

    Raises:
        ArmError: they are too many, or one of them is not allowed.
    """
    if len(tags) > _MOST:
        message = f"The number of tags cannot be more than {_MOST}. Current number of tags is {len(tags)}."
        raise errors.bad("InvalidTagCount", message, "tags")
    if len({name.lower() for name in tags}) < len(tags):
        raise errors.bad("InvalidTagName", "Tag names must be unique, whatever their case.", "tags")
    for name, value in tags.items():
        if not name or len(name) > 512 or _BAD & set(name) or name.lower().startswith(_RESERVED):
            message = f"The tag name '{name}' is too long, begins with a reserved prefix, or has one of <>%&\\?/."
            raise errors.bad("InvalidTagName", message, "tags")
        if len(value) > 256:
            raise errors.bad("InvalidTagValue", f"The value of the tag '{name}' is longer than 256 characters.", "tags")
