"""exec: local processes as workloads, by the verbs."""

import os
import signal
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from swarmlib import Client, Conflict, Internal, Invalid, Log, NotFound, Set, Unsupported, Verb, connect
from swarmlib_backends.exec.process_container import ProcessContainer


@asynccontextmanager
async def swarm() -> AsyncGenerator[Client]:
    with trio.fail_after(20):
        async with connect("exec") as opened:
            yield opened


def body(*words: str, **more: Any) -> dict[str, Any]:
    return {"Image": "any", "Cmd": list(words), **more}


async def ended(client: Client, name: str) -> int:
    """Wait for the end of a workload that runs, or has run; gives its exit code."""
    async with client.watch("containers", name, "wait") as states:
        async for state in states:
            return int(state["StatusCode"])
    raise AssertionError("the watch ended without the exit code")


async def run(client: Client, *words: str, name: str = "job", **more: Any) -> tuple[int, list[bytes]]:
    """Run a workload to its end; gives its exit code and its lines."""
    made = await client.spawn(body(*words, **more), name=name)
    async with client.attach("containers", made.id) as attached:
        await made.start()
        messages = [message async for message in attached]
    assert isinstance(messages[-1], Set)
    lines = [each.line for each in messages if isinstance(each, Log)]
    return messages[-1].json["ExitCode"], lines


async def test_a_workload_runs_to_its_end_and_gives_its_lines_and_exit_code() -> None:
    async with swarm() as client:
        assert await run(client, "sh", "-c", "echo one; printf two; exit 7") == (7, [b"one", b"two"])


async def test_what_is_listed_depends_on_all_and_on_filters() -> None:
    async with swarm() as client:
        await run(client, "true", name="done")
        up = await client.spawn(body("sleep", "1000", Labels={"tier": "web"}), name="up")
        await up.start()

        async def names(**args: str) -> list[str]:
            return [each["Names"][0] for each in await client.ls(**args)]

        assert await names() == ["/up"]
        assert await names(all="1") == ["/up", "/done"]
        assert await names(limit="1") == ["/up"]
        assert await names(filters='{"status": ["exited"]}') == ["/done"]
        assert await names(filters='{"label": {"tier=web": true}}') == ["/up"]
        assert await names(all="1", filters='{"name": ["don"]}') == ["/done"]
        with pytest.raises(Unsupported, match="volume"):
            await client.ls(filters='{"volume": ["x"]}')
        with pytest.raises(Invalid, match="filters"):
            await client.ls(filters="[")


async def test_a_workload_is_found_by_id_prefix_and_name() -> None:
    async with swarm() as client:
        made = await client.spawn(body("true"), name="web")
        for ref in (made.id, made.id[:12], "web"):
            assert (await client.get("containers", ref))["Id"] == made.id
        with pytest.raises(NotFound, match="No such container: nosuch"):
            await client.get("containers", "nosuch")
        while len({(await client.spawn(body("true"))).id[0] for _ in range(3)}) == 3:
            pass
        firsts = [each["Id"][0] for each in await client.ls(all="1")]
        shared = next(first for first in firsts if firsts.count(first) > 1)
        with pytest.raises(Internal, match=f"Multiple IDs found with provided prefix: {shared}"):
            await client.get("containers", shared)


async def test_a_name_is_taken_once_and_has_a_form() -> None:
    async with swarm() as client:
        await client.spawn(body("true"), name="web")
        with pytest.raises(Conflict, match="already in use"):
            await client.spawn(body("true"), name="web")
        with pytest.raises(Invalid, match="Invalid container name"):
            await client.spawn(body("true"), name="a b")


async def test_what_a_process_cannot_have_is_refused_by_its_name() -> None:
    async with swarm() as client:
        with pytest.raises(Unsupported, match=r"HostConfig\.Memory"):
            await client.spawn(body("true", HostConfig={"Memory": 1 << 20}))
        with pytest.raises(Unsupported, match="Healthcheck"):
            await client.spawn(body("true", Healthcheck={"Test": ["CMD", "true"]}))
        with pytest.raises(Invalid, match="No command"):
            await client.spawn({"Image": "any"})
        with pytest.raises(Invalid, match="the body must be an object, not an array"):
            await client.spawn([1])


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"Cmd": ["nosuchprogram"]}, "executable file not found"),
        ({"Cmd": ["true"], "WorkingDir": "/nosuchfolder"}, "working directory"),
        ({"Cmd": ["true"], "User": "nosuchuser"}, "unable to find user nosuchuser"),
        ({"Cmd": ["/etc/passwd"]}, "permission denied"),
    ],
)
async def test_a_workload_that_cannot_start_says_why_and_stays(more: dict[str, Any], problem: str) -> None:
    async with swarm() as client:
        made = await client.spawn({"Image": "any"} | more)
        with pytest.raises(Invalid, match=problem):
            await made.start()
        state = (await made.get())["State"]
        assert (state["Status"], state["ExitCode"]) == ("created", 127)


async def test_one_that_removes_itself_is_gone_also_when_it_could_not_start() -> None:
    async with swarm() as client:
        made = await client.spawn(body("nosuchprogram", HostConfig={"AutoRemove": True}))
        with pytest.raises(Invalid):
            await made.start()
        assert await client.ls(all="1") == []


async def test_its_environment_folder_and_user_are_what_was_asked() -> None:
    user, group = (65534, 65534) if os.geteuid() == 0 else (os.geteuid(), os.getegid())  # only root has a choice
    async with swarm() as client:
        more = {"Env": ["A=1", "B=x=y", "PATH=/usr/bin:/bin"], "WorkingDir": "/usr", "User": f"{user}:{group}"}
        code, lines = await run(client, "sh", "-c", 'echo "$A $B"; pwd; id -u; id -g', **more)
        assert (code, lines) == (0, [b"1 x=y", b"/usr", b"%d" % user, b"%d" % group])


async def test_stop_asks_first_and_makes_it_after_the_grace() -> None:
    async with swarm() as client:
        for name, script, code in (("kind", "trap 'exit 3' TERM", 3), ("stubborn", "trap '' TERM", 137)):
            made = await client.spawn(body("sh", "-c", f"{script}; echo set; while :; do sleep 0.01; done"), name=name)
            async with client.attach("containers", name) as attached:
                await made.start()
                await anext(attached)
            await made.stop(t="1")
            assert (await made.get())["State"]["ExitCode"] == code
        stopped_again = await client.call(Verb.STOP, made.path)
        assert stopped_again.ack.details == {"status": 304}


async def test_signals_pause_restart_rename() -> None:
    async with swarm() as client:
        made = await client.spawn(body("sleep", "1000"), name="first")
        await made.start()
        pid = (await made.get())["State"]["Pid"]
        await client.set(*made.path, "pause")
        assert (await made.get())["State"]["Paused"]
        with pytest.raises(Conflict, match="is already paused"):
            await client.set(*made.path, "pause")
        await client.set(*made.path, "unpause")
        await client.set(*made.path, "rename", name="second")
        await client.set("containers", "second", "restart", t="1")
        assert (await made.get())["State"]["Pid"] not in (0, pid)
        await client.stop(*made.path, "kill", signal="SIGINT")
        assert await ended(client, "second") == 128 + signal.SIGINT
        with pytest.raises(Conflict, match="not running"):
            await client.stop(*made.path, "kill")
        with pytest.raises(Invalid, match="Invalid signal: NOSUCH"):
            await client.stop(*made.path, "kill", signal="NOSUCH")


async def test_rm_refuses_one_that_runs_unless_forced() -> None:
    async with swarm() as client:
        made = await client.spawn(body("sleep", "1000"))
        await made.start()
        with pytest.raises(Conflict, match="cannot remove a running"):
            await made.rm()
        await made.rm(force="1")
        assert await client.ls(all="1") == []
        await run(client, "true")
        assert len((await client.rm("containers"))["ContainersDeleted"]) == 1


async def test_stdin_goes_in_whole_and_output_comes_out_whole() -> None:
    data = os.urandom(3 << 20)
    async with swarm() as client:
        await client.spawn(body("cat", OpenStdin=True, StdinOnce=True), name="cat")
        stream = await client.connect("containers", "cat", stdin="1", stdout="1", stream="1")
        async with stream, trio.open_nursery() as nursery:
            await client.start("containers", "cat")

            async def feed() -> None:
                await stream.send_all(data)
                await stream.send_eof()

            nursery.start_soon(feed)
            received = b"".join([bytes(piece) async for piece in stream])
        assert unframed(received) == data
        assert await ended(client, "cat") == 0


def unframed(data: bytes) -> bytes:
    found = b""
    while data:
        length = int.from_bytes(data[4:8], "big")
        found, data = found + data[8 : 8 + length], data[8 + length :]
    return found


async def test_a_reader_that_does_not_read_holds_the_process_back() -> None:
    async with swarm() as client:
        await client.spawn(body("sh", "-c", "head -c 64000000 /dev/zero; echo >&2"), name="loud")
        stream = await client.connect("containers", "loud", stdout="1", stderr="1", stream="1")
        await client.start("containers", "loud")
        async with client.watch("containers", "loud", "wait") as states:
            with trio.move_on_after(0.3) as patience:
                async for _ in states:
                    pass
            assert patience.cancelled_caught
        received = 0
        async with stream:
            async for piece in stream:
                received += len(unframed(bytes(piece)))
        assert received == 64_000_001


async def test_what_it_started_ends_with_it_also_when_it_left_its_session() -> None:
    async with swarm() as client:
        script = "sleep 98761 & setsid sleep 98761 & (setsid sh -c 'sleep 98761 & exec sleep 98761' &); echo started"
        assert await run(client, "sh", "-c", script) == (0, [b"started"])
        assert not running("sleep 98761")


def running(command: str) -> bool:
    """Whether a process with this command line runs on this machine."""
    return subprocess.run(["pgrep", "-xf", command], capture_output=True, check=False).returncode == 0


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_closing_the_chain_ends_every_process() -> None:
    async with swarm() as client:
        made = await client.spawn(body("sh", "-c", "trap '' TERM; echo set; while :; do sleep 0.01; done"))
        async with client.attach(*made.path) as attached:
            await made.start()
            await anext(attached)
        pid = (await made.get())["State"]["Pid"]
    assert not _exists(pid)


async def test_waiting_ends_with_the_next_exit_also_when_it_comes_at_once() -> None:
    async with swarm() as client:
        await client.spawn(body("sh", "-c", "exit 4"), name="job")
        for _ in range(3):
            async with client.watch("containers", "job", "wait", condition="next-exit") as states:
                await client.start("containers", "job")
                assert [state async for state in states] == [{"StatusCode": 4}]
        async with client.watch("containers", "job", "wait", condition="nosuch") as states:  # not-running
            assert [state async for state in states] == [{"StatusCode": 4}]


async def test_events_tell_the_whole_life_and_what_was_before() -> None:
    async with swarm() as client:
        async with client.watch() as events:
            await run(client, "true")
            await client.rm("containers", "job")
            live = [(await anext(events))["Action"] for _ in range(4)]
        assert live == ["create", "start", "die", "destroy"]
        async with client.watch(since="0", until="1", filters='{"event": ["die"]}') as none:
            assert [event async for event in none] == []
        async with client.watch(since="0", filters='{"event": ["die"]}') as past:
            assert (await anext(past))["Actor"]["Attributes"]["exitCode"] == "0"


async def test_an_object_or_verb_that_it_has_not_is_said_to_be_missing() -> None:
    async with swarm() as client:
        with pytest.raises(Unsupported, match="exec does not support ls on networks"):
            await client.ls("networks")
        with pytest.raises(NotFound, match="No such exec instance"):
            await client.get("exec", "nosuch")


@pytest.mark.parametrize("error", [RuntimeError, trio.BrokenResourceError, trio.ClosedResourceError, OSError])
async def test_a_workload_whose_supervision_fails_harms_no_other_and_is_said_to_have_ended(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    supervise = ProcessContainer.supervise

    async def failing(workload: ProcessContainer) -> None:
        await supervise(workload)
        if workload.name == "bad":
            raise error("a fault")

    monkeypatch.setattr(ProcessContainer, "supervise", failing)
    async with swarm() as client:
        assert await run(client, "echo", "one", name="bad") == (0, [b"one"])
        assert await run(client, "echo", "two", name="good") == (0, [b"two"])
    assert [each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == [
        f"exec: the workload bad failed: {error.__name__}: a fault"
    ]
