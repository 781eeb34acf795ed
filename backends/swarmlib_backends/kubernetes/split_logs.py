"""Whether a cluster tells stdout and stderr apart in its logs, by the parameter `stream`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from swarmlib import Invalid

from .api.client import Api
from .api.errors import reason_of
from .pods import names

_NO_STREAM: Final = "Swarmlib"
"""A stream that no container has: a cluster that knows streams says which there are."""


@dataclass
class SplitLogs:
    """Whether a cluster tells the streams in its logs apart, once that is known."""

    _known: bool | None = field(default=None, init=False)

    async def spoken(self, api: Api, path: str) -> bool:
        """Return whether it does.

        path: of the log of a container.

        Raises:
            SwarmError: the cluster's error.
        """
        if self._known is None:
            self._known = await _knows_streams(api, path)
        return self._known


async def _knows_streams(api: Api, path: str) -> bool:
    params = {"container": names.MAIN, "stream": _NO_STREAM, "limitBytes": "1"}
    try:
        async with api.stream(path, params):
            return False
    except Invalid as exc:  # of a cluster that knows the parameter, or has turned it off
        return reason_of(exc) == "Invalid" and "Stdout" in exc.message
