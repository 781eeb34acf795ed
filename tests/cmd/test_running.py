"""Chains that begin, change and end while swarmd runs: what is said of them is true when it is said."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from swarmd.running import Fleet
from swarmlib import Chain


def serving(socket: Path) -> Chain:
    return Chain.read(f"dockerserver unix://{socket} | simulator")


@asynccontextmanager
async def fleet(**chains: Chain) -> AsyncGenerator[Fleet]:
    async with trio.open_nursery() as nursery:
        opened = Fleet(nursery)
        try:
            await opened.open(chains)
            yield opened
        finally:
            await opened.close()


async def test_a_chain_that_was_removed_listens_no_more(tmp_path: Path) -> None:
    socket = tmp_path / "a.sock"
    async with fleet(front=serving(socket)) as chains:
        assert socket.exists()
        assert await chains.become({}) == ["chain front takes no more connections"]
        assert not socket.exists()


async def test_a_chain_that_listens_elsewhere_does_not_listen_where_it_did(tmp_path: Path) -> None:
    before, now = tmp_path / "a.sock", tmp_path / "b.sock"
    async with fleet(front=serving(before)) as chains:
        assert await chains.become({"front": serving(now)}) == ["chain front has changed"]
        assert not before.exists()
        assert now.exists()
