"""Whom a rule is for: clients by certificate, by the user of a unix socket, or by address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from swarmlib import Invalid

from .globs import Match, globs
from .toml_tables import Table


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

    def is_caller(self, caller: str) -> bool:
        """Return whether this is the caller of a request (`Meta.caller`)."""
        form, _, value = caller.partition(":")
        match = self.matches.get(form)
        return match is not None and match(value)


def read(table: Table) -> Mapping[str, Client]:
    """Read a table of clients, `[clients.NAME]`.

    Raises:
        Invalid: a client is wrong; the error names the line.
    """
    return {name: _client(table, name) for name in table.values}


def _client(clients: Table, name: str) -> Client:
    table = clients.table(name)
    lists = {key: values for key in KINDS if (values := table.texts(key)) is not None}
    table.end()
    if not lists:
        raise clients.mistake(name, f"client {name!r} requires one of {', '.join(KINDS)}")
    return Client(name, {KINDS[key][0]: table.read(key, values, KINDS[key][1]) for key, values in lists.items()})
