"""What swarmd says once it serves: where, for whom, and whether what stands behind it answers."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import trio

from swarmlib import Backend, Chain, Source, SwarmError
from swarmlib.checking import nested
from swarmlib.net.handover import Listening
from swarmlib.terminal import escaped

from .logs import say

_ANSWER_SECONDS = 5.0


def announce(chain: Chain, listening: Listening, nursery: trio.Nursery) -> None:
    """Say where a chain serves, and have its engines asked who they are, in tasks of `nursery`."""
    name = f"{chain.label}: " if chain.label else ""
    source = chain.backends[0]
    if isinstance(source, Source):
        for address in _addresses(listening):
            say(f"{name}{source.invitation(address)}")
    for label, stage in _last_stages(chain):
        nursery.start_soon(_greet, name + label, stage)


def _addresses(listening: Listening) -> Iterator[str]:
    """Yield the addresses of the sockets, which were perhaps given to the process, or chosen by the system."""
    for part in listening.parts:
        for listener in part.listeners:
            name = listener.socket.getsockname()
            if listener.socket.family == socket.AF_UNIX:
                yield f"unix://{name}"
            else:
                host, port = name[:2]
                yield f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def _last_stages(chain: Chain) -> Iterator[tuple[str, Backend]]:
    """Yield the stages in which calls end, each with the names of the members that lead there."""
    for stage in chain.backends:
        for each in nested(stage):
            label = f"{each.label}: " if each.label else ""
            yield from ((label + further, last) for further, last in _last_stages(each))
    yield "", chain.backends[-1]


async def _greet(where: str, stage: Backend) -> None:
    try:
        with trio.fail_after(_ANSWER_SECONDS):
            answer = await stage.greet()
    except SwarmError as exc:
        say(f"{where}{stage.name} does not answer: {escaped(exc.message)}", logging.WARNING)
    except trio.TooSlowError:
        say(f"{where}{stage.name} does not answer within {_ANSWER_SECONDS:g} s", logging.WARNING)
    else:
        if answer:
            say(f"{where}{stage.name} answers: {escaped(answer)}")
