"""Images that a real engine builds for a fake cluster; a real registry brings them to its nodes."""

import base64
import io
import json
import os
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.backends.kubernetes.fakecluster.test_command import running
from tests.support.builds import context
from tests.support.engines import Engine, Swarmd, busybox_tar, docker, engine, swarmd, wait_until
from tests.support.registries import PASSWORD, USER
from tests.support.registries import registry as a_registry

pytestmark = pytest.mark.engine
WITH_BUILDKIT = "/usr/bin/docker"
"""Debian's CLI, which has BuildKit's client built in."""
DOCKERFILE = 'FROM busybox\nENTRYPOINT ["echo", "here"]\n'


AUTH = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@dataclass
class Place:
    """A fake cluster with two gateways: one with a builder, and one without.

    config: the folder of a docker configuration with the password of the registry.
    """

    config: Path
    builder: Engine
    registry: str
    stage: str
    gateway: Swarmd
    plain: Swarmd


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    with ExitStack() as stack:
        builder = stack.enter_context(engine(["--bridge=none", "--iptables=false"], namespaces="-m"))
        registry = stack.enter_context(a_registry(folder, password=True))
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        patched.setenv("DOCKER_CONFIG", str(folder))  # where a gateway finds the password
        (folder / "config.json").write_text(json.dumps({"auths": {registry: {"auth": AUTH}}}))
        stage = f"kubernetes --kubeconfig {stack.enter_context(running(folder))} --tools-image busybox:1"
        gateway = f"{stage} --builder (docker {builder.host}) --registry {registry}/ci"
        yield Place(folder, builder, registry, stage, *(stack.enter_context(swarmd(each)) for each in (gateway, stage)))


def build(place: Place, folder: Path, *words: str, dockerfile: str = DOCKERFILE, buildkit: bool = False) -> str:
    """Build by the docker CLI; returns its output."""
    (folder / "Dockerfile").write_text(dockerfile)
    cli, flag = (WITH_BUILDKIT, "1") if buildkit else ("docker", "0")
    environment = {**os.environ, "DOCKER_BUILDKIT": flag, "DOCKER_CONFIG": str(folder / "none")}
    command = [cli, "-H", place.gateway.host, "build", *words, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def output(gateway: Swarmd, *command: str, input: bytes | None = None) -> str:
    return docker(gateway.host, *command, check=True, input=input).stdout.decode().strip()


def in_registry(place: Place, path: str) -> Any:
    asked = Request(f"http://{place.registry}/v2/{path}", headers={"Authorization": f"Basic {AUTH}"})
    with urlopen(asked, timeout=5) as answer:
        return json.load(answer)


@pytest.mark.parametrize("buildkit", [False, True], ids=["classic", "buildkit"])
def test_what_was_built_runs_by_its_name_through_every_gateway(place: Place, tmp_path: Path, buildkit: bool) -> None:
    name = f"app{int(buildkit)}"
    build(place, tmp_path, "-t", name, "-t", f"ghcr.io/me/{name}:2", buildkit=buildkit)
    assert in_registry(place, f"ci/{name}/tags/list")["tags"] == ["latest"]
    for gateway in (place.gateway, place.plain):
        assert output(gateway, "run", "--rm", name) == "here"
        assert output(gateway, "run", "--rm", f"ghcr.io/me/{name}:2") == "here"
    id = output(place.plain, "image", "inspect", "--format", "{{.Id}}", name)
    assert id == docker(place.builder.host, "image", "inspect", "--format", "{{.Id}}", name).stdout.decode().strip()
    assert output(place.plain, "run", "--rm", id[7:19]) == "here"
    shown = output(place.plain, "images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").splitlines()
    assert f"{name}:latest {id[7:19]}" in shown
    left = docker(place.builder.host, "images", "--format", "{{.Repository}}").stdout.decode().splitlines()
    assert [each for each in left if each.startswith(place.registry)] == []


def test_a_build_without_a_name_runs_by_its_id(place: Place, tmp_path: Path) -> None:
    id = build(place, tmp_path, "-q", dockerfile=f"{DOCKERFILE}ENV UNNAMED=1\n").strip()
    assert output(place.plain, "run", "--rm", id) == "here"
    dangling = output(place.plain, "images", "--filter", "dangling=true", "--no-trunc", "-q").splitlines()
    assert dangling == [id]


def test_a_name_moves_to_what_was_built_last(place: Place, tmp_path: Path) -> None:
    build(place, tmp_path, "-t", "moved")
    build(place, tmp_path, "-t", "moved", dockerfile=DOCKERFILE.replace("here", "there"))
    assert output(place.plain, "run", "--rm", "moved") == "there"
    assert output(place.plain, "rmi", "moved").splitlines()[0] == "Untagged: moved:latest"
    gone = docker(place.gateway.host, "image", "inspect", "moved")
    assert b"No such image: moved" in gone.stderr


def test_images_are_tagged_pushed_saved_and_loaded(place: Place, tmp_path: Path) -> None:
    build(place, tmp_path, "-t", "one")
    output(place.plain, "tag", "one", f"{place.registry}/mine/two:3")
    docker(place.builder.host, "rmi", "one", check=True)  # it is in the registry, and known to the cluster
    refused = docker(place.gateway.host, "push", f"{place.registry}/mine/two:3")  # the client's own credentials count
    assert b"no basic auth credentials" in refused.stderr
    push = ["docker", "--config", place.config, "-H", place.gateway.host, "push", f"{place.registry}/mine/two:3"]
    assert b"digest: sha256:" in subprocess.run(push, capture_output=True, check=True, timeout=60).stdout
    assert in_registry(place, "mine/two/tags/list")["tags"] == ["3"]
    archive = docker(place.gateway.host, "save", "one", check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as saved:
        manifest = json.load(saved.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert manifest[0]["RepoTags"] == ["one:latest"]
    output(place.plain, "rmi", "one")
    assert output(place.gateway, "load", input=archive) == "Loaded image: one:latest"
    assert output(place.plain, "run", "--rm", "one") == "here"


@pytest.fixture
def there(place: Place, tmp_path: Path) -> Iterator[str]:
    """An image in a registry that everybody may ask."""
    with a_registry(tmp_path, password=False) as address:
        name = f"{address}/there:1"
        for words in (("tag", "busybox", name), ("push", name), ("rmi", name)):
            docker(place.builder.host, *words, check=True)
        yield name


def test_an_image_of_a_registry_is_tagged_saved_and_run_by_its_id(place: Place, there: str) -> None:
    output(place.gateway, "pull", there)
    id = output(place.gateway, "images", "--no-trunc", "-q", there)
    for ref in (id, id[7:19]):
        assert output(place.gateway, "run", "--rm", ref, "echo", "ran") == "ran"
        output(place.gateway, "tag", ref, "named-by-id")
        assert output(place.plain, "images", "--no-trunc", "-q", "named-by-id") == id
        tags = output(place.gateway, "image", "inspect", "-f", "{{json .RepoTags}}", there)
        assert json.loads(tags) == [there, "named-by-id:latest"]
        with tarfile.open(fileobj=io.BytesIO(docker(place.gateway.host, "save", ref, check=True).stdout)) as saved:
            assert "manifest.json" in saved.getnames()
    nobodys = f"sha256:{'0' * 64}"
    for words in (("tag", nobodys, "x"), ("run", nobodys), ("save", nobodys)):
        assert f"No such image: {nobodys}" in docker(place.gateway.host, *words).stderr.decode()


def test_a_tar_is_imported_by_the_builder(place: Place) -> None:
    said = output(place.gateway, "import", "-c", 'CMD ["echo", "imported"]', "-", "from-tar", input=busybox_tar())
    assert said.startswith("sha256:")
    assert output(place.plain, "run", "--rm", "from-tar") == "imported"


def test_a_prune_of_everything_goes_to_its_end_with_a_builder_and_without(place: Place, tmp_path: Path) -> None:
    id = build(place, tmp_path, "-q", dockerfile=f"{DOCKERFILE}ENV PRUNED=1\n").strip()
    assert f"deleted: {id}" in output(place.plain, "system", "prune", "-f").splitlines()
    assert output(place.gateway, "system", "prune", "-f").splitlines()[-1].startswith("Total reclaimed space: ")


def test_a_build_that_fails_says_so_and_leaves_nothing(place: Place, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN --network=none exit 7\nCOPY nosuch /\n")
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    command = ["docker", "-H", place.gateway.host, "build", "--network", "none", "-t", "failed", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60)
    assert done.returncode != 0
    assert b"No such image: failed" in docker(place.plain.host, "image", "inspect", "failed").stderr


def test_a_push_that_fails_is_an_error_of_the_build(place: Place, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    with swarmd(f"{place.stage} --builder (docker {place.builder.host}) --registry 127.0.0.1:9/ci") as lost:
        command = ["docker", "-H", lost.host, "build", "-t", "lost", str(tmp_path)]
        done = subprocess.run(command, env=environment, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert b"can't push 127.0.0.1:9/ci/lost:latest to the registry: " in done.stderr
    images = docker(place.builder.host, "images", "--format", "{{.Repository}}").stdout.decode().split()
    assert "127.0.0.1:9/ci/lost" not in images


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (("load",), "can't load images by itself"),
        (("push", "app"), "can't push images by itself"),
        (("save", "app"), "can't save images by itself"),
    ],
)
def test_without_a_builder_each_is_refused_with_the_line_that_allows_it(
    place: Place, command: tuple[str, ...], what: str
) -> None:
    done = docker(place.plain.host, *command, input=context({"a": "b"}))
    assert done.returncode == 1
    assert f"a cluster {what}: start kubernetes with a builder" in done.stderr.decode()
    assert "--builder 'docker unix:///var/run/docker.sock' --registry" in done.stderr.decode()


def test_a_build_without_a_builder_is_refused(place: Place, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    command = ["docker", "-H", place.plain.host, "build", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60)
    assert b"a cluster can't build images by itself" in done.stderr


def test_what_buildkit_names_over_its_own_connection_is_known_when_that_ends(place: Place, tmp_path: Path) -> None:
    build(place, tmp_path, "-t", "before")
    with socket.create_connection(("127.0.0.1", place.gateway.port), 20) as peer, peer.makefile("rb") as answer:
        peer.sendall(b"POST /grpc HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        assert answer.readline().split()[1] == b"101"
        docker(place.builder.host, "tag", "before", "by-buildkit:1", check=True)
        peer.shutdown(socket.SHUT_RDWR)

    def is_known() -> bool:
        return docker(place.plain.host, "image", "inspect", "by-buildkit:1").returncode == 0

    wait_until(is_known, "what BuildKit has named")
    assert output(place.plain, "run", "--rm", "by-buildkit:1") == "here"
