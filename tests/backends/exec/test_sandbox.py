"""exec in a sandbox of bubblewrap's: what it keeps away, and that all else is as without it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from swarmlib import Denied, Invalid, Unsupported, connect
from swarmlib.testing import check_backend
from swarmlib_backends import Exec
from tests.backends.exec.test_exec import body, ended, run, swarm
from tests.support.engines import docker, docker_process, swarmd, use_a_terminal
from tests.support.leaves import processes

pytestmark = pytest.mark.engine

LABELS = {"swarmlib.isolation": "bubblewrap"}
BOX = ("--label", "swarmlib.isolation=bubblewrap")


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with swarmd("exec") as running:
        yield running.host


def out(host: str, *args: str) -> str:
    done = docker(host, *args)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


async def test_the_whole_contract_holds_in_a_sandbox() -> None:
    await check_backend(Exec, leaf=processes(Labels=LABELS))


async def inside(script: str, **more: Any) -> list[bytes]:
    """The lines of a script in a sandbox."""
    async with swarm() as client:
        return (await run(client, "sh", "-c", script, Labels=LABELS, **more))[1]


@pytest.mark.parametrize(
    "path", ["/made-in-a-sandbox", "/usr/made", "/etc/passwd", "/sys/kernel/mm/ksm/run", "/proc/sys/kernel/panic"]
)
async def test_nothing_outside_can_be_written_not_even_by_root(path: str) -> None:
    before = _content(path)
    said = await inside(f"echo x >{path} && echo written; mount -o remount,rw,bind / || echo bound")
    assert b"bound" in said
    assert b"written" not in said
    assert _content(path) == before


def _content(path: str) -> bytes | None:
    return Path(path).read_bytes() if os.path.exists(path) else None


async def test_it_has_files_of_its_own_and_sees_none_that_lie_in_tmp_and_run() -> None:
    with tempfile.NamedTemporaryFile(dir="/tmp") as secret, tempfile.NamedTemporaryFile(dir="/run") as socket:
        script = f"cat {secret.name} {socket.name} 2>/dev/null; echo own >/tmp/a && cat /tmp/a; pwd; stat -c %a /tmp"
        assert await inside(script) == [b"own", b"/", b"1777"]


async def test_it_sees_no_process_and_no_network_but_its_own() -> None:
    names = await inside("ps -eo comm=; echo; tail -n +3 /proc/net/dev | cut -d: -f1")
    assert names[: names.index(b"")] == [b"bwrap", b"sh", b"ps"]
    assert [name.strip() for name in names[names.index(b"") + 1 :]] == [b"lo"]
    apart = await inside("readlink /proc/self/ns/net", HostConfig={"NetworkMode": "none"})
    assert apart != [os.readlink("/proc/self/ns/net").encode()]


async def test_the_network_of_the_machine_is_refused_unless_the_operator_allows_it() -> None:
    asked = body("readlink", "/proc/self/ns/net", Labels=LABELS, HostConfig={"NetworkMode": "host"})
    async with swarm() as client:
        with pytest.raises(Denied, match="--sandbox-host-network"):
            await client.spawn(asked)
    async with connect("exec --sandbox-host-network") as client:
        made = await client.spawn(asked)
        async with client.attach(*made.path) as attached:
            await made.start()
            assert (await anext(attached)).line == os.readlink("/proc/self/ns/net").encode()


async def test_its_environment_folder_and_user_are_what_was_asked() -> None:
    more = {"Env": ["A=1"], "WorkingDir": "/usr", "User": "65534:65534"}
    assert await inside('echo "$A"; pwd; id -u; id -g', **more) == [b"1", b"/usr", b"65534", b"65534"]


@pytest.mark.parametrize("tty", [False, True])
@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"Cmd": ["nosuchprogram"]}, "executable file not found"),
        ({"Cmd": ["true"], "WorkingDir": "/nosuchfolder"}, "can't make the sandbox: bwrap: Can't chdir"),
        (
            {"Cmd": ["true"], "WorkingDir": tempfile.mkdtemp(dir="/tmp")},
            "can't make the sandbox: bwrap: Can't chdir",
        ),
        ({"Cmd": ["true"], "User": "nosuchuser"}, "unable to find user nosuchuser"),
    ],
)
async def test_one_that_cannot_start_says_why(more: dict[str, Any], problem: str, tty: bool) -> None:
    async with swarm() as client:
        made = await client.spawn({"Image": "any", "Labels": LABELS, "Tty": tty} | more)
        with pytest.raises(Invalid, match=problem):
            await made.start()
        assert (await made.get())["State"]["Status"] == "created"


async def test_signals_and_pauses_reach_what_is_in_it_and_its_exit_code_comes_out() -> None:
    async with swarm() as client:
        for script, code in (("trap 'exit 3' TERM", 3), ("trap '' TERM", 137), ("trap - TERM", 143)):
            made = await client.spawn(body("sh", "-c", f"{script}; sleep 1000 & echo; wait", Labels=LABELS))
            async with client.attach(*made.path) as attached:
                await made.start()
                await anext(attached)
            await client.set(*made.path, "pause")
            pid = (await made.get())["State"]["Pid"]
            while _state(pid) != "T":
                await trio.lowlevel.checkpoint()
            await client.set(*made.path, "unpause")
            await made.stop(t="1")
            assert (await made.get())["State"]["ExitCode"] == code


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_what_left_its_session_ends_with_it_too() -> None:
    async with swarm() as client:
        made = await client.spawn(body("sh", "-c", "setsid sleep 98765 & echo; exec sleep 1000", Labels=LABELS))
        async with client.attach(*made.path) as attached:
            await made.start()
            await anext(attached)
        while not _running("sleep 98765"):
            await trio.lowlevel.checkpoint()
        await client.stop(*made.path, "kill")
        assert await ended(client, made.id) == 137
        while _running("sleep 98765"):  # the kernel ends it, a moment later
            await trio.lowlevel.checkpoint()


def _running(command: str) -> bool:
    return subprocess.run(["pgrep", "-xf", command], capture_output=True, check=False).returncode == 0


async def test_a_start_that_is_cancelled_leaves_nothing() -> None:
    async with swarm() as client:
        made = await client.spawn(body("sleep", "87654", Labels=LABELS))
        with trio.move_on_after(0.002):
            await made.start()
        await made.rm(force="1")
    assert not _running("sleep 87654")


async def test_what_it_is_not_isolated_by_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with swarm() as client:
        with pytest.raises(Unsupported, match="it has no isolation runsc, only bubblewrap"):
            await client.spawn(body("true", Labels={"swarmlib.isolation": "runsc"}))
        with pytest.raises(Unsupported, match=r"HostConfig\.Runtime"):
            await client.spawn(body("true", HostConfig={"Runtime": "runc"}))
        with pytest.raises(Unsupported, match=r"HostConfig\.NetworkMode"):
            await client.spawn(body("true", HostConfig={"NetworkMode": "none"}))
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(Unsupported, match="requires the program bwrap, which is not installed"):
            await client.spawn(body("true", Labels=LABELS))
        assert (await client.get())["Runtimes"] == {}


async def test_balance_brings_it_where_it_is_and_not_to_an_engine() -> None:
    async with connect("balance (a=simulator) (local=exec)") as client:
        made = await client.spawn(body("true", Labels=LABELS))
        assert (await made.get())["Node"]["Name"] == "local"


def test_the_docker_cli_runs_in_it_as_without_it(host: str) -> None:
    assert shutil.which("bwrap"), "these tests need bwrap: install it as .ci/setup does"
    assert docker(host, "run", "--rm", *BOX, "any", "sh", "-c", "echo hello; exit 7").returncode == 7
    assert docker(host, "run", "--rm", "-i", *BOX, "any", "cat", input=b"purr" * 99).stdout == b"purr" * 99
    assert docker(host, "run", "--rm", "--runtime", "bubblewrap", "any", "touch", "/made").returncode == 1
    out(host, "run", "-d", "--name", "box", *BOX, "any", "sh", "-c", "echo up; echo down >&2; exec sleep 1000")
    done = docker(host, "exec", "box", "true")
    assert b"not supported in the sandbox of box" in done.stderr
    assert "sleep 1000" in out(host, "top", "box")
    logs = docker(host, "logs", "box")
    assert (logs.stdout, logs.stderr) == (b"up\n", b"down\n")
    out(host, "restart", "-t", "5", "box")
    with docker_process(host, "wait", "box") as waiting:
        out(host, "stop", "-t", "5", "box")
        assert waiting.stdout is not None
        assert waiting.stdout.read() == b"143\n"
    out(host, "rm", "box")


def test_a_terminal_is_its_own(host: str) -> None:
    use_a_terminal(host, *BOX, "-e", "PS1=ready> ", "any", prompt=b"ready> ")
