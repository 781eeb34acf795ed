"""The published ports of a tenant: each that it asks for is one of its range at the engine, and is shown as asked.

A container's label says what was asked for and what it got, so that it is known after a restart. Who asks for the same
port twice gets the same one, so that the engine finds the conflict, when it starts the second container.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from swarmlib import Denied, Invalid

from ..dockerapi.nullable import dict_of, list_of

LABEL: Final = "swarmlib.tenant.ports"
"""The label of a container with its published ports."""
_RANGE: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_HIGHEST: Final = 65535
_EVERYWHERE: Final = ("0.0.0.0", "::")
_IN_TEXT: Final = re.compile(rb"(?<=:)[0-9]{1,5}\b")

_Key: TypeAlias = tuple[str, str, int]


class Asked(NamedTuple):
    """A binding that a container asks for.

    Attributes:
        port: the container's own, such as `80/tcp`.
        ip: the address; "" for any.
        ports: the ports of the host, of which any will do; none for any port at all.
    """

    port: str
    ip: str
    ports: range


class Published(NamedTuple):
    """A published port of a container.

    Attributes:
        port: the container's own, such as `80/tcp`.
        ip: the address that was asked for; "" for any.
        asked: the port of the host that was asked for; 0 for any.
        given: the port that it has at the engine.
    """

    port: str
    ip: str
    asked: int
    given: int

    @property
    def key(self) -> _Key:
        """What is equal for ports that conflict. A port that may be any conflicts with none."""
        return self.port.partition("/")[2] or "tcp", self.ip, self.asked or -self.given

    @property
    def shown(self) -> int:
        """The port of the host that is shown."""
        return self.asked or self.given


def span(text: str) -> range:
    """Read ports, `FROM-TO` or a single one.

    Raises:
        Invalid: it is not that.
    """
    found = _RANGE.fullmatch(text)
    first = int(found[1]) if found else 0
    last = int(found[2] or first) if found else 0
    if not 1 <= first <= last <= _HIGHEST:
        raise Invalid(f"invalid ports {text!r:.80}: expected FROM-TO, such as 20000-20099")
    return range(first, last + 1)


def labelled(labels: Mapping[str, str] | None) -> Sequence[Published]:
    """Return the published ports that a container's labels tell: none without the label, or with a wrong one."""
    try:
        return msgspec.json.decode(dict_of(labels).get(LABEL, "[]"), type=list[Published])
    except (msgspec.DecodeError, UnicodeEncodeError):
        return []


class Ports:
    """The ports of a tenant, and which of its containers have them."""

    def __init__(self) -> None:
        self._of: dict[str, Sequence[Published]] = {}
        self._given: dict[_Key, int] = {}
        self._uses = Counter[_Key]()

    def note(self, id: str, ports: Sequence[Published]) -> None:
        """Note the ports of a container, or of a call that creates one; none if it is gone."""
        for each in ports:
            self._given[each.key] = each.given
            self._uses[each.key] += 1
        for each in self._of.pop(id, ()):
            self._uses[each.key] -= 1
            if not self._uses[each.key]:
                del self._uses[each.key], self._given[each.key]
        if ports:
            self._of[id] = ports

    @property
    def numbers(self) -> Collection[int]:
        """The ports at the engine that the tenant has."""
        return self._given.values()

    def choose(self, span: range, asked: Sequence[Asked], others: Collection[int] = ()) -> Sequence[Published]:
        """Choose ports of a range for the bindings of a new container.

        others: ports at the engine that other tenants have, whose ranges may overlap with this one.

        Raises:
            Denied: the range has not enough.
        """
        chosen: list[Published] = []
        taken = {*self._given.values(), *others}
        for each in asked:
            used = {*self._given, *(other.key for other in chosen)}
            wanted = _wanted(each, used)
            known = self._given.get(Published(each.port, each.ip, wanted, 0).key) if wanted else None
            given = known or _free(span, wanted, taken)
            taken.add(given)
            chosen.append(Published(each.port, each.ip, wanted, given))
        return chosen

    def at_engine(self, wanted: str) -> list[str]:
        """Return the ports at the engine that a filter of containers means by a port, `PORT[-PORT][/PROTOCOL]`.

        What is none stays, so that the engine says so.
        """
        numbers, slash, protocol = wanted.partition("/")
        try:
            found = span(numbers)
        except Invalid:
            return [wanted]
        return [
            f"{given}{slash}{protocol}"
            for (each, _, asked), given in self._given.items()
            if abs(asked) in found and each == (protocol or "tcp")
        ]


def asked(body: Mapping[str, Any], exposed: Collection[str]) -> Sequence[Asked]:
    """Return the bindings that the body of a new container asks for.

    exposed: the ports that its image exposes.

    Raises:
        Invalid: one is wrong.
    """
    host = dict_of(body.get("HostConfig"))
    return [*_bindings(host), *_exposed(host, [*dict_of(body.get("ExposedPorts")), *exposed])]


def published(body: Mapping[str, Any], ports: Sequence[Published], address: str) -> dict[str, Any]:
    """Return the body of a new container with the ports that it gets instead of those that it asks for.

    address: where they are published; "" for where the container asks to.
    """
    given: dict[str, list[dict[str, str]]] = {}
    for each in ports:
        binding = {"HostIp": address or each.ip, "HostPort": str(each.given)}
        given.setdefault(each.port, []).append(binding)
    labels = {**dict_of(body.get("Labels")), LABEL: msgspec.json.encode(ports).decode()}  # its image may have one too
    host = {**dict_of(body.get("HostConfig")), "PortBindings": given, "PublishAllPorts": False}
    return {**body, "HostConfig": host, "Labels": labels}


def _free(span: range, wanted: int, taken: set[int]) -> int:
    """Return a free port of the range: the same one for the same wish, if it is free."""
    size = len(span)
    free = (span[(wanted + step) % size] for step in range(size))
    found = next((each for each in free if each not in taken), None)
    if found is None:
        named = f"all {size} ports of {span[0]}-{span[-1]} are published" if size else "it may publish none"
        raise Denied(f"no port of the tenant is free: {named}")
    return found


def _wanted(asked: Asked, used: set[_Key]) -> int:
    """Return the port of the host that is asked for: of several the first that the tenant has not used."""
    protocol = asked.port.partition("/")[2] or "tcp"
    free = (each for each in asked.ports if (protocol, asked.ip, each) not in used)
    return next(free, asked.ports[0]) if asked.ports else 0


def _bindings(host: Mapping[str, Any]) -> Iterator[Asked]:
    for port, bindings in dict_of(host.get("PortBindings")).items():
        for each in map(dict_of, list_of(bindings)):
            text = str(each.get("HostPort") or "")
            try:
                yield Asked(port, str(each.get("HostIp") or ""), span(text) if text not in ("", "0") else range(0))
            except Invalid as exc:
                raise Invalid(f"invalid port specification: {text!r:.80}") from exc


def _exposed(host: Mapping[str, Any], exposed: Collection[str]) -> Iterator[Asked]:
    """Yield the ports that are published because all that are exposed are."""
    if host.get("PublishAllPorts"):
        bound = {_with_protocol(port) for port in dict_of(host.get("PortBindings"))}
        yield from (
            Asked(port, "", range(0)) for port in dict.fromkeys(map(_with_protocol, exposed)) if port not in bound
        )


def _with_protocol(port: str) -> str:
    return port if "/" in port else f"{port}/tcp"


def show_inspected(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an inspected container with its ports as they were asked for."""
    ports = labelled(dict_of(found.get("Config")).get("Labels"))
    if not ports:
        return found
    bindings: dict[str, list[dict[str, str]]] = {}
    for each in ports:
        bindings.setdefault(each.port, []).append({"HostIp": each.ip, "HostPort": str(each.asked or "")})
    settings = dict_of(found.get("NetworkSettings"))
    bound = {
        port: given and [_shown(ports, each, "HostIp", "HostPort") for each in given]
        for port, given in dict_of(settings.get("Ports")).items()
    }
    return {
        **found,
        "HostConfig": {**dict_of(found.get("HostConfig")), "PortBindings": bindings},
        "NetworkSettings": {**settings, "Ports": bound},
    }


def show_listed(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a container of a list with its ports as they were asked for."""
    ports = labelled(found.get("Labels"))
    bound = [_shown(ports, each, "IP", "PublicPort") for each in list_of(found.get("Ports"))]
    return {**found, "Ports": bound} if ports else found


def show_text(text: bytes, ports: Sequence[Published]) -> bytes:
    """Return the text of an error about a container with its ports as they were asked for."""
    shown = {b"%d" % each.given: b"%d" % each.shown for each in ports}
    return _IN_TEXT.sub(lambda found: shown.get(found[0], found[0]), text)


def _shown(ports: Sequence[Published], bound: Mapping[str, Any], ip: str, number: str) -> Mapping[str, Any]:
    """Return where a port is bound, as it was asked for: else at the address of all interfaces.

    ip, number: the fields of the address and of the port of the host.
    """
    known = next((each for each in ports if str(each.given) == str(bound.get(number))), None)
    if known is None:
        return bound
    real = bound.get(ip)
    address = known.ip or (real if real in _EVERYWHERE else _EVERYWHERE[0])
    return {**bound, ip: address, number: type(bound[number])(known.shown)}
