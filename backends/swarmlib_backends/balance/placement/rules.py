"""One rule for placement in the old Swarm's notation: `region==us*`, `storage==~ssd`, `container!=/web-[0-9]+/`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from swarmlib import Invalid

from ...dockerapi.matching import Matches, glob, regex

_RULE: Final = re.compile(r"(?P<key>[A-Za-z_][\w.\-/]*)(?P<operator>==|!=)(?P<soft>~?)(?P<value>.+)")


@dataclass(frozen=True)
class Rule:
    """`key==value`: the value may hold `*`, or be a /regular expression/."""

    text: str
    key: str
    wanted: bool
    soft: bool
    fits: Matches
    """Whether a value matches, before `wanted` is applied."""
    exact: str | None
    """The value, if it is not a pattern."""

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a rule from its text.

        Raises:
            Invalid: the text is not a rule, or its pattern is invalid or too long.
        """
        found = _RULE.fullmatch(text)
        if found is None:
            raise Invalid(f"invalid rule {text!r}: expected a form such as region==us, region!=us or region==~us")
        value = found["value"]
        is_regex = len(value) > 2 and value[0] == value[-1] == "/"
        fits = regex(value[1:-1]) if is_regex else glob(value)
        plain = not is_regex and not set(value) & set("*?[")
        return cls(text, found["key"], found["operator"] == "==", bool(found["soft"]), fits, value if plain else None)
