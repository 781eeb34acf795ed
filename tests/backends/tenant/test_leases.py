"""Leases and sockets of tenants: who acts for whom, when a lease ends, and that nothing is left of it."""

import logging
import stat
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import Mock

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from swarmlib import Chain, Client, Conflict, Denied, Filter, Invalid, NotFound, Request, SwarmError, Unavailable, Verb
from swarmlib.asking import call
from swarmlib.values import Json
from swarmlib_backends import control
from swarmlib_backends.docker import Docker
from swarmlib_backends.simulator import Simulator
from swarmlib_backends.tenant import Tenant
from swarmlib_backends.tenant.leases import Asked, Lease
from tests.support.engines import free_port

FILE = """
[lease]
images = ["busybox"]
[lease.quota]
containers = 2
"""
SLEEPS: dict[str, Any] = {"Image": "busybox", "Cmd": ["sleep", "1000"]}


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with TemporaryDirectory() as folder:  # the path of a socket must be short, which that of `tmp_path` is not
        monkeypatch.setattr("swarmlib_backends.tenant.leases.folder", lambda: Path(folder))
        yield


@asynccontextmanager
async def desk(engine: Any, folder: Path, text: str = FILE) -> AsyncGenerator[Client]:
    """The operator's client of a stage over an engine."""
    file = folder / "tenants.toml"
    file.write_text(text)
    with control.desk() as held:
        async with Tenant(file).open(engine), held.open(engine) as sender:
            yield Client(sender)


async def lease(operator: Client, **asked: Any) -> dict[str, Any]:
    request = Request(Verb.SPAWN, ("tenants",), body=Json.from_data({"ttl": 3600} | asked))
    return dict((await call(operator.sender, request)).value)


async def leases(operator: Client) -> list[str]:
    return [each["Name"] for each in await operator.ls("tenants") if "Seconds" in each]


@asynccontextmanager
async def docker(host: str) -> AsyncGenerator[Client]:
    async with Chain(Docker(host)).open() as sender:
        yield Client(sender)


async def objects(engine: Client) -> int:
    """The number of objects that tenants have."""
    own = [each for each in await engine.ls("networks") if "." in each["Name"]]
    tags = [tag for each in await engine.ls("images") for tag in each["RepoTags"] or () if "tenant.invalid" in tag]
    volumes = (await call(engine.sender, Request(Verb.LS, ("volumes",)))).value["Volumes"] or []
    return len([*await engine.ls(all=True), *own, *tags, *volumes])


async def fill(tenant: Client) -> None:
    """Make one object of each kind."""
    await tenant.spawn(SLEEPS | {"Volumes": {"/anonymous": {}}, "HostConfig": {"Binds": ["data:/d"]}}, name="web")
    await tenant.start("containers", "web")
    await tenant.spawn({"Name": "app"}, "networks")
    await tenant.set("images", "busybox", "tag", repo="mine", tag="1")


async def test_everything_of_a_lease_is_removed_at_its_end(tmp_path: Path) -> None:
    async with Chain(Simulator()).open() as sender, desk(sender, tmp_path) as operator:
        engine = Client(sender)
        made = await lease(operator, name="ci")
        assert made["Tenant"].endswith("-ci")
        path = trio.Path(made["Host"].removeprefix("unix://"))
        assert stat.S_IMODE((await path.stat()).st_mode) == 0o600
        async with docker(made["Host"]) as tenant:
            await fill(tenant)
            assert await objects(engine) == 6
            with pytest.raises(Conflict, match="there is a lease ci already"):
                await lease(operator, name="ci")
        await operator.rm("tenants", made["Tenant"])
        assert (await leases(operator), await objects(engine)) == ([], 0)
        assert not await path.exists()
        assert made["Tenant"] not in [each["Name"] for each in await operator.ls("tenants")]


async def test_a_lease_ends_with_its_last_connection(tmp_path: Path, autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0.05  # what comes over sockets is no reason to jump ahead
    async with Chain(Simulator()).open() as sender, desk(sender, tmp_path) as operator:
        made = await lease(operator, connection=True)
        async with docker(made["Host"]) as tenant:
            await fill(tenant)
            await trio.sleep(11)
            assert len(await leases(operator)) == 1
        await trio.sleep(12)
        assert (await leases(operator), await objects(Client(sender))) == ([], 0)


def lasting(**asked: Any) -> Lease:
    """A lease of a time without end, for what it heeds."""
    return Lease(Asked(**{"ttl": 3600.0, **asked}), Mock(), "unix:///none", "")


async def over(lease: Lease, *happens: tuple[float, int, int]) -> tuple[float, str]:
    """When a lease is over, and why; at each moment so many clients are connected, and so many of them busy."""
    began = trio.current_time()

    async def happen() -> None:
        for moment, connected, busy in happens:
            await trio.sleep_until(began + moment)
            lease.heed(connected, busy)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(happen)
        reason = await lease.over()
        nursery.cancel_scope.cancel()
    return trio.current_time() - began, reason


async def test_a_lease_is_over_when_its_time_has_passed(autojump_clock: MockClock) -> None:
    assert await over(lasting(ttl=60), (10, 1, 1)) == (60, "its time has passed")


@pytest.mark.parametrize(
    ("happens", "end"),
    [
        ([], 60),
        ([(50, 1, 1), (51, 1, 0)], 111),
        ([(50, 1, 0), (55, 0, 0)], 60),  # connections without calls are idle
        ([(50, 1, 1), (500, 2, 1), (600, 0, 0)], 660),
    ],
)
async def test_a_lease_is_over_when_it_was_idle(
    happens: list[tuple[float, int, int]], end: float, autojump_clock: MockClock
) -> None:
    assert await over(lasting(idle=60.0), *happens) == (end, "it was idle")


@pytest.mark.parametrize(
    ("happens", "end"),
    [
        ([(1, 1, 0), (2, 0, 0)], 12),
        ([(1, 1, 0), (2, 0, 0), (11, 1, 1), (30, 0, 0)], 40),
        ([(1, 1, 0), (2, 2, 0), (3, 1, 0), (4, 0, 0)], 14),
    ],
)
async def test_a_lease_is_over_when_its_last_connection_has_gone(
    happens: list[tuple[float, int, int]], end: float, autojump_clock: MockClock
) -> None:
    assert await over(lasting(connection=True), *happens) == (end, "its last connection has gone")


async def test_a_lease_waits_for_its_first_connection(autojump_clock: MockClock) -> None:
    assert await over(lasting(connection=True)) == (3600, "its time has passed")


async def test_after_a_crash_what_leases_have_left_is_removed(tmp_path: Path) -> None:
    async with Chain(Simulator()).open() as sender:
        engine = Client(sender)
        async with desk(sender, tmp_path) as operator:
            made = await lease(operator)
            names = (made["Tenant"], made["Tenant"][:-8] + "gone")
        for name in (*names, "lease-00000000-others", "alice"):
            await engine.spawn(SLEEPS | {"Labels": {"swarmlib.tenant": name}}, name=f"{name}.web")
            await engine.spawn({"Name": f"{name}.data", "Labels": {"swarmlib.tenant": name}}, "volumes")
        label = {"swarmlib.tenant": names[1]}  # which an image may give to whoever uses it
        await engine.spawn(SLEEPS | {"Labels": label}, name="operators")
        async with desk(sender, tmp_path):
            await wait_all_tasks_blocked()
            assert await objects(engine) == 5
        left = {each["Names"][0] for each in await engine.ls(all=True)}
        assert left == {"/lease-00000000-others.web", "/alice.web", "/operators"}


async def test_the_end_of_the_stage_ends_its_leases(tmp_path: Path) -> None:
    async with Chain(Simulator()).open() as sender:
        async with desk(sender, tmp_path) as operator, docker((await lease(operator))["Host"]) as tenant:
            await fill(tenant)
        assert await objects(Client(sender)) == 0


class Stuck(Filter):
    """An engine that can't remove volumes."""

    async def send(self, request: Request) -> None:
        if request.verb is Verb.RM and request.path[0] == "volumes":
            raise Unavailable("the volume is stuck", details={"status": 500})
        await self.next.send(request)


async def test_what_could_not_be_removed_is_named_in_the_log(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Chain(Simulator()).open() as sender, Stuck().open(sender) as way, desk(way, tmp_path) as operator:
        made = await lease(operator, ttl=1)
        await Client(sender).spawn(
            {"Name": f"{made['Tenant']}.data", "Labels": {"swarmlib.tenant": made["Tenant"]}}, "volumes"
        )
        await trio.sleep(200)
        assert await leases(operator) == []
    assert (
        f"volumes/{made['Tenant']}.data of the ended lease {made['Tenant']} is left: the volume is stuck" in caplog.text
    )


async def test_an_address_takes_only_who_has_the_token(tmp_path: Path) -> None:
    async with Chain(Simulator()).open() as sender, desk(sender, tmp_path) as operator:
        made = await lease(operator, tcp=f"127.0.0.1:{free_port()}")
        async with docker(made["Host"]) as stranger:
            with pytest.raises(Denied, match="this address requires the token of its lease"):
                await stranger.ls(all=True)
        for token, status in ((made["Token"], b"200"), ("x" + made["Token"], b"401"), ("", b"400")):
            host, _, port = made["Host"].removeprefix("tcp://").partition(":")
            async with await trio.open_tcp_stream(host, int(port)) as client:
                lines = (
                    f"GET /info HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
                )
                await client.send_all(lines.encode())
                answer = b"".join([bytes(each) async for each in client])
            assert answer.split()[1] == status
        assert made["Token"] not in repr(await operator.ls("tenants"))


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"ttl": 0}, "the time of a lease must be more than 0 s"),
        ({"ttl": "1h"}, "invalid lease: Expected `float`, got `str`"),
        ({"idle": -1}, "the idle time of a lease must be more than 0 s"),
        ({"name": "A"}, "invalid name 'A' of a lease"),
        ({"name": "a" * 18}, "expected 1 to 17 of a-z, 0-9 and -"),
        ({"limits": {"memry": 1}}, "unknown resource 'memry'; did you mean 'memory'?"),
        ({"limits": {"memory": -1}}, "the limit of memory must be 0 or more, not -1"),
        ({"other": 1}, "unknown field `other`"),
        ({"tcp": "10.0.0.1:1"}, "other machines could connect"),
        ({"tcp": "nonsense"}, "invalid address"),
    ],
)
async def test_a_lease_that_can_not_be_given_is_refused(tmp_path: Path, asked: dict[str, Any], error: str) -> None:
    async with Chain(Simulator()).open() as sender, desk(sender, tmp_path) as operator:
        with pytest.raises((Invalid, Denied)) as caught:
            await lease(operator, **asked)
        assert error in caught.value.message
        assert await leases(operator) == []


async def test_a_lease_has_the_quota_of_the_file_but_for_what_it_is_given(tmp_path: Path) -> None:
    async with Chain(Simulator()).open() as sender, desk(sender, tmp_path) as operator:
        made = await lease(operator, limits={"networks": 1})
        async with docker(made["Host"]) as tenant:
            for name in ("one", "two"):
                await tenant.spawn(SLEEPS, name=name)
            with pytest.raises(Denied, match="containers: 2 in use"):
                await tenant.spawn(SLEEPS, name="three")
            with pytest.raises(Denied, match="networks: 1 in use"):
                await tenant.spawn({"Name": "app"}, "networks")
        (row,) = await operator.ls("tenants")
        assert row["Limits"] == {"containers": 2, "networks": 1}
        assert (row["Used"]["containers"], row["Used"]["networks"]) == (2, 1)


async def test_leases_share_a_range_of_ports(tmp_path: Path) -> None:
    text = FILE.replace("[lease.quota]", 'ports = "20000-20001"\n[lease.quota]')
    publishing = {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}
    async with Chain(Simulator()).open() as sender, desk(sender, tmp_path, text) as operator:
        for number in ("20000", "20001"):
            made = await lease(operator)
            async with docker(made["Host"]) as tenant:
                web = await tenant.spawn(SLEEPS | {"HostConfig": publishing}, name="web")
            host = (await Client(sender).get("containers", web.id))["HostConfig"]
            assert host["PortBindings"]["80/tcp"][0]["HostPort"] == number


async def test_a_socket_follows_the_file(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    autojump_clock.autojump_threshold = 0.05
    text = "[tenant.alice]\nimages = ['busybox']\nsocket = 'FOLDER/SOCKET'".replace("FOLDER", str(tmp_path))
    async with Chain(Simulator()).open() as sender, desk(sender, tmp_path, text.replace("SOCKET", "a.sock")):
        (tmp_path / "tenants.toml").write_text(text.replace("SOCKET", "other.sock"))
        await trio.sleep(3)
        assert (await trio.Path(tmp_path, "a.sock").exists()) is False
        async with docker(f"unix://{tmp_path}/other.sock") as alice:
            assert await alice.ls(all=True) == []
        (tmp_path / "tenants.toml").write_text(text.replace("SOCKET", "none/a.sock"))
        await trio.sleep(3)
    assert "not all tenants have their sockets: the socket of tenant alice: can't listen on" in caplog.text


async def test_without_the_table_there_are_no_leases(tmp_path: Path) -> None:
    text = f"[tenant.alice]\nimages = ['busybox']\nsocket = '{tmp_path}/alice.sock'"
    async with Chain(Simulator()).open() as sender, desk(sender, tmp_path, text) as operator:
        with pytest.raises(Denied, match=r"has no \[lease\]"):
            await lease(operator)
        with pytest.raises(NotFound, match="no such lease: alice"):
            await operator.rm("tenants", "alice")


async def test_a_tenants_own_socket_acts_for_it_alone(tmp_path: Path) -> None:
    socket = tmp_path / "alice.sock"
    text = f"[tenant.alice]\nimages = ['busybox']\nsocket = '{socket}'"
    async with Chain(Simulator()).open() as sender, desk(sender, tmp_path, text):
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
        async with docker(f"unix://{socket}") as alice:
            await alice.spawn(SLEEPS, name="web")
        assert [each["Names"] for each in await Client(sender).ls(all=True)] == [["/alice.web"]]


async def test_a_socket_that_can_not_be_had_is_told_at_once(tmp_path: Path) -> None:
    text = f"[tenant.alice]\nimages = ['busybox']\nsocket = '{tmp_path}/none/alice.sock'"
    (tmp_path / "tenants.toml").write_text(text)
    with pytest.raises(SwarmError, match="the socket of tenant alice: can't listen on"):
        async with Chain(Tenant(tmp_path / "tenants.toml"), Simulator()).open():
            pass
