"""What balance asks its members is freed at the end of the call, with the bytes of the answer."""

import gc

import pytest

from swarmlib import Verb, connect
from swarmlib.collecting import Collector


@pytest.mark.usefixtures("no_collector")
async def test_an_answer_is_freed_without_a_search_for_rings() -> None:
    async with connect("balance (a=simulator) (b=simulator)") as client:
        for path in ("ping", "images", "volumes"):
            await client.call(Verb.GET if path == "ping" else Verb.LS, (path,))
        assert not [each for each in gc.get_objects() if isinstance(each, Collector)]
