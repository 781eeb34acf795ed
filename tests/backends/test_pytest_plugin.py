"""The fixture `swarm`: docker-py, aiodocker and the docker CLI with no Docker; and in a project that is not ours."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import aiodocker
import docker
import pytest

from swarmlib import NotFound
from swarmlib.client import sync
from swarmlib_backends.served import Served


def cli(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True, timeout=60).stdout


def test_docker_py_finds_it_and_both_see_the_same(swarm: Served) -> None:
    client = docker.from_env()
    assert client.containers.run("busybox", ["echo", "hello"], remove=True) == b"hello\n"
    box = client.containers.run("busybox", ["sleep", "1000"], name="box", detach=True)
    assert [(each.name, each.state) for each in swarm.ls()] == [("box", "running")]
    swarm.workload("box").stop(t=0)
    box.reload()
    assert box.status == "exited"
    box.remove()
    with pytest.raises(NotFound, match="No such container: box"):
        swarm.workload("box").get()
    client.close()


@pytest.mark.engine
def test_the_docker_cli_finds_it(swarm: Served) -> None:
    with swarm.watch(filters={"type": "container"}) as events:
        assert cli("run", "--name", "box", "busybox", "echo", "hello") == "hello\n"
        assert next(events).action == "create"
    assert [line.text for line in swarm.workload("box").logs()] == ["hello"]
    assert cli("ps", "-a", "--format", "{{.Names}}") == "box\n"


def test_aiodocker_finds_it(swarm: Served) -> None:
    async def use() -> None:
        async with aiodocker.Docker() as client:
            made = await client.containers.run({"Image": "busybox", "Cmd": ["sh", "-c", "exit 3"]}, name="box")
            assert (await made.wait())["StatusCode"] == 3

    asyncio.run(use())
    assert swarm.workload("box").details().state.exit_code == 3


@pytest.mark.engine
@pytest.mark.swarm(containers=3)
def test_the_marker_takes_options_of_the_simulator(swarm: Served) -> None:
    assert len(cli("ps", "-q").split()) == len(swarm.ls()) == 3


@pytest.mark.swarm("balance (a=simulator) (b=simulator)")
def test_the_marker_takes_a_chain(swarm: Served) -> None:
    assert swarm.run("busybox", "echo hello").text == "hello\n"
    assert swarm.get()["Name"] == "swarmlib"


async def test_it_serves_a_test_that_runs_on_trio(swarm: Served) -> None:
    assert isinstance(swarm, sync.Client)
    assert swarm.ls() == []


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of somebody who uses another Docker."""
    for name in ("DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_HOST"):
        monkeypatch.setenv(name, "/elsewhere")


@pytest.mark.engine
@pytest.mark.usefixtures("elsewhere")
def test_it_goes_before_the_docker_that_is_set_up(swarm: Served) -> None:
    assert os.environ["DOCKER_HOST"] == swarm.host
    assert cli("ps", "-q") == ""


PROJECT = """
import os
import pytest

seen = []


def test_the_chain_of_the_ini_file(swarm):
    seen.append(os.environ["DOCKER_HOST"])
    assert len(swarm.ls()) == 2


@pytest.mark.swarm(containers=1)
def test_another_engine_for_another_test(swarm):
    assert len(swarm.ls()) == 1
    assert swarm.host not in seen


def test_no_docker_without_the_fixture():
    assert "DOCKER_HOST" not in os.environ
    assert not os.path.exists(seen[0].removeprefix("unix://"))


@pytest.mark.swarm(containrs=1)
def test_a_wrong_option(swarm): ...


@pytest.mark.swarm("exec", containers=1)
def test_both(swarm): ...


@pytest.mark.swarm("nothing")
def test_no_backend(swarm): ...
"""


def run_project(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of a project, as somebody who has no other Docker."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER", "PYTEST"))}
    run = [sys.executable, "-m", "pytest", "--strict-markers", "--strict-config", "-p", "no:cacheprovider"]
    return subprocess.run(
        run, cwd=folder, env=kept | environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_project_that_is_not_ours_has_it(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nswarm_chain = simulator --containers 2\nfilterwarnings = error\n")
    (tmp_path / "test_project.py").write_text(PROJECT)
    done = run_project(tmp_path)
    assert "3 passed, 3 errors" in done.stdout
    assert "unexpected keyword argument 'containrs'" in done.stdout
    assert "takes either the stages of a chain or options of the simulator" in done.stdout
    assert "unknown backend 'nothing'" in done.stdout


SESSION = """
import os

import docker
import pytest


def test_a_service_stays_up_for_the_next_test(swarm_session):
    client = docker.from_env()
    client.containers.run("redis:7", name="cache", detach=True)
    client.close()


def test_a_test_may_have_an_engine_of_its_own(swarm):
    assert swarm.ls() == []
    assert os.environ["DOCKER_HOST"] == swarm.host


@pytest.mark.parametrize("again", [1, 2])
def test_the_engine_of_the_session_is_the_same_one(again, swarm_session):
    assert os.environ["DOCKER_HOST"] == swarm_session.host
    assert [(each.name, each.image, each.state) for each in swarm_session.ls()] == [("cache", "redis:7", "running")]


def test_what_the_tests_need_from_the_start(swarm_session):
    assert "app:1" in [tag for image in swarm_session.ls("images") for tag in image.tags]
"""


def test_a_session_shares_one_engine_with_what_the_ini_file_says(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nswarm_chain = simulator --image app:1\nfilterwarnings = error\n")
    (tmp_path / "test_project.py").write_text(SESSION)
    assert "5 passed" in run_project(tmp_path).stdout


TESTCONTAINERS = """
import pytest
from testcontainers.core.container import DockerContainer, Reaper

SERVICE = "redis:7"


def use(swarm):
    with DockerContainer(SERVICE).with_exposed_ports(6379) as redis:
        assert redis.get_exposed_port(6379) > 0
        assert redis.get_container_host_ip() == "localhost"
        assert {each.image for each in swarm.ls()} == {SERVICE, "testcontainers/ryuk:0.8.1"}
    assert SERVICE not in {each.image for each in swarm.ls(all=True)}


@pytest.mark.parametrize("again", [1, 2])
def test_each_engine_has_a_ryuk_of_its_own(again, swarm):
    assert swarm.ls() == []
    use(swarm)


def test_what_is_not_stopped_ryuk_removes(swarm):
    DockerContainer(SERVICE).start()
    with swarm.watch(filters={"event": "destroy"}) as events:
        Reaper._socket.close()
        assert next(events).attributes["image"] == SERVICE


@pytest.mark.parametrize("again", [1, 2])
def test_the_engine_of_a_session_has_one_ryuk(again, swarm_session):
    use(swarm_session)


def test_a_test_with_its_own_engine_leaves_that_ryuk_alone(swarm_session, swarm):
    with DockerContainer(SERVICE):
        assert [each.image for each in swarm.ls()] == [SERVICE]
    assert [each.image for each in swarm_session.ls()] == ["testcontainers/ryuk:0.8.1"]


def test_the_ryuk_of_the_session_goes_on(swarm_session):
    use(swarm_session)
"""


@pytest.mark.parametrize("early", [True, False], ids=["imported before", "imported by a test"])
def test_testcontainers_works_with_ryuk_wherever_the_tests_run(early: bool, tmp_path: Path) -> None:
    """Also in a container, where Testcontainers would look for the engine behind the network's gateway."""
    program = TESTCONTAINERS
    if not early:
        inside = "def use(swarm):\n    from testcontainers.core.container import DockerContainer"
        program = 'import pytest\n\nSERVICE = "redis:7"\n\n\n' + inside + TESTCONTAINERS.partition("def use(swarm):")[2]
        program = program.partition("def test_what_is_not_stopped")[0]
    (tmp_path / "test_project.py").write_text(program)
    done = run_project(tmp_path, RYUK_RECONNECTION_TIMEOUT="0.1s", TC_HOST="docker")
    assert f"{7 if early else 2} passed" in done.stdout
    assert done.stderr == "", "it would have told what failed at its exit"


def test_a_project_that_does_not_use_it_pays_nearly_nothing() -> None:
    program = "import pytest, sys; before = set(sys.modules); import swarmlib_backends.pytest_plugin; "
    show = "print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program + show], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["swarmlib_backends", "swarmlib_backends.pytest_plugin"]
