"""Times as engines read them in requests: timestamps in parameters; durations and dates in filters.

The rules are those of Docker's package `api/types/time`. Docker's clients convert all other forms to timestamps.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from .numbers import integer

_NANO: Final = 10**9
_MICRO: Final = ("us", "\N{MICRO SIGN}s", "\N{GREEK SMALL LETTER MU}s")
_UNITS: Final = dict.fromkeys(_MICRO, 1000) | {
    "ns": 1,
    "ms": 10**6,
    "s": _NANO,
    "m": 60 * _NANO,
    "h": 3600 * _NANO,
}
_PART: Final = re.compile(r"(?=\.?[0-9])([0-9]{0,19})(?:\.([0-9]{0,19}))?(ns|[u\xb5\u03bc]s|ms|s|m|h)")
_DATE: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T([0-9]{1,2})(?::([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?)?)?"
    r"(?:(Z)|([+-])([0-9]{2}):([0-9]{2}))?"
)


def timestamp(text: str) -> str | None:
    """Return a timestamp in one form: seconds since the epoch, with nine digits of nanoseconds if it has a point.

    Return None if an engine reads none.

    >>> timestamp("+5"), timestamp("1.5"), timestamp("2006-01-02T15:04:05Z")
    ('5', '1.500000000', None)
    """
    whole, point, fraction = text.partition(".")
    seconds = integer(whole)
    if seconds is None or not point:
        return None if seconds is None else str(seconds)
    nanoseconds = integer(fraction)
    if nanoseconds is None:
        return None
    total = seconds * _NANO + int(nanoseconds * 10.0 ** (9 - len(fraction)))  # in floats, as an engine does
    return f"{total // _NANO}.{total % _NANO:09}"


def moment(timestamp: str) -> float:
    """Return a timestamp of that form in seconds since the epoch; the nanoseconds are added, before 1970 too."""
    whole, _, nanoseconds = timestamp.partition(".")
    return int(whole) + int(nanoseconds or 0) / _NANO


def filter_moment(text: str, now: float) -> float | None:
    """Return the value of a filter such as `until` in seconds since the epoch.

    The value is a duration before now, a date with or without a time and a zone (by default this machine's), or a
    timestamp. Return None if it is none of these.
    """
    if text != "0" and (ago := duration(text)) is not None:
        return float((int(now * _NANO) - ago) // _NANO)
    if (date := _date(text)) is not None or "-" in text:
        return date
    found = timestamp(text)
    return None if found is None else moment(found)


def duration(text: str) -> int | None:
    """Return the nanoseconds of a Go duration, such as 1h30m or -1.5s; None if it is invalid."""
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    total, at = 0, 0
    while (part := _PART.match(unsigned, at)) is not None:
        fraction = part[2] or ""
        unit = _UNITS[part[3]]
        total += int(part[1] or 0) * unit + int(fraction or 0) * unit // 10 ** len(fraction)
        at = part.end()
    if at < len(unsigned) or not unsigned or total >= 2**63:
        return None
    return -total if text[0] == "-" else total


def _date(text: str) -> float | None:
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    day, hour, minute, second, fraction, utc, sign, hours, minutes = found.groups()
    try:
        at = datetime.fromisoformat(f"{day}T{hour or '0':0>2}:{minute or '00'}:{second or '00'}")
    except ValueError:  # a 30th of February
        return None
    offset = (int(hours) * 60 + int(minutes)) * 60 * (-1 if sign == "-" else 1) if sign else 0
    whole = at.replace(tzinfo=UTC).timestamp() - offset if utc or sign else at.timestamp()
    return whole + float(f"0.{fraction or 0}")
