"""ARM's throttling: token buckets for reads, writes and deletions, each refilled at a constant rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import trio

from .errors import ArmError

_BUCKETS: Final = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}


@dataclass(frozen=True)
class Limit:
    """The number of requests that a bucket holds, and how many are refilled per second."""

    size: float
    rate: float


ARM: Final = {"reads": Limit(250, 25), "writes": Limit(200, 10), "deletes": Limit(200, 10)}
"""The real limits of a subscription."""


class Throttle:
    """The buckets of a subscription; there are none without limits."""

    def __init__(self, limits: dict[str, Limit]) -> None:
        self._limits = limits
        self._left = {name: limit.size for name, limit in limits.items()}
        self._at = dict.fromkeys(limits, trio.current_time())

    def take(self, method: str) -> dict[str, str]:
        """Take one request out of its bucket; return the header that says how many are left.

        Raises:
            ArmError: the bucket is empty (429); the error says when to retry.
        """
        name = _BUCKETS.get(method, "writes")
        if (limit := self._limits.get(name)) is None:
            return {}
        now = trio.current_time()
        left = min(limit.size, self._left[name] + (now - self._at[name]) * limit.rate)
        self._at[name], self._left[name] = now, left
        if left < 1:
            wait = (1 - left) / limit.rate
            message = (
                f"Number of requests for subscription exceeded the limit. Please try again after '{wait:.0f}' seconds."
            )
            raise ArmError(429, "SubscriptionRequestsThrottled", message, retry_after=wait)
        self._left[name] = left - 1
        return {f"x-ms-ratelimit-remaining-subscription-{name}": str(int(left - 1))}
