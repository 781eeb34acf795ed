"""The log drivers that an engine has: their options, and whether their logs can be read again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..dockerapi.nullable import dict_of
from ..dockerapi.status import refusal

DEFAULT: Final = "json-file"
_OPTIONS: Final[dict[str, frozenset[str]]] = {
    "json-file": frozenset({"max-file", "max-size", "compress", "labels", "labels-regex", "env", "env-regex", "tag"}),
    "local": frozenset({"max-file", "max-size", "compress"}),
}
"""Of the drivers that keep logs here. Those that send them elsewhere take any option."""
DRIVERS: Final = [
    *("awslogs", "fluentd", "gcplogs", "gelf", "journald", "json-file", "local", "logentries", "splunk", "syslog")
]
_READABLE: Final = ("json-file", "local", "journald")


def log_config(given: Any) -> dict[str, Any]:
    """Return what is asked for, completed. Raises SwarmError if there is no such driver or option."""
    asked = dict_of(given)
    driver, options = str(asked.get("Type") or DEFAULT), dict_of(asked.get("Config"))
    if driver not in (*DRIVERS, "none"):
        raise refusal(400, f'error looking up logging plugin {driver}: plugin "{driver}" not found')
    known = _OPTIONS.get(driver)
    for name in options if known is not None else ():
        if known is not None and name not in known:
            raise refusal(400, f"unknown log opt '{name}' for {driver} log driver")
    return {"Type": driver, "Config": options}


def check_readable(host: Mapping[str, Any]) -> None:
    """Raise SwarmError if a container's logs go where they can't be read from."""
    if host["LogConfig"]["Type"] not in _READABLE:
        raise refusal(501, "configured logging driver does not support reading")
