"""Whether the stages of a chain can work where they stand: a request must be able to reach each, and be answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from .chain import Chain
from .errors import Invalid
from .grammar import ChainSyntaxError
from .options import parameters
from .service import Backend


def check_order(chain: Chain, *, has_source: bool) -> None:
    """Check the order of a chain's stages, and of those of the chains in it.

    has_source: the chain is run, so that its first stage makes the requests; else they come from elsewhere.

    Raises:
        ChainSyntaxError: a stage can't work where it stands; the error points at it, if it was read from a text.
        Invalid: the same, of a stage that was made in Python.
    """
    if has_source and chain.backends[0].position != "first":
        raise _misplaced(
            chain.backends[0],
            "the chain has no source: its first stage must make requests, as dockerserver or listen does",
        )
    _check_row(chain, has_source=has_source)
    for nested in _nested(chain):
        check_order(nested, has_source=False)


def _check_row(chain: Chain, *, has_source: bool) -> None:
    last = len(chain.backends) - 1
    for index, stage in enumerate(chain.backends):
        if stage.position == "first" and (index or not has_source):
            where = "first, at the head of a chain that is run" if index else "at the head of a chain that is run"
            raise _misplaced(stage, f"{stage.name} is a source, which takes no requests: it can only stand {where}")
        if stage.position == "last" and index < last:
            after = chain.backends[index + 1].name
            raise _misplaced(stage, f"no request gets past {stage.name}, which must be the last stage: {after} is dead")
        if index == last and stage.position in ("first", "between"):
            raise _misplaced(stage, f"nothing answers behind {stage.name}: a stage such as docker must follow it")


def _nested(chain: Chain) -> Iterator[Chain]:
    """Yield the chains that are arguments of a chain's stages."""
    for stage in chain.backends:
        for parameter in parameters(type(stage)):
            value: Any = getattr(stage, parameter.name)
            values = cast("list[Any]", value) if isinstance(value, list) else [value]
            yield from (each for each in values if isinstance(each, Chain))


def _misplaced(stage: Backend, problem: str) -> Invalid:
    return ChainSyntaxError(problem, *stage.written) if stage.written else Invalid(problem)
