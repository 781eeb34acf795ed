"""How the engines of a swarm are reached: by their addresses, or by chains."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Self, TypeAlias

from swarmlib import Backend, Chain, Invalid
from swarmlib.grammar import ChainText
from swarmlib.options import Reader

from ..docker import Docker
from ..docker.engine import Endpoint
from .nodes import SwarmNode

_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_ADDRESS: Final = re.compile(r"[a-z]+://\S*")
_SAMPLE: Final = {"addr": "192.0.2.1", "hostname": "node", "id": "0" * 25}
"""A value for each placeholder."""


def engine(given: str | Backend | Chain | ChainText) -> Chain:
    """Return the chain that reaches an engine, which is given by its address or as a chain.

    Raises:
        Invalid: the address can't be dialled.
        ChainSyntaxError: it is neither an address nor a chain.
    """
    if isinstance(given, str) and _ADDRESS.fullmatch(given):
        Endpoint(given).check()
        return Chain(Docker(given))
    return Chain.read(given)


EngineChain: TypeAlias = Annotated[str | Backend | Chain, Reader(engine)]
"""An engine, by its address or as a chain."""


class Template:
    """A pattern of engines' addresses, or of chains, with the placeholders {addr}, {hostname} and {id}."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text

    @classmethod
    def read(cls, given: Any) -> Self:
        """Read a template from its text.

        Raises:
            Invalid: a placeholder is unknown, there is none, or what it makes is neither an address nor a chain.
        """
        if not isinstance(given, str):
            raise Invalid("invalid template: expected text, such as ssh://root@{addr}; write a chain in quotes")
        names = _PLACEHOLDER.findall(given)
        if unknown := next((name for name in names if name not in _SAMPLE), None):
            raise Invalid(f"unknown placeholder {{{unknown}}}: expected {{addr}}, {{hostname}} or {{id}}")
        if given and not names:
            raise Invalid(f"invalid template {given!r}: expected {{addr}}, {{hostname}} or {{id}} in it")
        made = cls(given)
        if given:
            engine(made._filled(_SAMPLE))
        return made

    def chain(self, node: SwarmNode) -> tuple[str, Chain]:
        """Return what the template makes of a node, and the chain that reaches it, whose name is the node's hostname.

        Raises:
            Invalid: the template asks for the node's address, which is not known.
        """
        values = {"addr": node.address, "hostname": node.hostname, "id": node.id}
        if missing := next((name for name in _PLACEHOLDER.findall(self._text) if not values[name]), None):
            raise Invalid(f"the swarm does not tell the {missing} of {node.hostname}")
        way = self._filled(values)
        return way, Chain(engine(way), label=node.hostname)

    def _filled(self, values: Mapping[str, str]) -> str:
        """Fill the placeholders. The values hold no character that has a meaning in addresses or chains."""
        return _PLACEHOLDER.sub(lambda found: values[found[1]], self._text)
