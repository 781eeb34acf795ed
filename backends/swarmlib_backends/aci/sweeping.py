"""What crashed runs have left behind: containers that should have removed themselves, and starts that failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Final

from swarmlib import Invalid

from ..azure.spec import Body, tags_of
from .arm import Groups
from .record import REMOVES, Record
from .state import has_failed, state

_log = logging.getLogger(__name__)
_FAILED: Final = "its start has failed"
_ENDED: Final = "it has ended, and was to be removed then"


async def orphans(groups: Groups, older_than: float) -> Mapping[str, str]:
    """Return the names of this backend's container groups that nobody needs, each with the reason.

    older_than: seconds; newer ones may be another swarmd's, which is about to remove them.

    Raises:
        SwarmError: Azure refuses, or fails.
    """
    found: dict[str, str] = {}
    for listed in await groups.list():
        if _is_old(listed, time.time() - older_than):
            name = str(listed["name"])
            shown = await groups.get(name)
            if shown is not None and (why := _why_orphan(shown)):
                found[name] = why
    return found


def _is_old(group: Body, before: float) -> bool:
    """Return whether a group is this backend's, and was made before a moment (seconds since the epoch)."""
    try:
        record = Record.of_group(group)
    except Invalid as exc:
        _log.warning("aci: left alone: %s", exc)
        return False
    return record is not None and record.created < before


def _why_orphan(group: Body) -> str:
    if has_failed(group):
        return _FAILED
    return _ENDED if REMOVES in tags_of(group) and state(group).status == "exited" else ""
