"""Containers that are kept, in fake clusters of both releases: run again with their files, by hand and by policy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from swarmlib import Client, Invalid, SwarmError, connect
from swarmlib.client.handles import Workload
from swarmlib_backends.kubernetes.api.resources import PODS
from swarmlib_backends.kubernetes.pods import names
from swarmlib_backends.kubernetes.pods.runs import mark
from swarmlib_backends.kubernetes.pods.shim import BUSYBOX
from swarmlib_backends.kubernetes.streams.negotiate import Dialects
from swarmlib_backends.kubernetes.streams.remote import RemoteCommand, remote_command
from tests.backends.kubernetes.conftest import Place

pytestmark = pytest.mark.parametrize("place", ["1.20", "1.35"], indirect=True)
COUNTS = "echo x >>/n; wc -l </n; "
"""What a run writes: how many runs there have been."""


@asynccontextmanager
async def gateway(place: Place, options: str = "--keep") -> AsyncIterator[Client]:
    async with connect(f"kubernetes --kubeconfig {place.kubeconfig} --tools-image busybox:1 {options}") as opened:
        yield opened


async def made(client: Client, script: str, **more: Any) -> Workload:
    body = {"Image": "busybox:1", "Entrypoint": ["sh", "-c", script], **more}
    return await client.spawn(body, name="web")


def policy(name: str, retries: int = 0) -> dict[str, Any]:
    return {"HostConfig": {"RestartPolicy": {"Name": name, "MaximumRetryCount": retries}}}


async def output(container: Workload) -> list[bytes]:
    return [line.data for line in await container.logs()]


async def state(container: Workload) -> dict[str, Any]:
    found: dict[str, Any] = (await container.get())["State"]
    return found


async def test_a_container_runs_again_with_its_files(place: Place) -> None:
    async with gateway(place) as client:
        container = await made(client, COUNTS + "exit $(wc -l </n)")
        for run in (1, 2, 3):
            await container.start()
            assert await container.wait() == run
            found = await state(container)
            assert (found["Status"], found["ExitCode"]) == ("exited", run)
            assert "0001" < found["StartedAt"] <= found["FinishedAt"]
        assert await output(container) == [b"1", b"2", b"3"]
        async with gateway(place, "") as other:  # it is the container that is kept, whoever asks
            again = other.workload("web")
            await again.start()
            assert await again.wait() == 4


async def test_it_is_stopped_killed_and_restarted_as_in_an_engine(place: Place) -> None:
    async with gateway(place) as client:
        container = await made(client, "trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done")
        await container.start()
        await container.set("restart")
        assert (await state(container))["Running"] is True
        await container.stop()
        found = await state(container)
        assert (found["Status"], found["ExitCode"]) == ("exited", 5)
        await container.start()
        await container.kill()
        assert (await state(container))["ExitCode"] == 137
        assert await output(container) == [b"up", b"up", b"up"]


async def test_who_follows_the_logs_or_is_attached_sees_the_end_of_the_run(place: Place) -> None:
    async with gateway(place) as client:
        container = await made(client, "sleep 1; echo out")
        for _ in range(2):
            stream = await container.connect(stream=True, stdout=True)
            await container.start()
            async with container.follow(tail=0) as lines:
                assert [line.data async for line in lines] == [b"out"]
            async with stream:
                assert b"".join([piece async for piece in stream])[8:] == b"out\n"


async def test_a_mark_that_the_command_writes_itself_ends_nothing(place: Place) -> None:
    forged = mark(1).decode()
    async with gateway(place) as client:
        container = await made(client, f"echo '{forged}'; echo '{forged}' >&2; sleep 1; echo out")
        stream = await container.connect(stream=True, stdout=True, stderr=True)
        await container.start()
        async with container.follow() as lines:
            assert [line.data async for line in lines] == [b"out"]
        async with stream:
            assert b"".join([piece async for piece in stream])[8:] == b"out\n"


@pytest.mark.parametrize("mode", ["--keep", ""])
async def test_a_policy_restarts_only_so_often(place: Place, mode: str) -> None:
    async with gateway(place, mode) as client:
        container = await made(client, "exit 3", **policy("on-failure", 1))
        await container.start()
        with trio.fail_after(30):
            while (found := await container.get())["State"]["Status"] != "exited":
                await container.wait("next-exit")
        assert (found["RestartCount"], found["State"]["ExitCode"]) == (1, 3)


async def test_a_policy_restarts_until_somebody_stops(place: Place) -> None:
    async with gateway(place) as client:
        container = await made(client, "exit 0", **policy("always"))
        await container.start()
        with trio.fail_after(30):
            while (await container.get())["RestartCount"] < 2:
                assert await container.wait("next-exit") == 0
        await container.stop()
        assert (await state(container))["Status"] == "exited"
        await container.start()
        assert (await container.get())["RestartCount"] < 2, "a start begins to count anew"


async def test_what_happens_is_told(place: Place) -> None:
    async with gateway(place) as client, client.watch() as events:
        container = await made(client, "exit 3", **policy("on-failure", 1))
        await container.start()
        told = []
        with trio.fail_after(30):
            async for event in events:
                if event["Type"] == "container":
                    told.append((event["Action"], event["Actor"]["Attributes"].get("exitCode")))
                if told.count(("die", "3")) == 2:
                    break
        assert told == [("create", None), *[("start", None), ("die", "3")] * 2]


async def test_a_command_that_can_t_run_is_told_and_its_pod_stays(place: Place) -> None:
    async with gateway(place) as client:
        container = await client.spawn({"Image": "busybox:1", "Entrypoint": ["/tool"]}, name="web")
        for _ in range(2):
            with pytest.raises(Invalid, match=r'exec: "/tool": stat /tool: no such file or directory'):
                await container.start()
            found = await state(container)
            assert (found["Status"], found["ExitCode"], found["Running"]) == ("created", 127, False)
        (pod,) = (await place.api.get(PODS.path(place.namespace)))["items"]
        assert pod["status"]["phase"] == "Running"


async def run_in_pod(place: Place, script: str) -> None:
    """Run a script in the only Pod, past all gateways."""
    (pod,) = (await place.api.get(PODS.path(place.namespace)))["items"]
    command = RemoteCommand("exec", names.MAIN, (BUSYBOX, "sh", "-c", script))
    opened = remote_command(place.api, place.namespace, pod["metadata"]["name"], command, dialects=Dialects())
    async with opened as process:
        while await process.receive() is not None:
            pass


async def test_a_gateway_that_comes_later_finds_what_has_happened(place: Place) -> None:
    async with gateway(place) as client:
        container = await made(client, "until [ -e /end ]; do sleep 0.1; done; exit 6")
        await container.start()
    async with gateway(place) as client:
        assert (await state(client.workload("web")))["Status"] == "running"
    await run_in_pod(place, "touch /end; until [ -e /.swarm/ended ]; do sleep 0.05; done")
    async with gateway(place) as client:
        found = await state(client.workload("web"))
        assert (found["Status"], found["ExitCode"]) == ("exited", 6), "the first answer says it"


async def test_what_was_made_without_it_says_what_would_allow_it(place: Place) -> None:
    async with gateway(place, "") as client:
        container = await made(client, "exit 0")
        await container.start()
        await container.wait()
    async with gateway(place) as client:
        with pytest.raises(SwarmError, match="unless it was created with the option --keep of kubernetes"):
            await client.workload("web").start()


async def test_one_whose_pod_is_gone_can_t_run_again(place: Place) -> None:
    async with gateway(place) as client:
        container = await made(client, "sleep 1000")
        await container.start()
        (pod,) = (await place.api.get(PODS.path(place.namespace)))["items"]
        await place.api.delete(PODS.path(place.namespace, pod["metadata"]["name"]), {"gracePeriodSeconds": 0})
        with pytest.raises(SwarmError, match="its Pod was deleted"):
            await container.wait()
        with pytest.raises(SwarmError, match="its files have gone with its Pod"):
            await container.start()
