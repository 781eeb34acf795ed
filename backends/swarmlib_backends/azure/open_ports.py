"""Ports of machines that everybody may reach, by `--open-port`; and a warning of containers that publish others."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

from swarmlib import Filter, Invalid, Request, Tap, Verb

from ..balance.labels import saying
from ..dockerapi.nullable import dict_of, list_of

_FORM: Final = re.compile(r"([1-9]\d{0,4})(?:/(tcp|udp))?")
_HERE: Final = ("127.", "::1", "localhost")
"""How the addresses begin at which nobody else reaches a port anyway."""


@dataclass(frozen=True)
class Port:
    """A port of TCP or UDP."""

    number: int
    protocol: str = "tcp"

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a port such as 80 or 53/udp.

        Raises:
            Invalid: the text is no port.
        """
        found = _FORM.fullmatch(text)
        if found is None or int(found[1]) > 65535:
            raise Invalid(f"invalid --open-port {text!r}: expected PORT or PORT/udp")
        return cls(int(found[1]), found[2] or "tcp")

    def __str__(self) -> str:
        return str(self.number) if self.protocol == "tcp" else f"{self.number}/{self.protocol}"


@dataclass(eq=False)
class PublishedPorts(Filter):
    """Warns of the ports of new containers that a machine publishes, but Azure's security group does not let in."""

    machine: str
    opened: Collection[Port]

    async def send(self, request: Request) -> None:
        """Forward a request; the answer to a creation gets the warnings."""
        if request.verb is Verb.SPAWN and request.path == ("containers",):
            shut = [str(port) for port in _published(request.json) if port not in self.opened]
            if texts := [self._warning(port) for port in dict.fromkeys(shut)]:
                request = request.replace(reply=Tap(request.reply, saying(texts, in_body=True)))
        await self.next.send(request)

    def _warning(self, port: str) -> str:
        reached = f"port {port} of {self.machine} is reached from its own network only"
        return f"{reached}: azure's --open-port {port} opens it to everybody"


def _published(body: Any) -> Iterator[Port]:
    """Yield the ports that a new container publishes, without those that the engine chooses, and malformed ones."""
    for name, bindings in dict_of(dict_of(dict_of(body).get("HostConfig")).get("PortBindings")).items():
        for each in map(dict_of, list_of(bindings)):
            text = f"{each.get('HostPort')}/{name.partition('/')[2] or 'tcp'}"
            if _FORM.fullmatch(text) and not str(each.get("HostIp") or "").startswith(_HERE):
                yield Port.read(text)
