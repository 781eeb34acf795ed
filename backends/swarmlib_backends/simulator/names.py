"""Ids and names, as an engine makes them up; the same ones from the same seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

_HOW: Final = tuple(
    """
    agile amber bold brave bright calm clever crisp curious deft eager early fair fast fleet fond frank fresh gentle
    glad golden grand happy hardy humble jolly keen kind late lively lucid lucky mellow merry mighty neat nimble
    noble patient plain proud quick quiet rapid ready serene sharp silent silver smart sober solid steady stoic
    sunny swift tender tidy trusty vivid warm wise witty young zesty
    """.split()  # noqa: SIM905 - shorter so
)
_WHO: Final = tuple(
    """
    abel ada agnesi ampere archimedes babbage banach bell bohr boole bose cantor carson cauchy celsius cori curie
    darwin davy dijkstra dirac edison einstein elion erdos euclid euler faraday fermat feynman franklin galileo
    galois gauss germain goedel goodall hamilton hertz hilbert hodgkin hopper hypatia jacobi johnson joule kelvin
    kepler kovalevskaya lagrange lamarr laplace leibniz liskov lovelace maxwell mcclintock meitner mendel morse
    napier newton noether nobel ohm pascal pasteur planck poincare ramanujan riemann ritchie shannon tesla thompson
    turing volta wiles wozniak wu yalow
    """.split()  # noqa: SIM905 - shorter so
)


class Names:
    """Makes up ids and names."""

    def __init__(self, seed: int | None) -> None:
        self._random = Random(seed)

    def id(self) -> str:
        """64 hexadecimal digits."""
        return f"{self._random.getrandbits(256):064x}"

    def name(self, holder_of: Callable[[str], object]) -> str:
        """Return a name that nobody has."""
        name = f"{self._random.choice(_HOW)}_{self._random.choice(_WHO)}"
        while holder_of(name):
            name = f"{name}{self._random.randrange(10)}"
        return name
