"""Processes beside those of containers in a real cluster, by the real docker CLI and by bare calls."""

import json
import os
import pty
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster
from tests.support.engines import Swarmd, docker, docker_process, read_until, swarmd, wait_until

pytestmark = pytest.mark.cluster
_FAILED = "OCI runtime exec failed: exec failed: unable to start container process: "


@pytest.fixture(scope="module")
def box(gateway: Swarmd, image: str) -> str:
    """A container that runs, with a user of its own."""
    program = "echo web:x:33:34::/srv:/bin/sh >/etc/passwd; echo staff:x:50: >/etc/group; exec sleep 1000"
    docker(
        gateway.host, "run", "-d", "--name", "box", "-e", "A=own", "-e", "B=own", image, "sh", "-c", program, check=True
    )
    return "box"


def ran(gateway: Swarmd, *words: str, input: bytes = b"") -> tuple[int, str, str]:
    """The exit code, the output and the errors of an exec."""
    done = docker(gateway.host, "exec", *words, input=input)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_the_end_of_the_input_arrives_with_all_that_came_before(gateway: Swarmd, box: str) -> None:
    assert ran(gateway, "-i", box, "cat", input=b"x\n") == (0, "x\n", "")
    data = os.urandom(3_000_000)
    assert docker(gateway.host, "exec", "-i", box, "cat", input=data).stdout == data


def test_streams_and_exit_codes_are_the_process_s_own(gateway: Swarmd, box: str) -> None:
    assert ran(gateway, box, "sh", "-c", "echo out; echo err >&2; exit 4") == (4, "out\n", "err\n")
    assert ran(gateway, box, "echo", "$$", "$(A)", "$A") == (0, "$$ $(A) $A\n", "")


def test_its_environment_is_the_container_s_and_its_own(gateway: Swarmd, box: str) -> None:
    own = ("-e", "A=$(B)$$", "-e", "a.b=c", "-e", "B")
    code, found, _ = ran(gateway, *own, box, "env")
    assert code == 0
    assert {"A=$(B)$$", "a.b=c"} <= set(found.splitlines())
    assert not [line for line in found.splitlines() if line.startswith(("B=", "KUBERNETES_", "SHLVL="))]


@pytest.mark.parametrize(
    ("user", "found"),
    [
        ("1234", "1234:0 /"),
        ("1234:77", "1234:77 /"),
        ("web", "33:34 /srv"),
        ("33:staff", "33:50 /srv"),
        ("0", "0:0 /"),
    ],
)
def test_a_user_is_a_number_or_known_in_the_container(gateway: Swarmd, box: str, user: str, found: str) -> None:
    script = 'echo "$(id -u):$(id -g) $HOME"'
    assert ran(gateway, "-u", user, box, "sh", "-c", script) == (0, f"{found}\n", "")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("box", "nosuch"), 'exec: "nosuch": executable file not found in $PATH: unknown'),
        (("box", "/etc/passwd"), 'exec: "/etc/passwd": permission denied: unknown'),
        (
            ("-w", "/no", "box", "true"),
            'chdir to cwd ("/no") set in config.json failed: no such file or directory: unknown',
        ),
        (("-u", "ghost", "box", "true"), "unable to find user ghost: no matching entries in passwd file"),
        (("-u", "33:ghost", "box", "true"), "unable to find group ghost: no matching entries in group file"),
        (("-u", "$(id)", "box", "true"), "unable to find user $(id): no matching entries in passwd file"),
    ],
)
def test_what_can_t_be_run_is_told_as_an_engine_tells_it(
    gateway: Swarmd, box: str, words: tuple[str, ...], reason: str
) -> None:
    code, output, _ = ran(gateway, *words)
    assert (code, output.strip()) == (126, _FAILED + reason)
    assert _FAILED + reason in ran(gateway, "-d", *words)[2]


def test_it_works_where_it_is_told_to(gateway: Swarmd, box: str) -> None:
    assert ran(gateway, "-w", "/etc", box, "pwd") == (0, "/etc\n", "")


def test_one_without_a_client_runs_on(gateway: Swarmd, box: str) -> None:
    assert ran(gateway, "-d", box, "sh", "-c", "sleep 1; echo done >/tmp/detached")[0] == 0
    wait_until(lambda: ran(gateway, box, "cat", "/tmp/detached")[1] == "done\n", "the detached process")
    with docker_process(gateway.host, "exec", box, "sh", "-c", "echo up; sleep 1; echo late >/tmp/left") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.kill()
    wait_until(lambda: ran(gateway, box, "cat", "/tmp/left")[1] == "late\n", "the process that was left")


def test_a_terminal_has_a_size(gateway: Swarmd, box: str) -> None:
    ours, theirs = pty.openpty()
    command = ["docker", "-H", gateway.host, "exec", "-it", box, "sh"]
    sized = ["sh", "-c", 'stty rows 33 cols 99; exec "$@"', "sh", *command]
    with subprocess.Popen(sized, stdin=theirs, stdout=theirs, stderr=theirs) as client:
        os.write(ours, b"until stty size | grep 33.99; do :; done; exit 7\n")
        read_until(ours, b"33 99\r\n")
        assert client.wait(20) == 7
    os.close(ours)
    os.close(theirs)


def test_more_privileges_than_the_container_s_are_refused(gateway: Swarmd, box: str) -> None:
    code, _, errors = ran(gateway, "--privileged", box, "true")
    assert code != 0
    assert "Privileged is not supported" in errors


def test_an_image_without_a_shell_runs_its_own_programs(gateway: Swarmd, cluster: Cluster) -> None:
    bare = f"{cluster.registry()}/bare:1"
    docker(gateway.host, "run", "-d", "--name", "bare", bare, "sleep", "1000", check=True)
    assert ran(gateway, "-e", "A=1", "-u", "5", "bare", "echo", "well") == (0, "well\n", "")


@pytest.fixture(scope="module")
def without_tools(stage: str) -> Iterator[Swarmd]:
    """A gateway of the same namespace whose Pods get no tools."""
    with swarmd(f"{stage} --tools never") as running:
        yield running


def test_without_tools_it_is_plain_or_refused_by_name(without_tools: Swarmd, image: str) -> None:
    docker(without_tools.host, "run", "-d", "--name", "plain", image, "sleep", "1000", check=True)
    assert ran(without_tools, "-i", "plain", "cat", input=b"x\n") == (0, "x\n", "")
    for words, name in ((("-u", "1"), "User"), (("-e", "A=1"), "Env"), (("-w", "/"), "WorkingDir")):
        assert f"exec with {name} needs swarmlib's tools" in ran(without_tools, *words, "plain", "true")[2]


def test_the_processes_of_a_container_are_its_own(gateway: Swarmd, box: str) -> None:
    titles, *rows = docker(gateway.host, "top", box, check=True).stdout.decode().splitlines()
    assert titles.split() == ["UID", "PID", "PPID", "TTY", "CMD"]
    assert any(row.split(None, 4)[4] == "sleep 1000" for row in rows)
    assert not any("busybox ps" in row or row.split()[1] == "1" for row in rows)
    assert b"top takes no ps options" in docker(gateway.host, "top", box, "aux").stderr


def test_an_update_is_refused_where_the_cluster_cannot(gateway: Swarmd, box: str) -> None:
    said = b"box can't be updated: clusters before Kubernetes 1.33 can't change what a Pod that was made may use"
    assert said in docker(gateway.host, "update", "--memory", "64m", box).stderr
    assert b"HostConfig.RestartPolicy" in docker(gateway.host, "update", "--restart", "always", box).stderr


def test_detach_keys_leave_a_terminal_whose_process_goes_on(gateway: Swarmd, box: str) -> None:
    ours, theirs = pty.openpty()
    script = "trap '' HUP; echo be''gun; read x; echo $x; sleep 1; echo went on >/tmp/after"
    command = ["docker", "-H", gateway.host, "exec", "-it", "--detach-keys", "ctrl-x,q", box, "sh", "-c", script]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as client:
        read_until(ours, b"begun\r\n")
        (id,) = json.loads(docker(gateway.host, "inspect", "-f", "{{json .ExecIDs}}", box, check=True).stdout)
        assert len(id) == 64
        os.write(ours, b"\x18typed\n")  # the first key alone is input
        read_until(ours, b"typed\r\n")
        os.write(ours, b"\x18q")
        assert client.wait(20) == 0  # over TCP, the docker CLI takes this for the end of the output
    os.close(ours)
    os.close(theirs)
    wait_until(lambda: ran(gateway, box, "cat", "/tmp/after")[1] == "went on\n", "the process that was left")
    wait_until(
        lambda: docker(gateway.host, "inspect", "-f", "{{json .ExecIDs}}", box).stdout == b"null\n", "the end of it"
    )
