"""The simulator's programs, users and services: what scripts and tests ask for in a container."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from swarmlib import NotFound, SwarmError, Verb
from tests.backends.simulator.test_simulator import ended, run, started, swarm


@pytest.mark.parametrize(
    ("words", "fields", "said"),
    [
        (["id"], {}, "uid=0(root) gid=0(root)"),
        (["id", "-G"], {"HostConfig": {"GroupAdd": ["1000", "redis"]}}, "0 1000 999"),
        (["id", "-u"], {"User": "postgres"}, "70"),
        (["id"], {"User": "1000:5"}, "uid=1000 gid=5"),
        (["whoami"], {"User": "postgres"}, "postgres"),
        (["pwd"], {"WorkingDir": "/srv/app"}, "/srv/app"),
        (["sh", "-c", "cd /tmp && echo here > file && pwd && cat /tmp/file"], {}, "/tmp\nhere"),
        (
            ["sh", "-c", 'echo "$0" $# $2; for each in "$@"; do echo "<$each>"; done', "me", "a b", "-c"],
            {},
            "me 2 -c\n<a b>\n<-c>",
        ),
        (["sh", "-c", 'printf "a b c\nd\n" | while read -r first rest; do echo "$rest,$first"; done'], {}, "b c,a\n,d"),
        (["sh", "-c", "kill -0 $$ && echo there; kill -0 99999999 2>/dev/null || echo gone"], {}, "there\ngone"),
        (["sh", "-c", "[ ! -p /gate ] || echo go 1<>/gate; echo done"], {}, "done"),
        (["env", "A=1", "B=2", "sh", "-c", "echo $A $B"], {}, "1 2"),
        (["hostname"], {"Hostname": "box"}, "box"),
        (["uname", "-n"], {"Hostname": "box"}, "box"),
    ],
)
async def test_what_a_program_says(autojump_clock: MockClock, words: list[str], fields: object, said: str) -> None:
    async with swarm() as client:
        assert isinstance(fields, dict)
        code, lines = await run(client, *words, **fields)
        assert (code, b"\n".join(line for _, line in lines).decode()) == (0, said)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"User": "nosuch"}, "unable to find user nosuch"),
        ({"User": "root:nosuch"}, "unable to find group nosuch"),
        ({"HostConfig": {"GroupAdd": ["nosuch"]}}, "Unable to find group nosuch"),
    ],
)
async def test_who_is_not_known_runs_nothing(autojump_clock: MockClock, fields: object, problem: str) -> None:
    async with swarm() as client:
        assert isinstance(fields, dict)
        with pytest.raises(SwarmError, match=problem):
            await started(client, "box", "true", **fields)


async def test_top_stays_and_shows_what_runs(mock_clock: MockClock) -> None:
    async with swarm() as client:
        await started(client, "box", "top")
        await wait_all_tasks_blocked()
        assert (await client.get("containers", "box"))["State"]["Running"]


@pytest.mark.parametrize("image", ["redis:7", "postgres", "ghcr.io/acme/web:1", "nginx:alpine"])
async def test_a_service_stays_up_until_it_is_stopped(autojump_clock: MockClock, image: str) -> None:
    async with swarm(image=[image]) as client:
        made = await client.spawn({"Image": image}, name="service")
        assert (await client.get("containers", "service"))["Path"] in ("redis", "postgres", "web", "nginx")
        await made.start()
        with trio.move_on_after(1000) as scope:
            await ended(client, "service")
        assert scope.cancelled_caught, "it ended by itself"
        before = trio.current_time()
        await made.stop()
        assert trio.current_time() - before < 1, "a service ends at SIGTERM"
        assert (await client.get("containers", "service"))["State"]["ExitCode"] == 0


async def test_what_is_pulled_has_the_digest_that_the_registry_tells() -> None:
    digest = f"sha256:{'0123456789abcdef' * 4}"
    async with swarm() as client:
        for name, tag in (("redis", "7"), ("redis", digest)):
            await client.call(Verb.SPAWN, ("images",), params={"fromImage": name, "tag": tag})
        told = (await client.get("distribution", "redis:7"))["Descriptor"]["digest"]
        by_tag, by_digest = [await client.get("images", ref) for ref in ("redis:7", f"redis@{digest}")]
        assert (by_tag["RepoTags"], by_tag["RepoDigests"]) == (["redis:7"], [f"redis@{told}"])
        assert (by_digest["RepoTags"], by_digest["RepoDigests"]) == ([], [f"redis@{digest}"])
        await client.call(Verb.RM, ("images", "redis:7"))
        with pytest.raises(NotFound):
            await client.get("images", f"redis@{told}")
        await client.call(Verb.RM, ("images", f"redis@{digest}"))
        assert [each["RepoTags"] for each in await client.ls("images")] == [["busybox:latest"]]


@pytest.mark.parametrize("image", ["alpine:3.20", "python:3.12"])
async def test_a_shell_without_input_ends(autojump_clock: MockClock, image: str) -> None:
    async with swarm(image=[image]) as client:
        made = await client.spawn({"Image": image}, name="box")
        await made.start()
        assert await ended(client, "box") == 0


@pytest.mark.parametrize("image", ["hello-world", "registry.example.com/library/hello-world:linux"])
async def test_hello_world_says_so_and_ends(autojump_clock: MockClock, image: str) -> None:
    async with swarm(image=[image]) as client:
        code, lines = await run(client, Image=image, Cmd=None)
        said = [line for _, line in lines]
        assert (code, said[:2], {stream for stream, _ in lines}) == (0, [b"", b"Hello from Docker!"], {"stdout"})
        with pytest.raises(SwarmError, match=r'exec: "/bin/sh": stat /bin/sh: no such file or directory'):
            await started(client, "shell", "/bin/sh", Image=image)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("cat /dev/null; sort /dev/null; wc -c /dev/null", [b"0 /dev/null"]),
        ("echo x | tee /dev/null; echo y >> /dev/null; cp /etc/passwd /dev/null; cat /dev/null", [b"x"]),
        ("touch /dev/null; test -e /dev/null && test ! -s /dev/null && test ! -d /dev/null && echo there", [b"there"]),
        ("grep x /dev/null; echo $?", [b"1"]),
        ("rm /dev/null; ls /dev", [b"console", b"null", b"pts", b"shm"]),
    ],
)
async def test_dev_null_is_empty_and_takes_everything(
    autojump_clock: MockClock, script: str, said: list[bytes]
) -> None:
    async with swarm() as client:
        assert await run(client, "sh", "-c", script) == (0, [("stdout", line) for line in said])
        assert not await client.get("containers", "job", "changes")
        with pytest.raises(NotFound, match="Could not find the file /dev/null in container job"):
            await client.file("containers", "job", "archive", path="/dev/null")


async def test_what_follows_dev_null_stays_up(mock_clock: MockClock) -> None:
    async with swarm() as client:
        await started(client, "box", "tail", "-f", "/dev/null")
        await wait_all_tasks_blocked()
        assert (await client.get("containers", "box"))["State"]["Running"]
