"""What a rule grants to the demands of a request: for each kind of demand, the values that it allows."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from typing import Final

from swarmlib import Invalid
from swarmlib.quantities import number_of_bytes

from ..dockerapi import capabilities
from ..globs import Match, globs
from ..image_patterns import images
from ..toml_tables import Table
from .demands import Demand
from .names import BY_ID

_BELOW: Final = "/**"


def folders(given: Sequence[str]) -> Match:
    """Match folders of the host: `/srv/data` alone, `/srv/data/**` with whatever is below it.

    Raises:
        Invalid: one of them is no absolute path in its shortest form.
    """
    for each in given:
        parts = each.removesuffix(_BELOW)[1:].split("/")
        if not each.startswith("/") or any(part in ("", ".", "..") for part in parts):
            raise Invalid(f"invalid folder {each!r}: expected an absolute path without '..', such as /srv/data")
    exact = {each.removesuffix(_BELOW) for each in given}
    above = tuple(each.removesuffix("**") for each in given if each.endswith(_BELOW))
    return lambda value: value in exact or (value.startswith(above) and posixpath.normpath(value) == value)


def ports(given: Sequence[str]) -> Match:
    """Match published ports, as `[ADDRESS:]PORT` or `[ADDRESS:]FROM-TO`; `any` is a port that the engine chooses.

    Without an address, any address is allowed.
    """
    return _any_of([_port(each) for each in given])


def _any_of(matches: Sequence[Match]) -> Match:
    return lambda value: any(match(value) for match in matches)


_ANY: Final = "*"
"""Every address, in a demand and in a rule that allows that alone."""
_PORT: Final = re.compile(r"(?:(?P<address>.+):)?(?:any|(?P<first>\d{1,5})(?:-(?P<last>\d{1,5}))?)")


def _port(text: str) -> Match:
    found = _PORT.fullmatch(text)
    if found is None or not (found["address"] in (None, _ANY) or _is_address(found["address"])):
        raise Invalid(f"invalid port {text!r}: expected [ADDRESS:]PORT, [ADDRESS:]FROM-TO or [ADDRESS:]any")
    first = int(found["first"]) if found["first"] else None
    last = int(found["last"]) if found["last"] else first

    def match(value: str) -> bool:
        address, _, port = value.rpartition(":")
        if found["address"] not in (None, address):
            return False
        if first is None or last is None or port == "any":
            return first is None and port == "any"
        low, _, high = port.partition("-")
        return low.isdigit() and (high or low).isdigit() and first <= int(low) <= int(high or low) <= last

    return match


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def sizes(given: Sequence[str]) -> Match:
    """Match numbers of bytes up to the largest size that is given, such as `256MiB`."""
    most = max((number_of_bytes(each) for each in given), default=0)
    return lambda value: value.isdigit() and int(value) <= most


def _named_capabilities(given: Sequence[str]) -> Match:
    """Match capabilities by shell patterns, with or without `CAP_`.

    Raises:
        Invalid: a pattern fits none that Linux has.
    """
    plain = [capabilities.plain(each) for each in given]
    for each in plain:
        if not any(map(globs([each]), capabilities.KNOWN)):
            raise capabilities.unknown(each)
    return globs(plain)


def urls(given: Sequence[str]) -> Match:
    """Match URLs; one that could lead out of the folder that a pattern names is matched by `**` alone."""
    match, anything = globs(given), "**" in given
    return lambda value: anything or (match(value) and _DETOUR.search(value) is None)


_DETOUR: Final = re.compile(r"\.\.|[\\@%\s]")
KINDS: Final[Mapping[str, Callable[[Sequence[str]], Match]]] = {
    **dict.fromkeys(("images", "tags", "plugins"), images),
    "binds": folders,
    "capabilities": _named_capabilities,
    "ports": ports,
    "shm": sizes,
    "urls": urls,
    **dict.fromkeys(
        (
            *(
                "volumes",
                "volumes_from",
                "volume_drivers",
                "volume_options",
                "volume_labels",
                "bind_options",
                "storage",
            ),
            *("networks", "network_drivers", "network_options", "ipam_drivers", "subnets", "links", "namespaces"),
            *("privileged", "devices", "security", "sysctls", "groups", "runtimes", "annotations"),
            *(
                "priorities",
                "ulimits",
                "cgroups",
                "cpusets",
                "log_drivers",
                "log_options",
                "restarts",
                "checkpoints",
                "names",
            ),
            *("ps_args", "uploads", "build", "registries", "secrets", "configs", "swarm", "nodes"),
            *("plugin_privileges", "plugin_settings", "fields", "parameters"),
        ),
        globs,
    ),
}
"""How the values of each kind of demand are matched."""


@dataclass(frozen=True)
class Grants:
    """The demands that a rule allows."""

    matches: Mapping[str, Match]

    @cached_property
    def _of_all_kinds(self) -> Mapping[str, Match]:
        """With the kinds of ids too: which image it is, the engine says later."""
        return {**self.matches, **{id: bool for id, kind in BY_ID.items() if kind in self.matches}}

    def allows(self, demand: Demand) -> bool:
        """Return whether a demand is allowed."""
        return self.allow((demand,))

    def allow(self, demands: Sequence[Demand], besides: Collection[str] = ()) -> bool:
        """Return whether all demands are allowed, but for those of the kinds `besides`."""
        matches = self._of_all_kinds  # a plain loop, as a policy of many rules runs it for each of them
        for demand in demands:
            match = matches.get(demand.kind)
            if (match is None or not match(demand.value)) and demand.kind not in besides:
                return False
        return True


def read(table: Table) -> Grants:
    """Take the lists of a table `[….container]`, by the kinds of demands.

    Raises:
        Invalid: a list is wrong; the error names the line.
    """
    lists = {kind: values for kind in KINDS if (values := table.texts(kind)) is not None}
    return Grants({kind: table.read(kind, values, KINDS[kind]) for kind, values in lists.items()})
