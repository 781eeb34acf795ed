"""simulator: a Docker engine in memory, by the verbs, on a clock that needs no waiting; and by the real docker CLI."""

import io
import tarfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from swarmlib import (
    BytesStream,
    Chain,
    Client,
    Conflict,
    Internal,
    Invalid,
    Json,
    NotFound,
    SwarmError,
    Unavailable,
    Unsupported,
    Verb,
    connect,
)
from swarmlib.client.multiplexed import lines as lines_of
from swarmlib_backends.dockerapi.rows import ROWS, Row
from swarmlib_backends.simulator import Clock, Run, Simulator
from tests.support.differential import tar_of
from tests.support.engines import docker, docker_process, swarmd

LONG = ["sleep", "1000"]
SECOND = 10**9


@asynccontextmanager
async def swarm(options: str = "", **fields: Any) -> AsyncGenerator[Client]:
    chain: str | Chain = Chain(Simulator(**fields)) if fields else f"simulator {options}"
    with trio.fail_after(1e6):
        async with connect(chain) as opened:
            yield opened


def body(*words: str, **more: Any) -> dict[str, Any]:
    return {"Image": "busybox", "Cmd": list(words), **more}


async def started(client: Client, name: str, *words: str, **more: Any) -> None:
    made = await client.spawn(body(*words, **more), name=name)
    await made.start()


async def ended(client: Client, name: str, condition: str = "") -> int:
    async with client.watch("containers", name, "wait", condition=condition) as states:
        async for state in states:
            return int(state["StatusCode"])
    raise AssertionError("the watch ended without the exit code")


async def run(client: Client, *words: str, name: str = "job", **more: Any) -> tuple[int, list[tuple[str, bytes]]]:
    """Run a container to its end; gives its exit code, and its lines with their streams."""
    await started(client, name, *words, **more)
    code = await ended(client, name)
    return code, await logs(client, name, tty=bool(more.get("Tty")))


async def logs(client: Client, name: str, *, tty: bool = False, **args: str) -> list[tuple[str, bytes]]:
    stream = await answer_stream(client, name, **{"stdout": "1", "stderr": "1", **args})
    async with stream:
        return [(line.stream, line.data) async for line in lines_of(stream, tty=tty)]


async def answer_stream(client: Client, name: str, **args: str) -> trio.abc.ReceiveStream:
    stream = (await client.call(Verb.CONNECT, ("containers", name, "logs"), params=args)).ack.stream
    assert stream is not None
    return stream


async def state(client: Client, name: str) -> dict[str, Any]:
    return dict((await client.get("containers", name))["State"])


async def actions(client: Client, **args: str) -> list[str]:
    """What has happened so far."""
    async with client.watch(since="0", until=str(2**31), **args) as events:
        found: list[str] = []
        with trio.move_on_after(0.001):
            async for event in events:
                found.append(f"{event['Type']} {event['Action']}")
        return found


# What runs.


@pytest.mark.parametrize(
    ("script", "code", "out"),
    [
        ("echo one; echo two", 0, b"one\ntwo"),
        ("false && echo no; true && echo yes", 0, b"yes"),
        ("false || echo else", 0, b"else"),
        ("exit 7; echo no", 7, b""),
        ("! false", 0, b""),
        ("nosuch", 127, b""),
        ("nosuch || echo $?", 0, b"127"),
        ("A='a b'; echo \"$A\" $A '$A' ${A}c", 0, b"a b a b $A a bc"),
        ("A=1 env", 0, b"A=1"),
        ("if test -f /etc/hosts; then echo there; else echo not; fi", 0, b"there"),
        ("if false; then echo a; elif true; then echo b; fi", 0, b"b"),
        ("echo data > /tmp/f; echo more >> /tmp/f; cat /tmp/f", 0, b"data\nmore"),
        ("cat < /tmp/nosuch; [ a = a ] && [ ! -e /x ] && echo ok", 0, b"ok"),
        ("echo hidden > /dev/null; printf '%s-%s\\n' a b", 0, b"a-b"),
        ("until test -f /x; do touch /x; echo once; done", 0, b"once"),
        ("sleep 50 & echo first; wait; echo last", 0, b"first\nlast"),
        ("exec echo replaced; echo no", 0, b"replaced"),
        ("mkdir -p /a/b; touch /a/b/c; ls /a/b; rm -r /a; ls /a || echo gone", 0, b"c\ngone"),
        ("sh -c 'exit 4'; echo $?", 0, b"4"),
        ("echo # a comment", 0, b""),
        ("echo 'unfinished", 2, b""),
        ("echo a | cat", 0, b"a"),
        ('echo $(echo a; echo b) "$(echo c; echo d)" `echo e`', 0, b"a b c\nd e"),
        ("for i in 1 $(seq 2 3); do echo $i; done | tail -n 2 | head -n 1", 0, b"2"),
        ("yes | head -n 1; echo $?", 0, b"y\n0"),
        ("false | true && ! true | false && echo ended", 0, b"ended"),
        ("X=1; (X=2; echo $X); { X=3; }; echo $X", 0, b"2\n3"),
        ("echo x >> /counter; echo x >> /counter; test `cat /counter | wc -l` -ge 2 && echo so", 0, b"so"),
        ("test 3 -lt 2 || test 2 -ne 2 || test a -eq 1; echo $?", 0, b"2"),
        ("printf 'b 1\\na 2\\nb 1\\n' | sort | uniq -c | grep -v a | tr -s ' ' | cut -d ' ' -f 2,3", 0, b"2 b"),
        ("echo text | tee /copy | tr a-z A-Z; wc -c < /copy", 0, b"TEXT\n5"),
        ("env | grep -i ^proxy; echo $?", 0, b"1"),
        ("exit 3 | exit 4", 4, b""),
        ("printf 'ab\\nabc\\n' | grep -nw 'AB' || printf 'ab\\nabc\\n' | grep -inx 'A.'", 0, b"1:ab"),
        ("echo a | grep '('", 2, b""),
        ("echo $((1 + 1))", 2, b""),
        ("echo a | ; true", 2, b""),
        ("echo $(echo", 2, b""),
        ("for 1 in a; do true; done", 2, b""),
        ("mkdir /does/not/exist", 1, b""),
        ("mkdir -p /dir/inner; touch /dir/file; ls -p /dir", 0, b"file\ninner/"),
        ("while true; do", 2, b""),
        ("echo >&7", 2, b""),
        ("printf '%z'", 1, b""),
    ],
)
async def test_the_shell(script: str, code: int, out: bytes, autojump_clock: MockClock) -> None:
    async with swarm() as client:
        found, lines = await run(client, "sh", "-c", script)
        shown = b"\n".join(line for stream, line in lines if stream == "stdout")
        assert (found, shown.removesuffix(b"\n")) == (code, out) or out in shown.split(b"\n")
        if code == 2 and "grep" not in script:
            assert any(b"syntax error" in line for stream, line in lines if stream == "stderr")


async def test_the_first_process_ignores_what_it_has_no_handler_for(autojump_clock: MockClock) -> None:
    async with swarm() as client:
        for name, words, more, code in (
            ("deaf", LONG, {}, 137),
            ("init", LONG, {"HostConfig": {"Init": True}}, 143),
            ("trap", ["sh", "-c", "trap 'echo bye; exit 5' TERM; sleep 1000 & wait"], {}, 5),
            ("loop", ["sh", "-c", "trap 'exit 6' TERM; while :; do sleep 1; done"], {}, 6),
            ("stubborn", ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], {}, 137),
        ):
            await started(client, name, *words, **more)
            await wait_all_tasks_blocked()
            before = trio.current_time()
            await client.stop("containers", name, t="20")
            assert (await state(client, name))["ExitCode"] == code
            assert (trio.current_time() - before >= 20) is (code == 137)


async def test_programs_of_the_users_own() -> None:
    async def greet(run: Run) -> int:
        name = b"".join([bytes(piece) async for piece in run.stdin]).decode()
        await run.stdout.send_all(f"hello {name} {run.env['LANG']} {run.args[1:]}\n".encode())
        return 3

    async with swarm(programs={"greet": greet, "web": greet}, image=["web:1"]) as client:
        assert (await run(client, "greet", "you", Env=["LANG=C"]))[1] == [("stdout", b"hello  C ['you']")]
        made = await client.spawn({"Image": "web:1", "Env": ["LANG=C"]}, name="web")
        await made.start()
        assert await ended(client, "web") == 3


async def test_a_program_that_fails_ends_and_says_why_in_its_output() -> None:
    async def broken(run: Run) -> int:
        raise ValueError("a mistake")

    async with swarm(programs={"broken": broken}) as client:
        code, lines = await run(client, "broken")
        assert (code, lines[-1]) == (1, ("stderr", b"ValueError: a mistake"))
        assert (await run(client, "sh", "-c", "broken & wait; echo $?", name="beside"))[0] == 0


async def test_one_that_uses_more_memory_than_it_may_is_killed(autojump_clock: MockClock) -> None:
    async def hungry(run: Run) -> int:
        for megabytes in range(1000):
            run.use(memory=megabytes << 20, cpus=0.5)
            await run.sleep(1)
        return 0

    async with swarm(programs={"hungry": hungry}, cpus=2) as client:
        await started(client, "box", "hungry", HostConfig={"Memory": 64 << 20})
        await trio.sleep(10.5)
        async with client.watch("containers", "box", "stats", stream="0") as all_stats:
            stats = await anext(all_stats)
        used = stats["cpu_stats"]["cpu_usage"]["total_usage"] - stats["precpu_stats"]["cpu_usage"]["total_usage"]
        machine = stats["cpu_stats"]["system_cpu_usage"] - stats["precpu_stats"]["system_cpu_usage"]
        assert used / machine * 2 == pytest.approx(0.5)
        assert 10 << 20 <= stats["memory_stats"]["usage"] <= 12 << 20
        assert stats["memory_stats"]["limit"] == 64 << 20
        assert await ended(client, "box") == 137
        assert (await state(client, "box"))["OOMKilled"]
        assert "container oom" in await actions(client)


# Time.


async def test_health_goes_from_starting_to_healthy_and_unhealthy(autojump_clock: MockClock) -> None:
    async with swarm() as client:
        check = {"Test": ["CMD-SHELL", "test -f /ok || exit 1"], "Interval": 5 * SECOND, "Retries": 3}
        await started(client, "web", *LONG, Healthcheck=check)
        await started(client, "touch", "true")

        async def healthy() -> tuple[str, int, str]:
            health = (await state(client, "web"))["Health"]
            listed = next(each["Status"] for each in await client.ls() if each["Names"] == ["/web"])
            return health["Status"], health["FailingStreak"], listed.partition("(")[2]

        assert await healthy() == ("starting", 0, "health: starting)")
        await trio.sleep(11)
        assert await healthy() == ("starting", 2, "health: starting)")
        await trio.sleep(5)
        assert await healthy() == ("unhealthy", 3, "unhealthy)")
        await upload(client, "web", "/", "ok", b"")
        await trio.sleep(5)
        assert await healthy() == ("healthy", 0, "healthy)")
        told = await actions(client, filters='{"event": ["health_status"]}')
        assert told == ["container health_status: unhealthy", "container health_status: healthy"]
        assert len((await state(client, "web"))["Health"]["Log"]) == 4


async def test_a_probe_that_takes_too_long_fails(autojump_clock: MockClock) -> None:
    async with swarm() as client:
        check = {"Test": ["CMD", "sleep", "60"], "Interval": SECOND, "Timeout": 2 * SECOND, "Retries": 1}
        await started(client, "web", *LONG, Healthcheck=check)
        await trio.sleep(3.5)
        health = (await state(client, "web"))["Health"]
        assert health["Status"] == "unhealthy"
        assert health["Log"][0]["Output"] == "Health check exceeded timeout (2s)"


async def test_restart_policies_and_their_growing_pauses(autojump_clock: MockClock) -> None:
    async with swarm() as client:
        for name, policy, words in (
            ("failing", {"Name": "on-failure", "MaximumRetryCount": 2}, ["false"]),
            ("fine", {"Name": "on-failure"}, ["true"]),
            ("always", {"Name": "always"}, ["true"]),
        ):
            await started(client, name, *words, HostConfig={"RestartPolicy": policy})
        await trio.sleep(1000)
        assert (await client.get("containers", "failing"))["RestartCount"] == 2
        assert (await state(client, "failing"))["Status"] == "exited"
        assert (await client.get("containers", "fine"))["RestartCount"] == 0
        assert 20 < (await client.get("containers", "always"))["RestartCount"] < 30  # 0.1, 0.2, … up to 60 s
        assert (await state(client, "always"))["Status"] == "restarting"
        await client.stop("containers", "always")
        assert (await state(client, "always"))["Status"] == "exited"
        await trio.sleep(1000)
        assert (await state(client, "always"))["Status"] == "exited"
        await client.start("containers", "always")  # which counts anew, with the shortest pause
        await trio.sleep(0.2)
        assert (await client.get("containers", "always"))["RestartCount"] == 2  # at once, and after 0.1 s


async def test_the_clock_can_be_moved_ahead() -> None:
    clock = Clock(start=1_000_000_000)
    async with swarm(clock=clock) as client:
        await started(client, "box", "sh", "-c", "while :; do sleep 60; echo tick; done")
        await wait_all_tasks_blocked()
        await clock.advance(3600.5)
        assert len(await logs(client, "box")) == 60
        assert [each["Status"] for each in await client.ls()] == ["Up About an hour"]
        stamped = await logs(client, "box", timestamps="1", tail="1")
        assert stamped[0][1].startswith(b"2001-09-09T02:46:40.")
        assert len(await logs(client, "box", since=str(1_000_003_000))) == 11


async def test_events_of_the_past_and_until_a_moment_to_come(autojump_clock: MockClock) -> None:
    async with swarm() as client:
        await run(client, "true")
        await client.rm("containers", "job")
        expected = ["create", "start", "die", "destroy"]
        assert await actions(client, filters='{"type": ["container"]}') == [f"container {each}" for each in expected]
        now = (await client.get())["SystemTime"]
        assert now
        async with trio.open_nursery() as nursery:
            found: list[str] = []

            async def watch() -> None:
                async with client.watch(filters='{"container": ["la"], "event": ["start"]}') as events:
                    async for event in events:
                        found.append(event["Actor"]["Attributes"]["name"])

            nursery.start_soon(watch)
            await wait_all_tasks_blocked()
            for name in ("early", "late"):
                await started(client, name, "true")
            await wait_all_tasks_blocked()
            assert found == ["late"]
            nursery.cancel_scope.cancel()


# States.


async def test_a_paused_container_goes_nowhere(autojump_clock: MockClock) -> None:
    async with swarm() as client:
        await started(client, "box", "sh", "-c", "sleep 10; echo woken")
        await client.set("containers", "box", "pause")
        await trio.sleep(100)
        assert (await state(client, "box"))["Status"] == "paused"
        assert await logs(client, "box") == []
        await client.set("containers", "box", "unpause")
        assert await ended(client, "box") == 0
        assert await logs(client, "box") == [("stdout", b"woken")]


async def test_waiting_for_the_next_exit_and_for_the_removal(autojump_clock: MockClock) -> None:
    async with swarm() as client:
        await client.spawn(body("sh", "-c", "sleep 5; exit 4", HostConfig={"AutoRemove": True}), name="job")
        codes: dict[str, int] = {}

        async def wait(condition: str) -> None:
            codes[condition] = await ended(client, "job", condition)

        async with trio.open_nursery() as nursery:
            for condition in ("next-exit", "removed"):
                nursery.start_soon(wait, condition)
            await wait_all_tasks_blocked()
            await client.start("containers", "job")
        assert codes == {"next-exit": 4, "removed": 4}
        with pytest.raises(NotFound, match="No such container: job"):
            await client.get("containers", "job")


async def test_the_engines_resources_and_ports_are_finite() -> None:
    async with swarm("--cpus 8 --memory 1g --hostname big --label region=eu --label tier=1") as client:
        info = await client.get()
        assert (info["NCPU"], info["MemTotal"], info["Name"], info["Labels"]) == (
            8,
            1 << 30,
            "big",
            ["region=eu", "tier=1"],
        )
        with pytest.raises(Invalid, match=r"Range of CPUs is from 0.01 to 8.00, as there are only 8 CPUs available"):
            await client.spawn(body("true", HostConfig={"NanoCpus": 9 * SECOND}))
        published = {"ExposedPorts": {"80/tcp": {}}, "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}}
        await started(client, "first", *LONG, **published)
        assert (await client.ls())[0]["Ports"][0] == {
            "IP": "0.0.0.0",
            "PrivatePort": 80,
            "PublicPort": 8080,
            "Type": "tcp",
        }
        second = await client.spawn(body(*LONG, **published), name="second")
        with pytest.raises(Internal, match=r"Bind for 0.0.0.0:8080 failed: port is already allocated"):
            await second.start()
        await client.stop("containers", "first", "kill")
        await second.start()


async def test_addresses_are_given_and_taken_back() -> None:
    async with swarm() as client:

        async def address(name: str, network: str = "bridge") -> str:
            return str((await client.get("containers", name))["NetworkSettings"]["Networks"][network]["IPAddress"])

        for name in ("aa", "bb"):
            await started(client, name, *LONG)
        assert [await address("aa"), await address("bb")] == ["172.17.0.2", "172.17.0.3"]
        await client.stop("containers", "aa", "kill")
        await started(client, "cc", *LONG)
        assert [await address("aa"), await address("cc")] == ["", "172.17.0.2"]
        await client.spawn({"Name": "net", "IPAM": {"Config": [{"Subnet": "10.0.0.0/29"}]}}, "networks")
        wish = {"IPAMConfig": {"IPv4Address": "10.0.0.5"}, "Aliases": ["db"]}
        await client.set("networks", "net", "connect", body={"Container": "cc", "EndpointConfig": wish})
        assert await address("cc", "net") == "10.0.0.5"
        shown = await client.get("networks", "net")
        assert [each["Name"] for each in shown["Containers"].values()] == ["cc"]
        for number in range(4):
            await started(client, f"box{number}", *LONG, HostConfig={"NetworkMode": "net"})
        full = await client.spawn(body(*LONG, HostConfig={"NetworkMode": "net"}))
        with pytest.raises(Exception, match="no available IPv4 addresses"):
            await full.start()


# Streams.


async def test_stdin_is_half_closed_and_every_byte_comes_back() -> None:
    data = bytes(range(256)) * 4096
    async with swarm() as client:
        await client.spawn(body("cat", OpenStdin=True, StdinOnce=True), name="cat")
        stream = await client.connect("containers", "cat", stream="1", stdin="1", stdout="1")
        async with stream, trio.open_nursery() as nursery:
            await client.start("containers", "cat")

            async def feed() -> None:
                await stream.send_all(data)
                await stream.send_eof()

            nursery.start_soon(feed)
            received = b"".join([bytes(piece) async for piece in stream])
        assert b"".join([piece async for piece in unframed(received)]) == data
        assert await ended(client, "cat") == 0


async def unframed(data: bytes) -> AsyncGenerator[bytes]:
    while data:
        length = int.from_bytes(data[4:8], "big")
        yield data[8 : 8 + length]
        data = data[8 + length :]


async def test_one_that_nobody_reads_is_held_back_and_ends_with_the_chain() -> None:
    async with swarm() as client:
        await client.spawn(body("yes"), name="loud")
        stream = await client.connect("containers", "loud", stream="1", stdout="1")
        async with stream:
            await client.start("containers", "loud")
            await wait_all_tasks_blocked()
            assert len(bytes(await stream.receive_some())) > 1000


async def test_logs_by_line_stream_tail_and_time_and_followed_to_the_end(autojump_clock: MockClock) -> None:
    async with swarm() as client:
        await started(
            client, "box", "sh", "-c", "echo one; echo two >&2; printf thr; sleep 5; echo ee; sleep 5; exit 1"
        )
        await wait_all_tasks_blocked()
        assert await logs(client, "box", stderr="0") == [("stdout", b"one")]
        assert await logs(client, "box", tail="1") == [("stderr", b"two")]
        followed = await logs(client, "box", follow="1")
        assert followed == [("stdout", b"one"), ("stderr", b"two"), ("stdout", b"three")]
        assert (await state(client, "box"))["ExitCode"] == 1
        assert (await run(client, "echo", "hi", name="tty", Tty=True))[1] == [("stdout", b"hi")]
        stream = await answer_stream(client, "tty", stdout="1")
        async with stream:
            assert b"".join([bytes(piece) async for piece in stream]) == b"hi\r\n"


async def test_attach_gives_lines_and_the_state_at_the_end() -> None:
    async with swarm() as client:
        made = await client.spawn(body("sh", "-c", "echo one; printf two; exit 7"), name="job")
        async with client.attach("containers", "job") as attached:
            await made.start()
            messages = [message async for message in attached]
        assert [m.line for m in messages[:-1]] == [b"one", b"two"]
        assert messages[-1].json["ExitCode"] == 7


async def upload(client: Client, container: str, path: str, name: str, data: bytes) -> None:
    await client.file("containers", container, "archive", upload=BytesStream(tar_of(name, data)), path=path)


async def read_tar(stream: trio.abc.ReceiveStream | None) -> dict[str, bytes]:
    assert stream is not None
    async with stream:
        data = b"".join([bytes(piece) async for piece in stream])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {each.name: (archive.extractfile(each) or io.BytesIO()).read() for each in archive if each.isfile()}


async def test_files_go_in_and_out_and_are_kept_in_an_image_that_is_saved_and_loaded() -> None:
    async with swarm() as client, swarm() as other:
        await client.spawn(body("cat", "/tmp/file"), name="box")
        await upload(client, "box", "/tmp", "../../file", b"data")  # what leads out of the place stays in it
        assert await read_tar(await client.file("containers", "box", "archive", path="/tmp/file")) == {"file": b"data"}
        assert await client.get("containers", "box", "changes") == [
            {"Path": "/tmp", "Kind": 0},
            {"Path": "/tmp/file", "Kind": 1},
        ]
        assert (await read_tar(await client.file("containers", "box", "export")))["tmp/file"] == b"data"
        await client.spawn({"Cmd": ["cat", "/tmp/file"]}, "commit", container="box", repo="kept", tag="1")
        saved = await client.file("images", "kept:1")
        assert saved is not None
        await other.file("images", upload=saved)
        made = await other.spawn({"Image": "kept:1"}, name="again")
        await made.start()
        assert await ended(other, "again") == 0
        assert await logs(other, "again") == [("stdout", b"data")]


async def test_what_is_no_tar_is_refused() -> None:
    async with swarm() as client:
        await client.spawn(body("true"), name="box")
        with pytest.raises(Internal, match="Error processing tar file"):
            await client.file("containers", "box", "archive", upload=BytesStream(b"this is no tar"), path="/tmp")


async def test_a_mac_address_that_was_asked_for_is_the_endpoints(autojump_clock: MockClock) -> None:
    async with swarm() as client:
        await started(client, "box", *LONG, MacAddress="02:42:ac:11:00:99")
        shown = await client.get("containers", "box")
        assert shown["NetworkSettings"]["MacAddress"] == "02:42:ac:11:00:99"
        assert shown["NetworkSettings"]["Networks"]["bridge"]["MacAddress"] == "02:42:ac:11:00:99"


async def test_log_drivers_are_an_engines(autojump_clock: MockClock) -> None:
    async with swarm() as client:
        with pytest.raises(SwarmError, match="error looking up logging plugin nosuch"):
            await client.spawn(body("true", HostConfig={"LogConfig": {"Type": "nosuch"}}))
        with pytest.raises(SwarmError, match="unknown log opt 'nosuch' for json-file"):
            await client.spawn(body("true", HostConfig={"LogConfig": {"Config": {"nosuch": "1"}}}))
        await started(client, "box", *LONG, HostConfig={"LogConfig": {"Type": "none"}})
        with pytest.raises(SwarmError, match="does not support reading"):
            await client.connect("containers", "box", "logs", stdout="1")


@pytest.mark.parametrize("tty", [True, False])
async def test_an_exec_is_framed_as_its_start_says(autojump_clock: MockClock, tty: bool) -> None:
    async with swarm() as client:
        await started(client, "box", *LONG)
        body = {"Cmd": ["echo", "hi"], "AttachStdout": True, "Tty": True}
        made = await client.spawn(body, "containers", "box", "exec")
        async with await client.connect("exec", made.id, body=Json.from_data({"Tty": tty})) as stream:
            received = b"".join([bytes(piece) async for piece in stream])
        assert received == (b"hi\r\n" if tty else b"\x01\0\0\0\0\0\0\x04hi\r\n")


async def test_an_exec_runs_beside_and_ends_with_its_container(autojump_clock: MockClock) -> None:
    async with swarm() as client:
        await started(client, "box", *LONG, Env=["A=1"])
        made = await client.spawn(
            {"Cmd": ["sh", "-c", "echo $A $B; exit 3"], "AttachStdout": True, "Env": ["B=2"]},
            "containers",
            "box",
            "exec",
        )
        stream = await client.connect("exec", made.id, body={})
        async with stream:
            assert [(line.stream, line.data) async for line in lines_of(stream, tty=False)] == [("stdout", b"1 2")]
        assert (await client.get("exec", made.id))["ExitCode"] == 3
        long = await client.spawn({"Cmd": LONG}, "containers", "box", "exec")
        await client.call(Verb.CONNECT, ("exec", long.id), body=Json.from_data({"Detach": True}))
        assert len((await client.get("containers", "box", "top"))["Processes"]) == 2
        await client.stop("containers", "box", "kill")
        await wait_all_tasks_blocked()
        assert (await client.get("exec", long.id))["ExitCode"] == 137
        with pytest.raises(Conflict, match="is not running"):
            await client.spawn({"Cmd": ["true"]}, "containers", "box", "exec")


# Images, and what is not there.


async def test_a_pull_tells_its_progress_and_fails_offline() -> None:
    async with swarm() as client:
        answer = await client.call(Verb.SPAWN, ("images",), params={"fromImage": "alpine", "tag": "3"})
        assert answer.before[-1].json == {"status": "Status: Downloaded newer image for alpine:3"}
        again = await client.call(Verb.SPAWN, ("images",), params={"fromImage": "docker.io/library/alpine:3"})
        assert again.before[-1].json == {"status": "Status: Image is up to date for alpine:3"}
        with pytest.raises(Invalid, match="repository name must be lowercase"):
            await client.call(Verb.SPAWN, ("images",), params={"fromImage": "Alpine"})
        with pytest.raises(Unsupported, match="not of linux/arm64"):
            await client.call(Verb.SPAWN, ("images",), params={"fromImage": "alpine", "platform": "linux/arm64"})
    async with swarm("--offline --image web:2") as client:
        with pytest.raises(Internal, match="no such host"):
            await client.call(Verb.SPAWN, ("images",), params={"fromImage": "alpine"})
        assert [each["RepoTags"] for each in await client.ls("images")] == [["web:2"], ["busybox:latest"]]


async def test_what_it_has_not_is_said_to_be_missing() -> None:
    async with swarm() as client:
        with pytest.raises(Unavailable, match="This node is not a swarm manager"):
            await client.ls("services")
        with pytest.raises(Unsupported, match="the simulator has no BuildKit"):
            await client.call(Verb.SPAWN, ("build",), params={"version": "2"}, upload=BytesStream(b""))
        assert await client.ls("plugins") == []


@pytest.mark.parametrize("row", [row for row in ROWS if not row.upload], ids=lambda row: row.name)
async def test_every_row_of_the_table_is_answered_also_when_it_is_asked_for_nothing(
    row: Row, autojump_clock: MockClock
) -> None:
    """With an object that isn't there, and with one that is; no row of the families that it has is a bug or hangs."""
    async with swarm() as client:
        await started(client, "thing", *LONG)
        await client.spawn({"Name": "thing"}, "networks")
        await client.spawn({"Name": "thing"}, "volumes")
        for name in ("nosuch", "thing"):
            with trio.fail_after(30):
                await asked_for_nothing(client, row, name)


async def asked_for_nothing(client: Client, row: Row, name: str) -> None:
    try:
        answer = await client.call(row.verb, row.path(name))
    except SwarmError as exc:
        if not str(exc) or (exc.code == "internal" and "status" not in exc.details):
            raise
    else:
        if answer.ack.stream is not None:
            await answer.ack.stream.aclose()


@pytest.mark.parametrize("value", [5, "x", True, ["x"], {"x": 1}])
@pytest.mark.parametrize("field", ["Image", "Cmd", "Env", "Labels", "Tty", "HostConfig", "Volumes", "Entrypoint"])
async def test_a_field_of_another_kind_is_refused_by_its_name(field: str, value: Any) -> None:
    async with swarm() as client:
        try:
            await client.spawn(body("true") | {field: value})
        except Invalid as exc:
            problem = exc.message
        except NotFound:
            return  # such an image there may be
        else:
            return  # it is of the right kind
        assert problem.startswith((f"{field} must be ", f"{field}[0] must be ", f"{field}.x must be "))


# A cluster of any size.


async def test_seeded_containers_run_and_have_the_same_names_each_time() -> None:
    lists: list[list[Any]] = []
    for _ in range(2):
        async with swarm("--containers 100 --seed 7") as client:
            lists.append([(each["Id"], each["Names"]) for each in await client.ls()])
            assert {each["State"] for each in await client.ls()} == {"running"}
            await client.rm("containers", lists[-1][0][0], force="1")
            assert len(await client.ls()) == 99
    assert lists[0] == lists[1]
    assert len({id for id, _ in lists[0]}) == len({name[0] for _, name in lists[0]}) == 100


@pytest.mark.parametrize(
    ("options", "problem"),
    [("--cpus 0", "--cpus must be 1 or more, not 0"), ("--memory much", "expected a number with a unit")],
)
def test_options_that_make_no_sense_are_refused(options: str, problem: str) -> None:
    with pytest.raises(Exception, match=problem):
        Chain.read(f"simulator {options}")


# The real docker CLI.


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with swarmd("simulator --cpus 8") as running:
        yield running.host


def out(host: str, *args: str) -> str:
    return docker(host, *args, check=True).stdout.decode().strip()


@pytest.mark.engine
def test_the_cli_from_run_to_rm(host: str) -> None:
    assert out(host, "run", "--rm", "busybox", "echo", "hello") == "hello"
    assert docker(host, "run", "--rm", "busybox", "sh", "-c", "exit 7").returncode == 7
    missing = docker(host, "run", "--rm", "busybox", "nosuchprogram")
    assert (missing.returncode, b"executable file not found in $PATH" in missing.stderr) == (127, True)
    assert docker(host, "run", "--rm", "-i", "busybox", "cat", input=b"in").stdout == b"in"
    out(host, "run", "-d", "--name", "box", "-p", "8080:80", "busybox", *LONG)
    assert (
        out(host, "ps", "--format", "{{.Names}} {{.Image}} {{.Ports}}")
        == "box busybox 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
    )
    assert docker(host, "exec", "box", "sh", "-c", "echo in; exit 3").returncode == 3
    assert out(host, "inspect", "box", "--format", "{{.State.Status}}") == "running"
    assert "sleep 1000" in out(host, "top", "box")
    assert "box" in out(host, "stats", "--no-stream")
    out(host, "cp", __file__, "box:/tmp/copied")
    assert out(host, "exec", "box", "ls", "/tmp") == "copied"
    assert out(host, "diff", "box") == "C /tmp\nA /tmp/copied"
    out(host, "kill", "box")
    assert out(host, "wait", "box") == "137"
    assert "box" in docker(host, "start", "box", check=True).stdout.decode()
    assert docker(host, "rm", "box").returncode == 1
    out(host, "rm", "-f", "box")


@pytest.mark.engine
def test_the_cli_follows_logs_and_events(host: str) -> None:
    with docker_process(
        host, "events", "--since", "1", "--filter", "container=loop", "--format", "{{.Action}}"
    ) as events:
        assert events.stdout is not None
        out(host, "run", "-d", "--name", "loop", "busybox", "sh", "-c", "while :; do echo tick; sleep 0.01; done")
        with docker_process(host, "logs", "-f", "loop") as followed:
            assert followed.stdout is not None
            assert [followed.stdout.readline() for _ in range(5)] == [b"tick\n"] * 5
        out(host, "rm", "-f", "loop")
        assert [events.stdout.readline().strip() for _ in range(5)] == [
            b"create",
            b"start",
            b"kill",
            b"die",
            b"destroy",
        ]


@pytest.mark.engine
def test_the_cli_on_networks_volumes_images_and_the_system(host: str) -> None:
    out(host, "network", "create", "net")
    out(host, "volume", "create", "vol")
    out(host, "run", "-d", "--name", "user", "--network", "net", "-v", "vol:/data", "busybox", *LONG)
    assert b"has active endpoints" in docker(host, "network", "rm", "net").stderr
    assert b"volume is in use" in docker(host, "volume", "rm", "vol").stderr
    assert "net" in out(host, "network", "ls")
    out(host, "rm", "-f", "user")
    out(host, "network", "rm", "net")
    out(host, "volume", "rm", "vol")
    assert "Downloaded newer image" in out(host, "pull", "alpine:3")
    assert out(host, "images", "-q", "alpine") != ""
    out(host, "tag", "alpine:3", "mine:1")
    assert "Untagged: mine:1" in out(host, "rmi", "mine:1")
    assert "CPUs: 8" in out(host, "info")
    assert "Images" in out(host, "system", "df")
    assert out(host, "version", "--format", "{{.Server.APIVersion}}") == "1.41"
    assert b"not a swarm manager" in docker(host, "service", "ls").stderr
