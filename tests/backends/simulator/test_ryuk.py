"""Testcontainers' Ryuk on the simulator: it removes what its clients have named, once they have all gone."""

import errno
import re
import socket

import docker
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from swarmlib import Client, Internal, NotFound
from swarmlib_backends.served import Served
from swarmlib_backends.simulator import Run
from tests.backends.simulator.test_simulator import body as busybox
from tests.backends.simulator.test_simulator import ended, swarm
from tests.support.engines import free_port, wait_until
from tests.support.ryuk import ACK, IMAGE, Ryuk, ask, body, ryuk

SESSION = "org.testcontainers.session-id"
LINE = f"label={SESSION}=one\r\n".encode()


async def fill(client: Client) -> None:
    """One of each kind that is ours, and one that is not."""
    for name, session in (("ours", "one"), ("theirs", "two")):
        labels = {SESSION: session}
        await client.spawn({"Name": name, "Labels": labels}, "networks")
        await client.spawn({"Name": name, "Labels": labels}, "volumes")
        host = {"NetworkMode": name, "Binds": [f"{name}:/data"]}
        made = await client.spawn(busybox("sleep", "1000", Labels=labels, HostConfig=host), name=name)
        await made.start()
        await client.spawn({"Labels": labels}, "commit", container=name, repo=f"{name}-image")


async def left(client: Client) -> set[str]:
    names = {each["Names"][0].lstrip("/") for each in await client.ls(all=True)}
    for kind in ("networks", "volumes"):
        names |= {f"{each['Name']}-{kind}" for each in await client.ls(kind)}
    names |= {tag.partition(":")[0] for each in await client.ls("images") for tag in each["RepoTags"]}
    return {name for name in names if name.startswith(("ours", "theirs"))}


ALL = {f"{who}{kind}" for who in ("ours", "theirs") for kind in ("", "-networks", "-volumes", "-image")}
THEIRS = {name for name in ALL if name.startswith("theirs")}


async def gone(running: Ryuk, stream: trio.SocketStream, times: int = 1) -> None:
    """Close a connection, and wait until that is noticed."""
    await stream.aclose()
    await running.until_said("Client disconnected", times)
    await wait_all_tasks_blocked()


async def test_what_fits_is_removed_when_the_last_client_has_gone() -> None:
    async with ryuk() as running:
        await fill(running.client)
        first, second = await running.connect(), await running.connect()
        assert await ask(first, LINE) == ACK
        assert await ask(second, b"label=nobody%3Dhas+this&label=c\n") == ACK
        await gone(running, first)
        await running.clock.advance(1000)
        assert await left(running.client) == ALL, "a client is there yet"
        await gone(running, second, 2)
        await running.clock.advance(9)
        assert await left(running.client) == ALL, "one may come back for 10 seconds"
        await running.clock.advance(2)
        said = await running.until_said("Removed")
        assert said[-1] == "Removed 1 container(s), 1 network(s), 1 volume(s), 1 image(s)"
        assert 'Adding {"label":["nobody=has this","c"]}' in said
        assert await left(running.client) == THEIRS
        assert ((await running.state())["Status"], (await running.state())["ExitCode"]) == ("exited", 0)


async def test_a_client_that_comes_back_in_time_keeps_everything() -> None:
    async with ryuk("RYUK_RECONNECTION_TIMEOUT=1m30s") as running:
        await fill(running.client)
        first = await running.connect()
        assert await ask(first, LINE) == ACK
        await gone(running, first)
        await running.clock.advance(89)
        second = await running.connect()
        await running.until_said("New client connected", 2)
        await wait_all_tasks_blocked()
        await running.clock.advance(1000)
        assert await left(running.client) == ALL
        await gone(running, second, 2)
        await running.clock.advance(91)
        assert await left(running.client) == THEIRS, "what the first one named counts on"


@pytest.mark.parametrize(("env", "seconds"), [((), 60), (("RYUK_CONNECTION_TIMEOUT=5s",), 5)])
async def test_the_first_client_is_waited_for(env: tuple[str, ...], seconds: int) -> None:
    async with ryuk(*env) as running:
        await running.clock.advance(seconds - 1)
        assert (await running.state())["Running"]
        await running.clock.advance(2)
        assert await ended(running.client, "ryuk") == 0


@pytest.mark.parametrize("env", ["RYUK_CONNECTION_TIMEOUT=soon", "RYUK_RECONNECTION_TIMEOUT=10", "RYUK_PORT=http"])
async def test_what_is_no_setting_is_an_error(env: str) -> None:
    async with swarm(image=[IMAGE]) as client:
        made = await client.spawn(body(env), name="ryuk")
        await made.start()
        assert await ended(client, "ryuk") == 1


async def test_it_listens_at_the_port_that_it_is_told_only() -> None:
    async with swarm(image=[IMAGE]) as client:
        port = free_port()
        made = await client.spawn(body("RYUK_PORT=9000", port=str(port)), name="ryuk")
        await made.start()
        await wait_all_tasks_blocked()
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream("127.0.0.1", port)


async def test_a_program_that_is_given_for_the_image_is_what_runs() -> None:
    async def fake(run: Run) -> int:
        return 7

    async with swarm(image=[IMAGE], programs={"testcontainers/ryuk": fake}) as client:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            made = await client.spawn(body(port=str(taken.getsockname()[1])), name="ryuk")
            await made.start()
            assert await ended(client, "ryuk") == 7


async def test_asked_to_stop_it_cleans_up_first() -> None:
    async with ryuk(AutoRemove=True) as running:
        await fill(running.client)
        async with await running.connect() as stream:
            assert await ask(stream, LINE) == ACK
            await running.client.stop("ryuk")
            assert await stream.receive_some() == b""
        assert await left(running.client) == THEIRS
        with pytest.raises(NotFound):
            await running.state()


async def test_it_listens_where_the_inspection_says_and_only_for_this_machine() -> None:
    async with ryuk() as running:
        await running.client.spawn(body(port=str(free_port())), name="second")
        await running.client.start("second")
        ports = [int(each["HostPort"]) for each in await running.ports()]
        second = (await running.client.get("containers", "second"))["NetworkSettings"]["Ports"]["8080/tcp"]
        assert set(ports).isdisjoint(int(each["HostPort"]) for each in second)
        await (await running.connect()).aclose()
        await running.client.stop("containers", "second", "kill")
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream("127.0.0.1", int(second[0]["HostPort"]))
        for address in await other_addresses():
            with socket.socket() as probe:
                assert probe.connect_ex((address, ports[0])) == errno.ECONNREFUSED


async def other_addresses() -> list[str]:
    """This machine's addresses that others reach."""
    found = await trio.socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    return [str(each[4][0]) for each in found if not str(each[4][0]).startswith("127.")]


async def test_a_free_port_is_one_that_is_free_on_this_machine() -> None:
    async with ryuk() as first, ryuk() as second:
        ports = [(await each.ports())[0]["HostPort"] for each in (first, second)]
        assert ports[0] != ports[1]
        for each in (first, second):
            async with await each.connect() as stream:
                assert await ask(stream, LINE) == ACK


@pytest.mark.parametrize(
    ("ip", "problem"),
    [
        ("", "tcp4 0.0.0.0:{}: bind: address already in use"),
        ("127.0.0.1", "tcp4 127.0.0.1:{}: bind: address already in use"),
        ("192.0.2.1", "tcp4 192.0.2.1:{}: bind: cannot assign requested address"),
        ("2001:db8::1", r"tcp6 \[2001:db8::1\]:{}: bind: cannot assign requested address"),
    ],
)
async def test_a_port_that_cant_be_had_is_an_error_at_the_start(ip: str, problem: str) -> None:
    async with swarm(image=[IMAGE]) as client:
        port = free_port()
        with socket.create_server(("127.0.0.1", port)):
            made = await client.spawn(body(port=str(port), ip=ip), name="ryuk")
            why = f"Error starting userland proxy: listen {problem.format(port)}"
            with pytest.raises(Internal, match=rf"external connectivity on endpoint ryuk \(\w+\): {why}"):
                await made.start()
        if ip in ("", "127.0.0.1"):
            await made.start()
            await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()


async def test_it_listens_again_after_a_restart() -> None:
    async with ryuk(port="0") as running:
        before = await running.connect()
        await running.client.set("containers", "ryuk", "restart", t=0)
        await running.until_said("Started!", 2)
        assert await before.receive_some() == b""
        async with before, await running.connect() as stream:
            assert await ask(stream, LINE) == ACK


def test_a_client_of_docker_py_is_cleaned_up_after(swarm: Served) -> None:
    client = docker.from_env()
    options = {"environment": {"RYUK_RECONNECTION_TIMEOUT": "0.1s"}, "auto_remove": True, "detach": True}
    volumes = {"/var/run/docker.sock": {"bind": "/var/run/docker.sock", "mode": "rw"}}
    reaper = client.containers.run(IMAGE, ports={"8080/tcp": None}, volumes=volumes, **options)
    wait_until(lambda: re.search(r".* Started!", reaper.logs().decode()), "Ryuk's log")
    reaper.reload()
    box = client.containers.run("busybox", ["sleep", "1000"], labels={SESSION: "one"}, detach=True)
    with socket.create_connection(("localhost", int(reaper.ports["8080/tcp"][0]["HostPort"])), timeout=10) as stream:
        stream.sendall(LINE)
        assert stream.recv(16) == ACK
    for each in (box, reaper):
        wait_until(lambda each=each: not client.api.containers(all=True, filters={"id": each.id}), each.name)
    client.close()
