"""The logs of a container that is kept end with its run, although its Pod, and with it the cluster's log, goes on."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from trio.testing import MemoryReceiveStream, MockClock

from swarmlib_backends.kubernetes.cluster import Cluster
from swarmlib_backends.kubernetes.container import PodContainer
from swarmlib_backends.kubernetes.log_parts import STDOUT, Part, opened
from swarmlib_backends.kubernetes.pods.record import Ended
from tests.backends.kubernetes.test_container import RUNNING, container

END = Ended(1, 0, 5.0, 6.0)


@dataclass
class SlowApi:
    """Opens logs that never end. Meanwhile, the run of a container does."""

    ending: PodContainer | None

    @asynccontextmanager
    async def stream(self, path: str, params: Mapping[str, str]) -> AsyncGenerator[Any]:
        if self.ending is not None:
            self.ending.update(container(RUNNING, keep=True, last=END).record, self.ending.pod)
            assert not self.ending.running
        source = MemoryReceiveStream()
        source.put_data(b"a line\n")
        yield source


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_logs_that_are_followed_end_with_a_run_that_ends_before_they_are_open(
    when: str, autojump_clock: MockClock
) -> None:
    kept = container(RUNNING, keep=True, **({"last": END} if when == "before" else {}))
    kept.pod = {**(kept.pod or {}), "metadata": {"name": "kept", "annotations": {}}}
    api = SlowApi(None if when == "before" else kept)
    cluster = cast("Cluster", SimpleNamespace(api=api, namespace="ci"))
    with trio.fail_after(60):
        async with opened(cluster, kept, Part(STDOUT), {"follow": "true"}) as stream:
            assert await stream.receive_some() == b"a line\n"
            assert await stream.receive_some() == b""
