"""Whom a rule is for: clients by certificate, user, address, token, tenant, or the container that calls.

What a container is called, its labels and its image are facts that only its engine knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from swarmlib import Invalid

from .globs import Match, globs
from .image_patterns import images
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


def _members(given: Sequence[str]) -> Match:
    """Match the users that are members of groups, by the accounts of this machine when the rules are read."""
    import grp  # these two are not there on Windows
    import pwd

    found = set[str]()
    for each in given:
        try:
            group = grp.getgrgid(int(each)) if each.isdecimal() else grp.getgrnam(each)
        except KeyError as exc:
            raise Invalid(
                f"unknown group {each!r}: expected the name or the number of a group of this machine"
            ) from exc
        accounts = pwd.getpwall()
        found |= {str(one.pw_uid) for one in accounts if one.pw_gid == group.gr_gid or one.pw_name in group.gr_mem}
    return found.__contains__


def _digests(given: Sequence[str]) -> Match:
    for each in given:
        if not _DIGEST.fullmatch(each):
            raise Invalid(f"*** has {len(each)} characters: expected the SHA-256 of a token, 64 hexadecimal digits")
    return frozenset(given).__contains__


def _ids(given: Sequence[str]) -> Match:
    """Match full ids by beginnings that are long enough to name one."""
    beginnings = tuple(each for each in given if _ID.fullmatch(each))
    return lambda value: value.startswith(beginnings)


_DIGEST: Final = re.compile("[0-9a-f]{64}")
_ID: Final = re.compile("[0-9a-f]{12,64}")
KINDS: Final[Mapping[str, tuple[str, Callable[[Sequence[str]], Match]]]] = {
    "certificates": ("cert", globs),
    "users": ("uid", _numbers),
    "groups": ("uid", _members),
    "addresses": ("ip", _addresses),
    "tokens": ("token", _digests),
    "tenants": ("tenant", globs),
    "containers": ("container", _ids),
}
"""The keys of a client's table: the form of `Meta.caller` that each is about, and how its values are matched."""


@dataclass(frozen=True)
class Facts:
    """What the engine knows about a container that calls.

    Attributes:
        name: its name, without a slash.
        labels: each as NAME=VALUE.
        images: its image as it was named when the container was made, with registry and tag, and the image's id.
    """

    name: str
    labels: frozenset[str]
    images: frozenset[str]


@dataclass(frozen=True)
class ByFacts:
    """The containers that a client means by what their engine knows about them.

    Attributes:
        names: theirs.
        labels: each as NAME or NAME=VALUE.
        images: theirs.
    """

    names: frozenset[str]
    labels: frozenset[str]
    images: Match

    def means(self, facts: Facts) -> bool:
        """Return whether it means a container with these facts."""
        known = facts.labels | {label.partition("=")[0] for label in facts.labels}
        return facts.name in self.names or bool(self.labels & known) or any(map(self.images, facts.images))


@dataclass(frozen=True)
class Client:
    """A client, or a group of them: whoever fits one of the lists."""

    name: str
    matches: Sequence[tuple[str, Match]]
    by_facts: ByFacts | None = None

    def is_caller(self, caller: str, facts: Facts | None = None, *, doubt: bool = False) -> bool:
        """Return whether this is the caller of a request (`Meta.caller`).

        facts: of a container that calls; None if they are not known.
        doubt: the answer if it depends on facts that are not known.
        """
        form, _, value = caller.partition(":")
        if form == "tenant":
            value, _, before = value.partition("/")
            if self.is_caller(before, facts, doubt=doubt):
                return True
        if any(form == meant and match(value) for meant, match in self.matches):
            return True
        if form != "container" or self.by_facts is None:
            return False
        return doubt if facts is None else self.by_facts.means(facts)


def container_in(caller: str) -> str:
    """Return the id of the container that calls; "" if the caller is none."""
    form, _, value = caller.partition(":")
    if form == "tenant":
        return container_in(value.partition("/")[2])
    return value if form == "container" else ""


def read(table: Table) -> Mapping[str, Client]:
    """Read a table of clients, `[clients.NAME]`.

    Raises:
        Invalid: a client is wrong; the error names the line.
    """
    return {name: _client(table, name) for name in table.values}


def _client(clients: Table, name: str) -> Client:
    table = clients.table(name)
    lists = {key: values for key in KINDS if (values := table.texts(key)) is not None}
    by_facts = _by_facts(table, lists.get("containers", ()))
    table.end()
    if not lists and by_facts is None:
        known = ", ".join((*KINDS, *_OF_FACTS))
        raise clients.mistake(name, f"client {name!r} requires one of {known}")
    matches = [(KINDS[key][0], table.read(key, values, KINDS[key][1])) for key, values in lists.items()]
    return Client(name, matches, by_facts)


_OF_FACTS: Final = ("container_labels", "container_images")


def _by_facts(table: Table, containers: Sequence[str]) -> ByFacts | None:
    names = frozenset(each for each in containers if not _ID.fullmatch(each))
    labels, allowed = (table.texts(key) or () for key in _OF_FACTS)
    if not (names or labels or allowed):
        return None
    return ByFacts(names, frozenset(labels), table.read("container_images", allowed, images))


def named(table: Table, known: Mapping[str, Client], key: str = "clients") -> Sequence[Client]:
    """Take a list of a table that names some of the known clients; () if it is missing.

    Raises:
        Invalid: a name is unknown, or the list is empty; the error names the line.
    """
    names = table.texts(key)
    if names is None:
        return ()
    for name in names:
        if name not in known:
            raise table.mistake(key, f"unknown client {name!r}: define it as [clients.{name}]")
    if not names:
        whom = "everybody" if key == "clients" else "nobody"
        raise table.mistake(key, f"{key} must not be empty: leave it out to mean {whom}")
    return [known[name] for name in names]


_asking: Final[ContextVar[str]] = ContextVar("asking", default="")
"""The stage within which this one is opened, and which asks for all clients at once; "" if there is none."""


@contextmanager
def asked_by(stage: str) -> Generator[None]:
    """Open stages within one that asks them as no client, and answers all clients by what it learns."""
    token = _asking.set(stage)
    try:
        yield
    finally:
        _asking.reset(token)


def require_clients(what: str) -> None:
    """Refuse to treat clients differently where not each request comes from the client that it is for.

    what: treats them differently.

    Raises:
        Invalid: this is opened within such a stage.
    """
    if stage := _asking.get():
        raise Invalid(
            f"{what} has rules for clients, but within {stage} it can't tell who asks: {stage} asks once for all "
            f"clients. Put it before {stage}, or leave out what is for some clients only"
        )
