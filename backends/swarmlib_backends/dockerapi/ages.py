"""How old a container's state is, in the words of `docker ps`: "Up 5 minutes". The text must be updated as time passes.

An engine computes these texts when it answers a list. A list that is answered from memory must do the same.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Final

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_WEEK: Final = 7 * _DAY
_MONTH: Final = 30 * _DAY
_YEAR: Final = 365 * _DAY

_STATUS: Final = re.compile(
    r"(?P<before>Up|Exited \(-?\d+\)|Restarting \(-?\d+\)) "
    r"(?P<age>Less than a second|1 second|About a minute|About an hour|\d+ \w+)"
    r"(?P<after>( ago)?.*)"
)
_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)")


def template(status: str) -> tuple[str, str] | None:
    """Return the text before and after the age in a status; None if the status has no age."""
    found = _STATUS.fullmatch(status)
    return (f"{found['before']} ", found["after"]) if found else None


def since(stamp: str) -> float:
    """Return an engine's time stamp (RFC 3339 with nanoseconds) in seconds since the epoch; 0 if never or invalid."""
    found = _STAMP.fullmatch(stamp)
    if found is None or found[1].startswith("0001-"):
        return 0.0
    zone = "+00:00" if found[3] == "Z" else found[3]
    try:
        return datetime.fromisoformat(found[1] + zone).timestamp() + float(found[2] or 0)
    except ValueError:  # a month of 13, an hour of 99: it has the form of a time stamp, but is invalid
        return 0.0


def human(age: float) -> tuple[str, float]:
    """Return an age in seconds as Docker writes it (`units.HumanDuration`), and the age at which that text changes.

    >>> human(90)
    ('About a minute', 120)
    """
    seconds = int(max(age, 0))
    if seconds < 1:
        return "Less than a second", 1
    if seconds == 1:
        return "1 second", 2
    if seconds < _MINUTE:
        return f"{seconds} seconds", seconds + 1
    minutes = seconds // _MINUTE
    if minutes == 1:
        return "About a minute", 2 * _MINUTE
    if minutes < 60:
        return f"{minutes} minutes", (minutes + 1) * _MINUTE
    return _long(age)


def _long(age: float) -> tuple[str, float]:
    hours = math.floor(age / _HOUR + 0.5)
    if hours == 1:
        return "About an hour", 1.5 * _HOUR
    if hours < 48:
        return f"{hours} hours", (hours + 0.5) * _HOUR
    for limit, unit, name in ((2 * _WEEK, _DAY, "days"), (2 * _MONTH, _WEEK, "weeks"), (2 * _YEAR, _MONTH, "months")):
        if hours * _HOUR < limit:
            whole = hours * _HOUR // unit
            return f"{whole} {name}", min((whole + 1) * unit, limit) - _HOUR / 2
    years = int(age // _YEAR)
    return f"{years} years", (years + 1) * _YEAR
