"""Health checks in fake clusters of both releases: told, shown and filtered, over two gateways."""

from typing import Any

import pytest
import trio

from swarmlib import Client, SwarmError
from swarmlib.client.handles import Workload
from tests.backends.kubernetes.conftest import Place
from tests.backends.kubernetes.gateways import gateway, make

pytestmark = pytest.mark.parametrize("place", ["1.20", "1.35"], indirect=True)
SECOND = 10**9
FOREVER = "while true; do sleep 1; done"


def check(test: str, **more: Any) -> dict[str, Any]:
    """A health check by the shell, ten times a second."""
    return {"Healthcheck": {"Test": ["CMD-SHELL", test], "Interval": SECOND // 10, **more}}


async def health(container: Workload) -> Any:
    return (await container.get())["State"].get("Health")


async def until(client: Client, container: Workload, status: str) -> Any:
    """The health of a container once it has a status, of which an event tells."""
    async with client.watch(filters={"event": "health_status", "container": container.id}) as events:
        with trio.fail_after(20):
            while (found := await health(container))["Status"] != status:
                await anext(events)
    return found


async def test_a_container_is_healthy_for_every_gateway_and_then_it_is_not(place: Place) -> None:
    async with gateway(place) as one, gateway(place) as other:
        web = await make(
            one, "web", f"sleep 1; touch /sick; {FOREVER}", **check("echo looked; ! [ -f /sick ]", Retries=2)
        )
        async with other.watch(filters={"event": "health_status"}) as events:
            await web.start()
            assert (await health(web))["Status"] == "starting"
            assert (await anext(events)).action == "health_status: healthy"
            same = other.workload("web")
            found = await health(same)
            assert (found["Status"], found["FailingStreak"]) == ("healthy", 0)
            assert (found["Log"][-1]["ExitCode"], found["Log"][-1]["Output"]) == (0, "looked\n")
            (listed,) = await one.ls(filters={"health": "healthy"})
            assert listed["Status"].endswith("(healthy)")
            await web.exec(["touch", "/sick"])
            assert (await anext(events)).action == "health_status: unhealthy"
            assert (await health(same))["Status"] == "unhealthy"
        await web.rm(force=True)


async def test_checks_that_fail_often_enough_make_it_unhealthy_and_its_log_stays(place: Place) -> None:
    async with gateway(place) as one, gateway(place) as other:
        web = await make(one, "web", FOREVER, **check("echo bad; exit 3", Retries=2))
        await web.start()
        found = await until(other, other.workload("web"), "unhealthy")
        assert found["FailingStreak"] >= 2
        assert {(each["ExitCode"], each["Output"]) for each in found["Log"]} == {(3, "bad\n")}
        assert [each.id for each in await other.ls(filters={"health": "unhealthy"})] == [web.id]
        await web.kill()
        ended = await health(web)
        assert (ended["Status"], {each["ExitCode"] for each in ended["Log"]}) == ("unhealthy", {3})
        await web.rm()


async def test_a_gateway_that_comes_later_knows_the_health_at_once_and_tells_nothing_of_it(place: Place) -> None:
    async with gateway(place) as one:
        web = await make(one, "web", FOREVER, **check("true"))
        await web.start()
        await until(one, web, "healthy")
        async with gateway(place) as other:
            assert (await health(other.workload("web")))["Status"] == "healthy"
            async with other.watch(since=0, until=1, filters={"event": "health_status"}) as events:
                assert [each async for each in events] == []
        await web.rm(force=True)


@pytest.mark.parametrize(
    ("test", "code", "output"),
    [
        (
            ["CMD", "nosuch"],
            -1,
            'OCI runtime exec failed: exec failed: unable to start container process: exec: "nosuch"',
        ),
        (["CMD", "sleep", "60"], -1, "Health check exceeded timeout (0.1s)"),
        (["CMD", "echo", "$HOME $(x)"], 0, "$HOME $(x)\n"),
    ],
)
async def test_what_a_check_tells_is_what_an_engine_tells(
    place: Place, test: list[str], code: int, output: str
) -> None:
    async with gateway(place) as client:
        body = {"Healthcheck": {"Test": test, "Interval": SECOND // 10, "Timeout": SECOND // 10, "Retries": 1}}
        web = await make(client, "web", FOREVER, **body)
        await web.start()
        found = await until(client, web, "unhealthy" if code else "healthy")
        assert found["Log"][-1]["ExitCode"] == code
        assert found["Log"][-1]["Output"].startswith(output)
        await web.rm(force=True)


async def test_a_container_that_its_image_starts_is_checked_too(place: Place) -> None:
    async with gateway(place) as client:
        web = await client.spawn({"Image": "busybox:1", "Cmd": ["sleep", "100"], **check("true")}, name="web")
        await web.start()
        await until(client, web, "healthy")
        await web.rm(force=True)


async def test_without_a_check_there_is_no_health(place: Place) -> None:
    async with gateway(place) as client:
        web = await make(client, "web", FOREVER, Healthcheck={"Test": ["NONE"]})
        await web.start()
        assert await health(web) is None
        assert [each.id for each in await client.ls(filters={"health": "none"})] == [web.id]
        with pytest.raises(SwarmError, match="Unrecognised filter value for health: fine"):
            await client.ls(filters={"health": "fine"})
        await web.rm(force=True)


async def test_without_tools_a_check_is_refused_by_its_name(place: Place) -> None:
    async with gateway(place, "--tools never") as client:
        with pytest.raises(SwarmError, match=r"Healthcheck .swarmlib.s tools make the checks, which --tools never"):
            await make(client, "web", FOREVER, **check("true"))
