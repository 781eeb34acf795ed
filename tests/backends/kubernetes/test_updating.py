"""Updates of containers in fake clusters of both releases."""

from typing import Any

import pytest

from swarmlib import Client, SwarmError, Unsupported
from swarmlib.client.handles import Workload
from swarmlib_backends.kubernetes.api.resources import PODS
from tests.backends.kubernetes.conftest import Place
from tests.backends.kubernetes.gateways import gateway

ON_BOTH = pytest.mark.parametrize("place", ["1.20", "1.35"], indirect=True)
ON_NEW = pytest.mark.parametrize("place", ["1.35"], indirect=True)
ON_OLD = pytest.mark.parametrize("place", ["1.20"], indirect=True)
MIB = 2**20


async def made(client: Client, **host: Any) -> Workload:
    return await client.spawn({"Image": "busybox:1", "Entrypoint": ["sleep", "1000"], "HostConfig": host}, name="web")


async def resources(place: Place) -> Any:
    (pod,) = (await place.api.get(PODS.path(place.namespace)))["items"]
    (main,) = pod["spec"]["containers"]
    return main["resources"]


async def host(container: Workload) -> Any:
    return (await container.get())["HostConfig"]


@ON_BOTH
async def test_what_has_no_pod_yet_gets_another_one(place: Place) -> None:
    async with gateway(place) as client:
        container = await made(client, Memory=64 * MIB)
        given = {"Memory": 32 * MIB, "NanoCpus": 0, "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}}
        answer = await container.set("update", body=given)
        assert answer is None or answer["Warnings"] is None
        await container.start()
        assert (await resources(place))["limits"]["memory"] == str(32 * MIB)
        shown = await host(container)
        assert (shown["Memory"], shown["RestartPolicy"]["Name"]) == (32 * MIB, "always")


@ON_NEW
async def test_a_pod_that_runs_is_resized_where_the_cluster_can(place: Place) -> None:
    async with gateway(place) as client:
        container = await made(client, Memory=64 * MIB)
        await container.start()
        await container.set("update", body={"Memory": 128 * MIB})
        assert (await resources(place))["limits"]["memory"] == str(128 * MIB)
        assert (await host(container))["Memory"] == 128 * MIB
        with pytest.raises(SwarmError, match="Pod QOS Class may not change"):
            await container.set("update", body={"NanoCpus": 10**9})
        assert (await host(container))["NanoCpus"] == 0


@ON_OLD
async def test_a_pod_that_runs_is_not_resized_where_the_cluster_can_t(place: Place) -> None:
    async with gateway(place) as client:
        container = await made(client, Memory=64 * MIB)
        await container.start()
        with pytest.raises(Unsupported, match=r"web can't be updated: clusters before Kubernetes 1\.33 can't change"):
            await container.set("update", body={"Memory": 128 * MIB})
        assert (await host(container))["Memory"] == 64 * MIB
        await container.set("update", body={"Memory": 64 * MIB})


@ON_BOTH
@pytest.mark.parametrize(("options", "allowed"), [("", False), ("--keep", True)])
async def test_a_restart_policy_is_the_pod_s_or_the_gateway_s(place: Place, options: str, allowed: bool) -> None:
    async with gateway(place, options) as client:
        container = await made(client)
        await container.start()
        change = container.set("update", body={"RestartPolicy": {"Name": "always"}})
        if allowed:
            await change
            await container.stop("kill", signal="TERM")
            await container.wait("next-exit")
            assert (await container.get())["State"]["Restarting"] is True
        else:
            with pytest.raises(Unsupported, match=r"HostConfig\.RestartPolicy .*--keep"):
                await change


@ON_BOTH
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"CpusetCpus": "0"}, r"a Pod can't have HostConfig\.CpusetCpus"),
        ({"BlkioWeight": 100}, r"a Pod can't have HostConfig\.BlkioWeight"),
        ({"RestartPolicy": {"Name": "sometimes"}}, "invalid restart policy 'sometimes'"),
        ({"CpuQuota": 1000}, "CPU Quota cannot be updated as NanoCPUs has already been set"),
    ],
)
async def test_what_can_t_be_changed_is_refused_by_its_name(place: Place, given: Any, said: str) -> None:
    async with gateway(place) as client:
        container = await made(client, NanoCpus=10**9)
        before = await host(container)
        with pytest.raises(SwarmError, match=said):
            await container.set("update", body=given)
        assert await host(container) == before
