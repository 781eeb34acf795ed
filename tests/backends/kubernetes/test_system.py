"""What a cluster says of itself: what its nodes have within the namespace's quota, and what it lists first."""

from typing import Any

import pytest

from swarmlib import SwarmError, Verb
from swarmlib_backends.kubernetes.api.resources import NODES, QUOTAS
from tests.backends.kubernetes.conftest import Place
from tests.backends.kubernetes.gateways import call, gateway, limited, make

pytestmark = pytest.mark.parametrize("place", ["1.35"], indirect=True)
_GIB = 2**30


async def info(place: Place) -> dict[str, Any]:
    async with gateway(place) as client:
        found: dict[str, Any] = await client.get()
        return found


async def bound(place: Place, **hard: str) -> None:
    body = {
        "metadata": {"name": "quota"},
        "spec": {"hard": {name.replace("_", "."): each for name, each in hard.items()}},
    }
    await place.api.post(QUOTAS.path(place.namespace), body)


async def test_a_cluster_has_what_its_open_nodes_have(place: Place) -> None:
    found = await info(place)
    assert (found["NCPU"], found["MemTotal"]) == (16, 32 * _GIB)
    assert ["Nodes", "2"] in found["DriverStatus"]
    assert (found["OperatingSystem"], found["Architecture"]) == ("Kubernetes v1.35.0", "x86_64")
    assert found["Warnings"] == []
    await place.api.patch(NODES.path(name="node2"), {"spec": {"unschedulable": True}})
    found = await info(place)
    assert (found["NCPU"], found["MemTotal"]) == (8, 16 * _GIB)


async def test_a_quota_bounds_what_there_is(place: Place) -> None:
    await bound(place, limits_cpu="2500m", requests_memory="8Gi")
    found = await info(place)
    assert (found["NCPU"], found["MemTotal"]) == (2, 8 * _GIB)


async def test_an_account_that_may_not_list_nodes_is_told_what_is_known(place: Place) -> None:
    found = await info(limited(place))
    assert (found["NCPU"], found["MemTotal"]) == (0, 0)
    assert found["Warnings"] == ["the account may not list nodes: only the namespace's quota is known"]
    await bound(place, limits_cpu="3", limits_memory="1Gi")
    found = await info(limited(place))
    assert (found["NCPU"], found["MemTotal"]) == (3, _GIB)


async def test_a_new_gateway_lists_the_newest_first(place: Place) -> None:
    names = [f"made{number}" for number in range(6)]
    async with gateway(place) as client:
        for name in names:
            await make(client, name, "true")
    async with gateway(place) as client:
        assert [each["Names"][0][1:] for each in await client.ls(all="1")] == names[::-1]
        assert [each["Names"][0][1:] for each in await client.ls(limit="1")] == names[-1:]


async def test_what_concerns_swarms_is_answered_as_by_an_engine_in_none(place: Place) -> None:
    async with gateway(place) as client:
        with pytest.raises(SwarmError, match="This node is not a swarm manager"):
            await call(client, Verb.LS, "services")
        assert await call(client, Verb.LS, "plugins") == []
