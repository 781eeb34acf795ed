"""What a Python program does all day, over processes, over a real engine, and over a gateway in front of one.

Each test is the same program whatever the chain: that is what it shows.
"""

import secrets
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager

import pytest
import trio

from swarmlib import (
    Client,
    Conflict,
    Failed,
    Finished,
    Invalid,
    Line,
    NotFound,
    connect,
)
from tests.support.engines import Engine, swarmd

LOOP = "while :; do sleep 0.01; done"


@pytest.fixture(scope="module")
def gateway_to_one(engines: tuple[Engine, Engine]) -> Iterator[str]:
    with swarmd("debug", f"docker {engines[0].host}") as running:
        yield f"docker {running.host}"


_GATEWAY = pytest.param("gateway", marks=pytest.mark.engine)
_DOCKER = pytest.param("docker", marks=pytest.mark.engine)


@pytest.fixture(params=["exec", _GATEWAY])
def chain(request: pytest.FixtureRequest) -> str:
    """Each kind of chain: over processes; and over an engine, through the gateway or straight."""
    if request.param == "exec":
        return "debug --filter nothing | exec"
    if request.param == "docker":
        return f"docker {request.getfixturevalue('engines')[0].host}"
    return str(request.getfixturevalue("gateway_to_one"))


straight_too = pytest.mark.parametrize("chain", ["exec", _GATEWAY, _DOCKER], indirect=True)


@asynccontextmanager
async def opened(chain: str) -> AsyncGenerator[Client]:
    """The chain, open; at the end nothing is left of what the test made."""
    with trio.fail_after(30):
        async with connect(chain) as swarm:
            before = {each.id for each in await swarm.ls(all=True)}
            yield swarm
            assert {each.id for each in await swarm.ls(all=True)} == before


@straight_too
async def test_a_run_gives_both_outputs_as_they_were_and_the_exit_code(chain: str) -> None:
    async with opened(chain) as swarm:
        script = "echo out; printf '\\000\\377 %s' $GREETING >&2; cat; exit 3"
        finished = await swarm.run("busybox", ["sh", "-c", script], stdin=b"in\0put\xff", env={"GREETING": "hi"})
        assert finished == Finished(b"out\nin\0put\xff", b"\0\xff hi", 3)


async def test_a_run_without_input_reads_an_end_and_text_is_split_as_a_shell_would(chain: str) -> None:
    async with opened(chain) as swarm:
        assert await swarm.run("busybox", "sh -c 'cat; echo done'") == Finished(b"done\n", b"", 0)
        assert await swarm.run("busybox", ["cat"], stdin=b"") == Finished(b"", b"", 0)


@straight_too
async def test_a_run_may_read_and_write_much_at_once(chain: str) -> None:
    async with opened(chain) as swarm:
        much = b"0123456789abcdef" * (4 << 16)
        finished = await swarm.run("busybox", ["sh", "-c", f"cat; head -c {len(much)} /dev/zero >&2"], stdin=much)
        assert (finished.stdout == much, len(finished.stderr), finished.exit_code) == (True, len(much), 0)


async def test_a_run_that_does_not_read_its_input_ends_all_the_same(chain: str) -> None:
    async with opened(chain) as swarm:
        assert (await swarm.run("busybox", ["sh", "-c", "exit 4"], stdin=b"x" * (1 << 22))).exit_code == 4


async def test_a_run_on_a_terminal_has_one_output(chain: str) -> None:
    async with opened(chain) as swarm:
        finished = await swarm.run("busybox", ["sh", "-c", "test -t 1; echo $?; echo e >&2"], Tty=True)
        assert finished == Finished(b"0\r\ne\r\n", b"", 0)


async def test_a_run_that_must_succeed_and_fails_is_an_error(chain: str) -> None:
    async with opened(chain) as swarm:
        assert (await swarm.run("busybox", ["true"], check=True)).exit_code == 0
        with pytest.raises(Failed, match="exit code 2: wrong") as raised:
            await swarm.run("busybox", ["sh", "-c", "echo so far; echo wrong >&2; exit 2"], check=True)
        assert raised.value.finished.text == "so far\n"


async def test_a_run_that_can_not_start_says_why_and_leaves_nothing(chain: str) -> None:
    async with opened(chain) as swarm:
        with pytest.raises(Invalid, match="nosuchprogram"):
            await swarm.run("busybox", ["nosuchprogram"])
        with pytest.raises(Invalid, match="Invalid container name"):
            await swarm.run("busybox", ["true"], name="a/b")


async def test_a_run_that_is_cancelled_is_ended_and_removed(chain: str) -> None:
    async with opened(chain) as swarm:
        name = f"job-{secrets.token_hex(4)}"
        async with trio.open_nursery() as nursery, swarm.watch(filters={"event": "start"}) as events:
            nursery.start_soon(lambda: swarm.run("busybox", ["sleep", "1000"], name=name))
            async for event in events:
                if event.name == name:
                    break
            nursery.cancel_scope.cancel()


async def test_a_program_in_a_workload_has_its_own_input_output_and_exit_code(chain: str) -> None:
    async with opened(chain) as swarm:
        box = await swarm.spawn({"Image": "busybox", "Cmd": ["sh", "-c", LOOP]})
        with pytest.raises(Conflict, match="not running"):
            await box.exec(["true"])
        await box.start()
        finished = await box.exec(["sh", "-c", "cat; echo $A >&2; exit 5"], stdin=b"in", env={"A": "b"})
        assert finished == Finished(b"in", b"b\n", 5)
        with pytest.raises(Failed, match=r"exit code 1$"):
            await box.exec("false", check=True)
        await box.rm(force=True)


@straight_too
async def test_a_workloads_life_by_its_handle(chain: str) -> None:
    async with opened(chain) as swarm:
        name = f"web-{secrets.token_hex(4)}"
        body = {
            "Image": "busybox",
            "Cmd": ["sh", "-c", f"trap '' TERM; echo one; echo two >&2; {LOOP}"],
            "Labels": {"a": name},
        }
        web = await swarm.spawn(body, name=name)
        async with swarm.watch(filters={"event": ["start", "die"], "label": f"a={name}"}) as events:
            async with swarm.attach(name) as attached:
                await web.start()
                lines = attached.lines()
                assert {(await anext(lines)).text, (await anext(lines)).text} == {"one", "two"}
                (listed,) = await swarm.ls(filters={"label": f"a={name}"})
                assert (listed.id, listed.name, listed.state, listed.image) == (web.id, name, "running", "busybox")
                details = await web.details()
                assert (details.name, details.state.running, details.labels) == (name, True, {"a": name})
                await swarm.stop(name, t=0)
                assert [line async for line in lines] == []
                assert (attached.state.running, attached.state.exit_code) == (False, 137)
            told = [await anext(events), await anext(events)]
        assert [(event.action, event.name) for event in told] == [("start", name), ("die", name)]
        assert {event.id for event in told} == {web.id}
        assert told[1].attributes["exitCode"] == "137"
        assert await web.wait() == 137
        assert set(await web.logs()) == {Line("stdout", b"one"), Line("stderr", b"two")}
        assert await web.logs(stderr=False) == [Line("stdout", b"one")]
        assert await web.logs(tail=0) == []
        await web.rm()
        with pytest.raises(NotFound, match="No such container"):
            await web.details()


async def test_lines_are_followed_to_the_end(chain: str) -> None:
    async with opened(chain) as swarm:
        script = f"trap 'echo down; exit 6' HUP; echo up; {LOOP}"
        box = await swarm.spawn({"Image": "busybox", "Cmd": ["sh", "-c", script]})
        await box.start()
        async with box.follow(stderr=False) as lines:  # where a shell tells that HUP ended its `sleep` too
            assert (await anext(lines)).text == "up"
            await box.kill("HUP")
            assert [line.text async for line in lines] == ["down"]
        assert await box.wait() == 6
        await box.rm()
