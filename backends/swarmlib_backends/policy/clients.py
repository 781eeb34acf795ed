"""Whom a rule is for: clients by certificate, by the user of a unix socket, or by address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from swarmlib import Invalid

from .grants import Match, globs


def _addresses(given: Sequence[str]) -> Match:
    networks = [_network(each) for each in given]

    def match(value: str) -> bool:
        try:
            address = ip_address(value)
        except ValueError:  # `unknown`: it went away before it could be asked
            return False
        return any(address in network for network in networks)

    return match


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as exc:
        raise Invalid(f"invalid address {text!r}: expected one such as 10.0.0.7 or 10.0.0.0/8 ({exc})") from exc


def _numbers(given: Sequence[str]) -> Match:
    for each in given:
        if not each.isdecimal():
            raise Invalid(f"invalid user {each!r}: expected the number of a user")
    return frozenset(given).__contains__


KINDS: Final[Mapping[str, tuple[str, Callable[[Sequence[str]], Match]]]] = {
    "certificates": ("cert", globs),
    "users": ("uid", _numbers),
    "addresses": ("ip", _addresses),
}
"""The keys of a client's table: the form of `Meta.caller` that each is about, and how its values are matched."""


@dataclass(frozen=True)
class Client:
    """A client, or a group of them: whoever fits one of the lists."""

    name: str
    matches: Mapping[str, Match]

    @classmethod
    def read(cls, name: str, table: Mapping[str, Sequence[str]]) -> Client:
        """Read a table of `[clients]`. Raises Invalid as the matchers do."""
        made = {form: make(table[key]) for key, (form, make) in KINDS.items() if key in table}
        return cls(name, made)

    def is_caller(self, caller: str) -> bool:
        """Return whether this is the caller of a request (`Meta.caller`)."""
        form, _, value = caller.partition(":")
        match = self.matches.get(form)
        return match is not None and match(value)
