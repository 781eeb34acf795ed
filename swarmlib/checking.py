"""Whether a chain can be run: each stage must be able to work where it stands, and find what it needs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, cast

from .chain import Chain
from .errors import Invalid, SwarmError
from .grammar import ChainSyntaxError
from .options import parameters
from .service import Backend

_HERE: Final = ("localhost", "127.0.0.1", "[::1]", "0.0.0.0", "[::]")


def check_order(chain: Chain, *, has_source: bool) -> None:
    """Check the order of a chain's stages, and of those of the chains in it.

    has_source: the chain is run, so that its first stage makes the requests; else they come from elsewhere.

    Raises:
        ChainSyntaxError: a stage can't work where it stands; the error points at it, if it was read from a text.
        Invalid: the same, of a stage that was made in Python.
    """
    if has_source and chain.backends[0].position != "first":
        raise _located(
            chain.backends[0],
            "the chain has no source: its first stage must make requests, as dockerserver or listen does",
        )
    _check_row(chain, has_source=has_source)
    for each in _nested(chain):
        check_order(each, has_source=False)


async def preflight(chain: Chain) -> list[Invalid]:
    """Return what would keep the stages of a chain, and those of the chains in it, from being opened now."""
    found: list[Invalid] = []
    for stage in chain.backends:
        try:
            await stage.preflight()
        except SwarmError as exc:
            found.append(_located(stage, f"{stage.name}: {exc.message}"))
    for each in _nested(chain):
        found += await preflight(each)
    return found


def check_endpoints(chains: Sequence[Chain]) -> None:
    """Check that of the chains that run in one process, no two serve one address, and none leads back to itself.

    Raises:
        ChainSyntaxError: an address is served twice, or reached by the chain that serves it.
        Invalid: the same, of a stage that was made in Python.
    """
    serving: dict[str, int] = {}
    for number, chain in enumerate(chains):
        source = chain.backends[0]
        for place in map(_place, source.endpoints if source.position == "first" else ()):
            if serving.setdefault(place, number) != number:
                raise _located(source, f"{source.name}: {place} is served by another chain already")
    reached = [{serving[place]: stage for place, stage in _reached(chain) if place in serving} for chain in chains]
    for number in range(len(chains)):
        for following, stage in reached[number].items():
            if number in _behind(following, reached):
                raise _located(
                    stage, f"{stage.name} leads back to this chain itself, which serves {_first(chains[following])}"
                )


def _first(chain: Chain) -> str:
    return ", ".join(chain.backends[0].endpoints)


def _behind(chain: int, reached: Sequence[Mapping[int, Backend]]) -> set[int]:
    """Return a chain and all that it leads to."""
    found, waiting = {chain}, [chain]
    while waiting:
        new = reached[waiting.pop()].keys() - found
        found |= new
        waiting += new
    return found


def _reached(chain: Chain) -> Iterator[tuple[str, Backend]]:
    """Yield the places that a chain connects to, as far as they are known, with the stage that does."""
    for stage in chain.backends:
        if stage.position != "first":
            with suppress(SwarmError):  # which `preflight` tells
                yield from ((_place(each), stage) for each in stage.endpoints)
    for each in _nested(chain):
        yield from _reached(each)


def _place(address: str) -> str:
    """Return an address in a form in which two that mean the same place on this machine are equal."""
    scheme, _, rest = address.partition("://")
    if scheme == "unix":
        return f"unix://{os.path.realpath(rest)}"
    host, _, port = rest.rstrip("/").rpartition(":")
    return f"tcp://127.0.0.1:{port}" if scheme in ("tcp", "tls") and host in _HERE else address


def _check_row(chain: Chain, *, has_source: bool) -> None:
    last = len(chain.backends) - 1
    for index, stage in enumerate(chain.backends):
        if stage.position == "first" and (index or not has_source):
            where = "first, at the head of a chain that is run" if index else "at the head of a chain that is run"
            raise _located(stage, f"{stage.name} is a source, which takes no requests: it can only stand {where}")
        if stage.position == "last" and index < last:
            after = chain.backends[index + 1].name
            raise _located(stage, f"no request gets past {stage.name}, which must be the last stage: {after} is dead")
        if index == last and stage.position in ("first", "between"):
            raise _located(stage, f"nothing answers behind {stage.name}: a stage such as docker must follow it")


def nested(stage: Backend) -> Iterator[Chain]:
    """Yield the chains that are arguments of a stage."""
    for parameter in parameters(type(stage)):
        value: Any = getattr(stage, parameter.name)
        values = cast("list[Any]", value) if isinstance(value, list) else [value]
        yield from (each for each in values if isinstance(each, Chain))


def _nested(chain: Chain) -> Iterator[Chain]:
    for stage in chain.backends:
        yield from nested(stage)


def _located(stage: Backend, problem: str) -> Invalid:
    return ChainSyntaxError(problem, *stage.written) if stage.written else Invalid(problem)
