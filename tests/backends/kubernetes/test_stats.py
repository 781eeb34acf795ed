"""What containers use, in fake clusters of both releases: once, second by second, and for many at once."""

from typing import Any

import pytest
import trio
import trio.testing

from swarmlib import SwarmError
from swarmlib_backends.kubernetes.api.client import Api
from tests.backends.kubernetes.conftest import Place
from tests.backends.kubernetes.gateways import gateway, make

pytestmark = pytest.mark.parametrize("place", ["1.20", "1.35"], indirect=True)
FOREVER = "while true; do sleep 1; done"


async def test_stats_are_given_once_with_the_sample_before_or_at_once_without_it(place: Place) -> None:
    async with gateway(place) as client:
        web = await make(client, "web", FOREVER)
        await web.start()
        async with web.watch("stats", stream=False) as told:
            (found,) = [each async for each in told]
        assert (found["name"], found["id"]) == ("/web", web.id)
        assert found["preread"] < found["read"]
        machine = found["cpu_stats"]["system_cpu_usage"] - found["precpu_stats"]["system_cpu_usage"]
        assert 0.5 < machine / 10**9 < 5
        assert (found["memory_stats"]["limit"], found["cpu_stats"]["online_cpus"]) == (16 * 2**30, 1)
        async with web.watch("stats", stream=False, one_shot=True) as told:
            (found,) = [each async for each in told]
        assert "system_cpu_usage" not in found["precpu_stats"]
        await web.rm(force=True)


async def test_all_who_look_share_one_command_which_ends_with_the_last(place: Place) -> None:
    assert place.fake is not None
    async with gateway(place) as client:
        web = await make(client, "web", FOREVER)
        await web.start()
        place.fake.asked.clear()
        async with web.watch("stats") as one, web.watch("stats") as other:
            last = (await anext(other))["read"]
            with trio.fail_after(10):
                while (await anext(one))["read"] != last:
                    pass
        commands = [each for each in place.fake.asked if each.endswith("/exec")]
        (pod,) = place.fake.kubelets.pods.values()
        with trio.fail_after(10):
            while len(pod.processes) > 1:
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert len(commands) == 1 or place.fake.release.minor < 21  # which first refuses the newest dialect
        await web.rm(force=True)


async def test_a_container_that_does_not_run_uses_nothing_and_its_stats_go_on_when_it_does(place: Place) -> None:
    async with gateway(place) as client:
        web = await make(client, "web", FOREVER)
        async with web.watch("stats", stream=False) as told:
            (found,) = [each async for each in told]
        assert (found["read"], found["memory_stats"], found["pids_stats"]) == ("0001-01-01T00:00:00Z", {}, {})
        async with web.watch("stats") as told:
            assert (await anext(told))["memory_stats"] == {}
            await web.start()
            with trio.fail_after(10):
                while not (found := await anext(told))["memory_stats"]:
                    pass
            await web.rm(force=True)
            with trio.fail_after(10):
                assert [each["memory_stats"] async for each in told][1:] == []


async def test_a_paused_container_has_stats_and_so_has_one_that_goes_on(place: Place) -> None:
    async with gateway(place) as client:
        web = await make(client, "web", FOREVER)
        await web.start()
        async with web.watch("stats") as told:
            await anext(told)
            await client.set("containers", "web", "pause")
            with trio.fail_after(10):
                paused = [await anext(told) for _ in range(3)]
            await client.set("containers", "web", "unpause")
            with trio.fail_after(10):
                after = [await anext(told) for _ in range(3)]
            assert all(each["memory_stats"] for each in [*paused, *after])
        await web.rm(force=True)


async def test_without_tools_stats_are_those_of_the_metrics_server(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(place, "--tools never") as client:
        web = await client.spawn({"Image": "busybox:1", "Cmd": ["sleep", "100"]}, name="web")
        await web.start()
        with pytest.raises(SwarmError, match="the cluster's metrics server, which has none of its Pod"):
            async with web.watch("stats"):
                pass

        ask = Api.get

        async def measured(api: Api, path: str, *args: Any) -> Any:
            if "metrics.k8s.io" not in path:
                return await ask(api, path, *args)
            usage = {"cpu": "1500000000n", "memory": "2048Ki"}
            return {"containers": [{"name": "side", "usage": {"cpu": "1"}}, {"name": "main", "usage": usage}]}

        monkeypatch.setattr(Api, "get", measured)
        async with web.watch("stats", stream=False) as told:
            (found,) = [each async for each in told]
        used = found["cpu_stats"]["cpu_usage"]["total_usage"] / found["cpu_stats"]["system_cpu_usage"]
        assert used * found["cpu_stats"]["online_cpus"] == pytest.approx(1.5)
        assert found["memory_stats"]["usage"] == 2 * 2**20
        await web.rm(force=True)
