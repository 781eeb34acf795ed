"""What balance asks its members is freed at the end of the call, with the bytes of the answer."""

import gc
from collections.abc import Iterator

import pytest

from swarmlib import Verb, connect
from swarmlib.collecting import Collector


@pytest.fixture
def no_search() -> Iterator[None]:
    """Nothing is freed by the search for rings, and what other tests still hold is not among its objects."""
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


@pytest.mark.usefixtures("no_search")
async def test_an_answer_is_freed_without_a_search_for_rings() -> None:
    async with connect("balance (a=simulator) (b=simulator)") as client:
        for path in ("ping", "images", "volumes"):
            await client.call(Verb.GET if path == "ping" else Verb.LS, (path,))
        assert not [each for each in gc.get_objects() if isinstance(each, Collector)]
