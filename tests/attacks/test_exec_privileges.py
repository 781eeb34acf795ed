"""Attacks on `exec`: on the machine through a workload's user, its inheritance, its process tree or its sandbox; and on
everybody else through a workload of wrong types.

Attack: a client, or a program that a client starts, gets or keeps more than was asked for. What must happen: a process
has the user and groups that were asked for and nothing of swarmd's, what can't be had is refused with a clear error,
a sandbox shares nothing but programs, and every process ends with its workload.
"""

import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from swarmlib import Denied, Invalid, SwarmError, Unavailable, Unsupported, Verb
from swarmlib_backends.exec import credentials as users
from swarmlib_backends.exec.credentials import check_permitted, credentials
from tests.backends.exec.test_exec import body, run, running, swarm
from tests.support.engines import docker, docker_process, is_served, wait_until

BOX: dict[str, Any] = {"Labels": {"swarmlib.isolation": "bubblewrap"}}
CLEAN_ENV = {
    "AZURE_CLIENT_SECRET": "canary",
    "LC_ALL": "C.UTF-8",
    "NOTIFY_SOCKET": "/canary",
    "PATH": os.environ["PATH"],
    "SSH_AUTH_SOCK": "/canary",
}


class Served:
    """A swarmd that has what must not be inherited: variables, groups, descriptors, a umask, an ignored signal."""

    def __init__(self, folder: Path, *stages: str, prefix: tuple[str, ...] = ()) -> None:
        self.socket = folder / "docker.sock"
        self.host = f"unix://{self.socket}"
        command = [*prefix, sys.executable, "-m", "swarmd", f"dockerserver {self.host}", *stages]
        self.process = subprocess.Popen(
            command, env=CLEAN_ENV, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=_burden
        )

    def run(self, *args: str) -> str:
        done = docker(self.host, "run", "--rm", *args, timeout=30)
        return (done.stdout + done.stderr).decode().strip()


def _burden() -> None:
    os.setgroups([0, 4, 27, 999])
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 4000))
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})


@contextmanager
def served(*stages: str, prefix: tuple[str, ...] = ()) -> Iterator[Served]:
    with tempfile.TemporaryDirectory(dir="/root" if os.geteuid() == 0 and not prefix else "/tmp") as folder:
        os.chmod(folder, 0o777)
        started = Served(Path(folder), *(stages or ("exec",)), prefix=prefix)
        try:
            wait_until(lambda: is_served(started.socket), "swarmd", started.process)
            yield started
        finally:
            started.process.kill()
            started.process.communicate()


@pytest.fixture(scope="module")
def gateway() -> Iterator[Served]:
    with served() as started:
        yield started


KINDS = {"plain": (), "terminal": ("-t",), "user": ("-u", "nobody"), "sandbox": ("--runtime", "bubblewrap")}


# What a process inherits.


@pytest.mark.engine
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_it_gets_no_descriptor_but_its_three(gateway: Served, options: tuple[str, ...]) -> None:
    script = "import os; print(*(fd for fd in range(4096) if os.path.lexists(f'/proc/self/fd/{fd}')))"
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(str(gateway.socket))
        assert gateway.run(*options, "any", "python3", "-I", "-c", script) == "0 1 2"


@pytest.mark.engine
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_it_gets_no_variable_of_swarmds(gateway: Served, options: tuple[str, ...]) -> None:
    script = "cat /proc/self/environ; cat /proc/1/environ 2>/dev/null"
    said = gateway.run(*options, "-e", "A=1", "any", "sh", "-c", script)
    names = {entry.partition("=")[0] for entry in said.split("\0") if entry}
    assert names - {"TERM", "PWD", "SHLVL", "_"} == {"A", "HOME", "HOSTNAME", "PATH"}
    assert "canary" not in said


@pytest.mark.engine
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_its_signals_mask_and_limits_are_fresh(gateway: Served, options: tuple[str, ...]) -> None:
    said = gateway.run(*options, "any", "sh", "-c", "umask; ulimit -n; grep -E 'Sig(Blk|Ign)' /proc/self/status")
    assert said.split() == ["0022", "1000", "SigBlk:", "0" * 16, "SigIgn:", "0" * 16]


@pytest.mark.engine
async def test_the_keys_of_swarmds_session_are_not_its() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(248, b"user", b"swarmlib-canary", b"secret", 6, -3) == -1:  # add_key to the session's keyring
        pytest.skip("this kernel keeps no keys")
    script = "import ctypes; print(ctypes.CDLL(None).syscall(250, 10, -3, b'user', b'swarmlib-canary', 0))"
    async with swarm() as client:
        for number, more in enumerate(({}, {"User": "nobody"}, BOX)):
            code, lines = await run(client, "python3", "-c", script, name=f"job{number}", **more)
            assert (code, lines) == (0, [b"-1"])


# Whose process it is.


@pytest.mark.engine
def test_a_user_has_its_own_groups_and_none_of_swarmds(gateway: Served) -> None:
    assert gateway.run("-u", "nobody", "any", "id") == "uid=65534(nobody) gid=65534(nogroup) groups=65534(nogroup)"
    assert gateway.run("-u", "65534:65534", "any", "grep", "Groups", "/proc/self/status") == "Groups:"
    assert gateway.run("-u", "daemon:12", "any", "id", "-G") == "12"
    assert gateway.run("-u", "54321", "any", "id") == "uid=54321 gid=0(root) groups=0(root)"
    assert gateway.run("any", "id", "-G") == "0"
    assert gateway.run("-u", ":12", "any", "id", "-G") == "12"
    assert gateway.run("-u", "nobody", "--group-add", "4", "--group-add", "daemon", "any", "id", "-G") == "65534 1 4"
    assert gateway.run("-u", "nobody", "any", "sh", "-c", "echo $HOME; echo x >/dev/stdout") == "/nonexistent\nx"


def test_supplementary_groups_are_those_of_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users.os, "getgrouplist", lambda name, group: [group, 4, 27])
    assert credentials("nobody").groups == (65534, 4, 27)
    assert credentials("nobody:0").groups == ()


WRONG_USERS = {
    "-1": "uids and gids must be in range 0-2147483647",
    "2147483648": "uids and gids must be in range 0-2147483647",
    "4294967295": "uids and gids must be in range 0-2147483647",
    "4294967296": "uids and gids must be in range 0-2147483647",
    "99999999999": "uids and gids must be in range 0-2147483647",
    "9" * 5000: "uids and gids must be in range 0-2147483647",
    "0:-1": "uids and gids must be in range 0-2147483647",
    "0:4294967295": "uids and gids must be in range 0-2147483647",
    "0x0": "unable to find user 0x0: no matching entries in passwd file",
    "\u0660": "unable to find user \u0660",
    "\uff12": "unable to find user \uff12",
    "²": "unable to find user ²",
    "0 ": "unable to find user 0 ",
    "1_0": "unable to find user 1_0",
    "nosuch": "unable to find user nosuch",
    "nobody:nosuch": "unable to find group nosuch: no matching entries in group file",
    "a:b:c": "expected USER or USER:GROUP",
    "nobody:nogroup:": "expected USER or USER:GROUP",
}


@pytest.mark.engine
@pytest.mark.parametrize("more", [{}, BOX], ids=["plain", "sandbox"])
async def test_a_user_that_there_is_none_of_is_refused_at_the_start(more: dict[str, Any]) -> None:
    async with swarm() as client:
        for user, problem in WRONG_USERS.items():
            made = await client.spawn(body("true", User=user, **more))
            with pytest.raises(Invalid) as refused:
                await made.start()
            assert problem in refused.value.message
            assert (await made.get())["State"]["Status"] == "created"
            await made.rm()


@pytest.mark.engine
@pytest.mark.parametrize("user", ["99999999999", "-1", "nosuch"])
def test_run_with_such_a_user_ends_and_leaves_nothing(gateway: Served, user: str) -> None:
    done = docker(gateway.host, "run", "--rm", "-u", user, "any", "true", timeout=20)
    assert done.returncode == 125
    assert docker(gateway.host, "ps", "-aq").stdout == b""


@pytest.mark.engine
async def test_groups_that_there_are_none_of_are_refused() -> None:
    async with swarm() as client:
        for group in ("nosuch", "-1", "4294967296"):
            made = await client.spawn(body("true", HostConfig={"GroupAdd": [group]}))
            with pytest.raises(Invalid, match=r"unable to find group|in range"):
                await made.start()
        with pytest.raises(Unsupported, match=r"HostConfig\.GroupAdd"):
            await client.spawn(body("true", HostConfig={"GroupAdd": ["0"]}, **BOX))


@pytest.mark.engine
async def test_who_becomes_another_user_gets_no_new_privileges() -> None:
    wanted = {"": b"0", "0": b"0", "nobody": b"1", "65534:0": b"1"}
    async with swarm() as client:

        async def is_set(name: str, **more: Any) -> bytes:
            _, lines = await run(client, "grep", "NoNewPrivs", "/proc/self/status", name=name, **more)
            return lines[0].split()[1]

        assert [await is_set(f"u{i}", User=user) for i, user in enumerate(wanted)] == [*wanted.values()]
        for number, (option, value) in enumerate(
            {"no-new-privileges": b"1", "no-new-privileges:true": b"1", "no-new-privileges=false": b"0"}.items()
        ):
            assert await is_set(f"o{number}", HostConfig={"SecurityOpt": [option]}) == value
        with pytest.raises(Unsupported, match=r"HostConfig\.SecurityOpt"):
            await client.spawn(body("true", HostConfig={"SecurityOpt": ["seccomp=unconfined"]}))


@pytest.mark.engine
async def test_a_process_in_a_workloads_place_has_its_user_or_the_one_asked_for() -> None:
    async with swarm() as client:
        made = await client.spawn(body("sleep", "1000", User="nobody"))
        await made.start()
        shown = []
        for more in ({}, {"User": "daemon"}):
            entry = await client.spawn({"Cmd": ["id"], "AttachStdout": True, **more}, "containers", made.id, "exec")
            stream = await client.connect("exec", entry.id, body={})
            async with stream:
                shown.append(b"".join([bytes(piece) async for piece in stream]))
        assert b"groups=65534(nogroup)\n" in shown[0]
        assert b"uid=1(daemon) gid=1(daemon) groups=1(daemon)\n" in shown[1]


def test_who_is_not_root_can_start_its_own_processes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users.os, "geteuid", lambda: 65534)
    monkeypatch.setattr(users.os, "getegid", lambda: 65534)
    monkeypatch.setattr(users.os, "getgroups", lambda: [65534])
    for user in ("", "nobody", "65534", "nobody:nogroup"):
        check_permitted(credentials(user))
    for user, more in (("root", ()), ("0", ()), ("nobody:0", ()), ("", ("daemon",)), (":0", ())):
        with pytest.raises(Denied, match="only root"):
            check_permitted(credentials(user, more))


# The sandbox.


async def inside(*words: str, **more: Any) -> tuple[int, list[bytes]]:
    async with swarm() as client:
        return await run(client, *words, **BOX, **more)


@pytest.mark.engine
async def test_no_socket_of_the_machine_is_reachable(gateway: Served) -> None:
    places = ["/root", "/tmp", "/run", "/var/lib", "/var/tmp", "/srv", "/opt", "/home", "/mnt", "/dev/shm", os.getcwd()]
    names = [str(gateway.socket), *(f"{place}/canary-{os.getpid()}.sock" for place in places), f"\0canary{os.getpid()}"]
    with Listeners(names[1:]):
        script = f"""
import socket
for name in {names!r}:
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(name)
            print("reached", repr(name))
        except OSError:
            pass
print("done")
"""
        assert await inside("python3", "-c", script) == (0, [b"done"])


class Listeners:
    """Unix sockets that everybody may connect to."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._sockets = [socket.socket(socket.AF_UNIX) for _ in names]

    def __enter__(self) -> None:
        for name, sock in zip(self._names, self._sockets, strict=True):
            sock.bind(name)
            sock.listen()
            if not name.startswith("\0"):
                os.chmod(name, 0o666)

    def __exit__(self, *_: object) -> None:
        for name, sock in zip(self._names, self._sockets, strict=True):
            sock.close()
            with suppress(OSError, ValueError):
                os.unlink(name)


@pytest.mark.engine
@pytest.mark.parametrize(
    "script",
    [
        "cat /etc/shadow",
        "ls /root",
        "ls /home",
        "ls /sys/kernel",
        "cat /proc/kcore",
        "echo h >/proc/sysrq-trigger",
        "echo x >/proc/sys/kernel/core_pattern",
        "mount -t tmpfs x /tmp",
        "mount -o remount,rw /usr",
        "umount /proc",
        "unshare -r true",
        "unshare -p true",
        "nsenter -t 1 -m true",
        "mknod /tmp/disk b 8 0",
        "chroot / true",
        "chown 1 /tmp",
        "dmesg",
        "kill -9 $(grep -l swarmd /proc/[0-9]*/cmdline | cut -d/ -f3)",
        "ls /dev/mem",
        "ls /proc/1/root/root",
        "ls /proc/1/cwd/root",
        "date -s @0",
        "ip link add x type dummy",
        "nice -n -5 true 2>&1 | grep -v 'cannot set'",
        "echo 1 >/proc/1/oom_score_adj",
    ],
)
async def test_root_in_a_sandbox_can_do_nothing_outside(script: str) -> None:
    code, _ = await inside("sh", "-c", script)
    assert code != 0


@pytest.mark.engine
async def test_a_sandbox_is_a_user_that_nobody_else_is() -> None:
    async with swarm() as client:
        seen = []
        for _ in range(2):
            made = await client.spawn(body("sleep", "1000", **BOX))
            await made.start()
            seen.append(_status((await made.get())["State"]["Pid"]))
        assert [each["CapEff"] for each in seen] == [["0" * 16]] * 2
        assert [each["CapBnd"] for each in seen] == [["0" * 16]] * 2
        assert [each["NoNewPrivs"] for each in seen] == [["1"]] * 2
        assert [each["Groups"] for each in seen] == [[]] * 2
        outside = [int(each["Uid"][0]) for each in seen]
        assert min(outside) >= 0x70000000
        assert outside[0] != outside[1]


def _status(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {line.split(":")[0]: line.split()[1:] for line in lines}


@pytest.mark.engine
async def test_its_variables_reach_neither_bubblewrap_nor_a_command_line() -> None:
    async with swarm() as client:
        made = await client.spawn(body("sleep", "1000", Env=["LD_PRELOAD=/canary.so", "PASSWORD=canary"], **BOX))
        await made.start()
        leader = (await made.get())["State"]["Pid"]
        assert b"PASSWORD=canary" in _read(leader, "environ")
        box = _parent(_parent(leader))
        assert _read(box, "cmdline").startswith(b"/usr/bin/bwrap\0")
        assert b"canary" not in _read(box, "cmdline")
        assert _read(box, "environ") == b""


def _read(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.engine
def test_a_terminal_is_no_way_to_another(gateway: Served) -> None:
    script = "import os; print(os.ttyname(0)); print(sorted(os.listdir('/dev/pts')))"
    said = gateway.run("-t", "--runtime", "bubblewrap", "any", "python3", "-c", script)
    assert "'ptmx'" in said
    assert not any(name.isdigit() for name in said)


# The process tree.

DAEMON = "(setsid sh -c 'trap \"\" HUP TERM INT; sleep {n} & exec sleep {n}' &); setsid sleep {n} & echo up; "
TREES = {"plain": (), "user": ("-u", "nobody"), "sandbox": ("--runtime", "bubblewrap")}


@contextmanager
def daemon(host: str, options: tuple[str, ...], number: str) -> Iterator[None]:
    """A workload `tree` that has left its session in every way, and ignores what asks it to end."""
    script = f"{DAEMON.format(n=number)}trap '' HUP TERM INT; while :; do sleep {number}; done"
    with docker_process(host, "run", "--name", "tree", *options, "any", "sh", "-c", script) as shown:
        assert shown.stdout is not None
        assert shown.stdout.readline() == b"up\n"
        wait_until(lambda: running(f"sleep {number}"), "the daemons")
        yield


@pytest.mark.engine
@pytest.mark.parametrize("options", TREES.values(), ids=TREES)
@pytest.mark.parametrize("end", [("rm", "-f"), ("stop", "-t", "0"), ("kill",), ("restart", "-t", "0")])
def test_the_whole_tree_ends_with_its_workload(gateway: Served, options: tuple[str, ...], end: tuple[str, ...]) -> None:
    with daemon(gateway.host, options, "97531.25"):
        before = set(_pids("sleep 97531.25"))
        assert docker(gateway.host, *end, "tree").returncode == 0
        wait_until(lambda: not before & set(_pids("sleep 97531.25")), "the end of the tree")
    docker(gateway.host, "rm", "-f", "tree")
    wait_until(lambda: not running("sleep 97531.25"), "the end of the tree")


def _pids(command: str) -> list[int]:
    return [int(pid) for pid in subprocess.run(["pgrep", "-xf", command], capture_output=True).stdout.split()]


@pytest.mark.engine
@pytest.mark.parametrize("options", TREES.values(), ids=TREES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_the_whole_tree_ends_with_swarmd(options: tuple[str, ...], number: signal.Signals) -> None:
    with served() as gateway, daemon(gateway.host, options, "97532.5"):
        if options != TREES["sandbox"]:
            docker(gateway.host, "exec", "-d", "tree", "sh", "-c", DAEMON.format(n="97532.5"), check=True)
        gateway.process.send_signal(number)
        gateway.process.wait(20)
        wait_until(lambda: not running("sleep 97532.5"), "the end of the tree")
        wait_until(lambda: not _launchers(gateway.process.pid), "the end of the launcher")
        if number != signal.SIGKILL:
            assert gateway.process.stderr is not None
            assert gateway.process.returncode == 128 + number, gateway.process.stderr.read().decode()
            assert not gateway.socket.exists()


def _launchers(parent: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(parent), "-f", "launcher.py"], capture_output=True).stdout.split()
    return [int(pid) for pid in found]


@pytest.mark.engine
async def test_what_an_exec_leaves_ends_with_the_workload() -> None:
    async with swarm() as client:
        made = await client.spawn(body("sleep", "1000"))
        await made.start()
        more = {"Cmd": ["sh", "-c", "setsid sleep 97533 >/dev/null 2>&1 &"], "AttachStdout": True}
        entry = await client.spawn(more, "containers", made.id, "exec")
        stream = await client.connect("exec", entry.id, body={})
        async with stream:
            assert [piece async for piece in stream] == []
        wait_until(lambda: running("sleep 97533"), "the process that was left")
        await made.rm(force="1")
        assert not running("sleep 97533")


@pytest.mark.engine
async def test_a_launcher_that_is_killed_takes_all_with_it_and_another_begins() -> None:
    async with swarm() as client:
        made = await client.spawn(body("sh", "-c", "setsid sleep 97534 & sleep 97534"))
        async with client.watch(*made.path, "wait", condition="next-exit") as ends:
            await made.start()
            (launcher,) = _launchers(os.getpid())
            os.kill(launcher, signal.SIGKILL)
            assert [end["StatusCode"] async for end in ends] == [137]
        assert not running("sleep 97534")
        assert await run(client, "echo", "again", name="next") == (0, [b"again"])


SOMEBODY = ("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups")
READER = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
"""Who may read every file, as the interpreter of this environment may lie in /root."""
CHROOT = ("unshare", "-m", "sh", "-c", 'mount --rbind / /mnt && exec chroot /mnt "$@"', "sh")
"""In there the kernel makes no user namespaces."""


@pytest.mark.engine
def test_without_namespaces_the_tree_ends_too() -> None:
    with served("exec", prefix=(*CHROOT, *SOMEBODY, *READER)) as gateway:
        for end in (("rm", "-f", "tree"), ("rm", "-f", "tree"), None):
            with daemon(gateway.host, (), "97535.5"):
                docker(gateway.host, "exec", "-d", "tree", "sleep", "97536.5", check=True)
                assert running("sleep 97536.5")
                if end:
                    docker(gateway.host, *end, check=True)
                else:
                    gateway.process.kill()
                wait_until(lambda: not running("sleep 97535.5") and not running("sleep 97536.5"), "the end")
        gateway.process.wait()
        assert gateway.process.stderr is not None
        assert b"can't make pid namespaces" in gateway.process.stderr.read()


@pytest.mark.engine
def test_who_is_not_root_has_trees_and_sandboxes_too() -> None:
    with served("exec", prefix=(*SOMEBODY, *READER)) as gateway:
        assert gateway.run("any", "id") == "uid=54321 gid=54321 groups=54321"
        assert gateway.run("--runtime", "bubblewrap", "any", "id", "-u") == "54321"
        assert gateway.run("--runtime", "bubblewrap", "-u", "0", "any", "id", "-u") == "0"
        assert "only root can start processes as another user or group" in gateway.run("-u", "nobody", "any", "id")
        with daemon(gateway.host, (), "97537.5"):
            docker(gateway.host, "rm", "-f", "tree")
            wait_until(lambda: not running("sleep 97537.5"), "the end of the tree")


# Wrong types, and no more files.

WRONG_BODIES: list[dict[str, Any]] = [
    {"Cmd": 5},
    {"Cmd": [5]},
    {"Cmd": {"a": 1}},
    {"Cmd": ["a\0b"]},
    {"Entrypoint": 5},
    {"Env": 5},
    {"Env": [5]},
    {"Env": [None]},
    {"Env": ["=x"]},
    {"Env": [""]},
    {"Env": ["A\0=b"]},
    {"Image": 5},
    {"Image": {}},
    {"Labels": []},
    {"Labels": ["a"]},
    {"Labels": {"a": 5}},
    {"User": 5},
    {"User": "a\0b"},
    {"WorkingDir": ["/"]},
    {"WorkingDir": "/\0"},
    {"WorkingDir": "../.."},
    {"Tty": "x"},
    {"OpenStdin": 1},
    {"StopSignal": 5},
    {"StopSignal": "NOSUCH"},
    {"StopTimeout": "x"},
    {"StopTimeout": 1e400},
    {"StopTimeout": 1 << 70},
    {"HostConfig": 5},
    {"HostConfig": [1]},
    {"HostConfig": {"AutoRemove": "x"}},
    {"HostConfig": {"ConsoleSize": ["a", "b"]}},
    {"HostConfig": {"ConsoleSize": [-1, 70000]}},
    {"HostConfig": {"ConsoleSize": 5}},
    {"HostConfig": {"Runtime": 5}},
    {"HostConfig": {"NetworkMode": {"a": 1}}},
    {"HostConfig": {"GroupAdd": [5]}},
    {"HostConfig": {"SecurityOpt": 5}},
    {"NetworkingConfig": 5},
]


async def test_a_body_of_wrong_types_is_the_clients_fault_and_nobody_elses_problem() -> None:
    async with swarm() as client:
        for number, wrong in enumerate(WRONG_BODIES):
            with pytest.raises(Invalid) as refused:
                await client.spawn({"Image": "a", "Cmd": ["true"], **wrong}, name=f"w{number}")
            assert "a bug" not in refused.value.message
            for all in ("0", "1"):
                assert await client.ls(all=all) == []
        assert (await client.get("df"))["Containers"] == []


async def test_wrong_bodies_of_execs_and_wrong_parameters_are_the_clients_fault() -> None:
    async with swarm() as client:
        made = await client.spawn(body("sleep", "1000", Tty=True))
        await made.start()
        for wrong in ({"Cmd": 5}, {"Cmd": [5]}, {"Cmd": ["a\0"]}, {"Env": [5]}, {"User": 5}, {"Tty": "x"}):
            with pytest.raises(Invalid):
                await client.spawn({"Cmd": ["a"], **wrong}, "containers", made.id, "exec")
        for size in ({"h": "1e9"}, {"h": "nan"}, {"h": ""}, {"w": "9" * 5000}, {"w": "²"}):
            with pytest.raises(Invalid, match=r"expected|must be|invalid syntax"):
                await client.set(*made.path, "resize", **{"h": "24", "w": "80", **size})
        for args in ({"limit": "nan"}, {"limit": "1e99"}, {"limit": "²"}, {"filters": '{"name": [5]}'}):
            with pytest.raises(Invalid):
                await client.ls(**args)
        for logs in ({"since": "nan"}, {"until": "inf"}, {"since": "1e400"}):
            with pytest.raises(Invalid):
                await client.connect(*made.path, "logs", stdout="1", **logs)
        for tail in ("²", "-5", "abc"):
            answer = await client.call(Verb.CONNECT, (*made.path, "logs"), params={"stdout": "1", "tail": tail})
            assert answer.ack.stream is not None
            await trio.aclose_forcefully(answer.ack.stream)
        with pytest.raises(Invalid):
            await made.stop(t="nan")
        assert [each["Id"] for each in await client.ls()] == [made.id]


@pytest.mark.engine
@pytest.mark.parametrize("more", [{}, {"Tty": True}, BOX, {"OpenStdin": True}])
async def test_a_start_without_free_descriptors_is_refused_and_can_be_tried_again(more: dict[str, Any]) -> None:
    async with swarm() as client:
        await run(client, "true", name="first")
        made = await client.spawn(body("sleep", "1000", **more))
        before = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))
        for files in range(4, before[-1] + 1):  # the lower ones are in use, all but some
            if await _starts_with(files, made.start):
                break
            assert (await made.get())["State"]["Status"] == "created"
            assert len(os.listdir("/proc/self/fd")) == len(before)
        else:
            await made.start()
        assert files > 4
        assert (await made.get())["State"]["Status"] == "running"


async def _starts_with(files: int, start: Callable[[], Awaitable[None]]) -> bool:
    """Whether a workload starts while this process may have no more than so many open files; if not, the error fits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    try:
        with trio.fail_after(10):
            await start()
    except SwarmError as refused:
        return _fits(refused)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return True


def _fits(refused: SwarmError) -> bool:
    assert isinstance(refused, Unavailable)
    assert "too many open files" in refused.message
    return False
