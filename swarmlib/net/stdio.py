"""This process's own stdin and stdout as a stream: the far end of ssh://."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def own_stdio() -> AsyncGenerator[trio.abc.Stream]:
    """Open the stream, closed at the end. From here on nothing else comes to it: what is printed goes to stderr, and
    whatever reads stdin finds it empty.
    """
    inward, outward = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    async with trio.StapledStream(trio.lowlevel.FdStream(outward), trio.lowlevel.FdStream(inward)) as stream:
        yield stream
