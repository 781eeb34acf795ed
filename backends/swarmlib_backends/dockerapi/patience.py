"""How long an engine may take for an operation before it counts as hanging.

An engine answers reads from its memory, except those that wait for its disk (sizes) or for a registry. Those take
minutes on a healthy engine, as changes do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from swarmlib import Path, Verb

LONG_SECONDS: Final = 600.0
"""How long an engine may take for what waits for a disk or a registry."""
_READS: Final = frozenset({Verb.LS, Verb.GET})
_SLOW: Final = frozenset({"df", "search", "distribution", "plugin-privileges"})
"""The first words of the paths of slow reads."""
_SIZES: Final = ("size", "shared-size")
"""Parameters that make a read compute sizes."""


def seconds(verb: Verb, path: Path, args: Mapping[str, Any], quick: float) -> float:
    """Return how long an operation may take. `quick` applies to reads that an engine answers from memory; the
    parameters are in canonical form.
    """
    slow = path[:1] and (path[0] in _SLOW or path[2:] == ("changes",))
    sizes = args and any(args.get(name) == "1" for name in _SIZES)
    if verb in _READS and not slow and not sizes:
        return quick
    return max(quick, LONG_SECONDS)
