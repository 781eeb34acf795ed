"""Builds by tenants on a real engine, with the docker CLI: what is built, what is shown of it, and what is refused."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.builds import Api, Content, context
from tests.support.engines import Engine, docker, engine, swarmd

pytestmark = pytest.mark.engine

FILE = """
[tenant.alice]
images = ["busybox"]
socket = "FOLDER/alice.sock"
[tenant.bob]
images = ["busybox"]
socket = "FOLDER/bob.sock"
"""
PROJECT = """
ARG VERSION=latest
FROM busybox:$VERSION AS made
ARG WHO
WORKDIR /made
COPY . .
RUN echo $WHO > who && cat who page
FROM scratch
COPY --from=busybox / /
COPY --from=made /made /made
CMD ["cat", "/made/who", "/made/page"]
"""


@pytest.fixture(scope="module")
def real() -> Iterator[Engine]:
    with engine() as started:
        yield started


@pytest.fixture(scope="module")
def folder(real: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a swarmd with two tenants."""
    path = tmp_path_factory.mktemp("tenants")
    (path / "tenants.toml").write_text(FILE.replace("FOLDER", str(path)))
    with swarmd(f"tenant {path}/tenants.toml", f"docker {real.host}", listen=f"unix://{path}/all.sock"):
        yield path


def run(folder: Path, who: str, *words: str) -> str:
    """Run docker as a tenant; return all that it says."""
    environment = {**os.environ, "DOCKER_BUILDKIT": "0", "DOCKER_HOST": f"unix://{folder}/{who}.sock"}
    done = subprocess.run(["docker", *words], env=environment, capture_output=True, timeout=100)
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == 0, said
    return said


def project(folder: Path, who: str, files: Mapping[str, str]) -> Path:
    """Make a folder with files of a tenant's."""
    path = folder / f"project-{who}"
    path.mkdir(exist_ok=True)
    for name, content in files.items():
        (path / name).write_text(content)
    return path


def test_the_same_project_at_the_same_time(real: Engine, folder: Path) -> None:
    def build(who: str) -> str:
        path = project(folder, who, {"Dockerfile": PROJECT, "page": f"canary-of-{who}\n", ".dockerignore": "x\n"})
        return run(folder, who, "build", "-t", "app:1", "--build-arg", f"WHO={who}", str(path))

    with ThreadPoolExecutor(2) as pool:
        said = dict[str, str](zip(("alice", "bob"), pool.map(build, ("alice", "bob")), strict=True))
    for who, other in (("alice", "bob"), ("bob", "alice")):
        assert "Step 1/10 : ARG VERSION=latest" in said[who]
        assert "Step 10/10 : CMD" in said[who]
        assert "Successfully tagged app:1\n" in said[who]
        assert other not in said[who]
        assert "swarmlib" not in said[who]
        assert run(folder, who, "run", "--rm", "app:1") == f"{who}\ncanary-of-{who}\n"
        assert "Using cache" in build(who)
        shown = run(folder, who, "images", "--format", "{{.Repository}}:{{.Tag}}").split()
        assert sorted(shown) == ["app:1", "busybox:latest"]
        history = run(folder, who, "history", "--no-trunc", "app:1")
        assert "swarmlib" not in history + run(folder, who, "inspect", "app:1")
        assert other not in history + run(folder, who, "system", "df", "-v")
    labels = docker(real.host, "inspect", "-f", "{{.Config.Labels}}", "tenant.invalid/bob/app:1", check=True).stdout
    assert labels == b"map[swarmlib.tenant:bob]\n"
    assert run(folder, "alice", "rmi", "app:1")
    assert run(folder, "bob", "image", "inspect", "app:1")


def test_images_build_on_each_other(real: Engine, folder: Path) -> None:
    path = project(folder, "alice", {"Dockerfile": "FROM busybox\nENV made=1\nONBUILD COPY page /\n", "page": "page"})
    run(folder, "alice", "build", "-q", "-t", "base", str(path))
    (path / "Dockerfile").write_text("FROM base\nCMD cat /page; echo $made\n")
    said = run(folder, "alice", "build", "-t", "app", "--cache-from", "base", "--network", "bridge", str(path))
    assert "# Executing 1 build trigger" in said
    assert run(folder, "alice", "run", "--rm", "app") == "page1\n"
    run(folder, "alice", "network", "create", "own")
    (path / "Dockerfile").write_text("FROM base\nRUN ping -c 1 -w 1 $(hostname -i)\n")
    run(folder, "alice", "build", "--network", "own", "--no-cache", str(path))
    run(folder, "alice", "image", "prune", "-f")
    run(folder, "alice", "builder", "prune", "-f")


TARS: dict[str, dict[str, Content]] = {
    "two": {"Dockerfile": "FROM busybox\n", "./Dockerfile": "FROM operators\n"},
    "a link": {"evil": "FROM operators\n", "Dockerfile": "->evil"},
    "a folder": {"Dockerfile/x": "FROM operators\n"},
}


def test_a_dockerfile_means_the_same_to_the_engine(real: Engine, folder: Path) -> None:
    docker(real.host, "tag", "busybox", "operators:latest", check=True)
    api = Api(f"unix://{folder}/alice.sock")
    for files in TARS.values():
        status, *_ = api.build_of(context(files), t="evil")
        assert status in (400, 403, 500)
    linked = {"e/x": "", "d": "->e", "e/Dockerfile": "FROM operators\n", "d/Dockerfile": "FROM busybox\nENV good=1\n"}
    assert "Successfully tagged good" in str(api.build_of(context(linked), t="good", dockerfile="d/Dockerfile"))
    assert "good=1" in str(api.value("/images/good/json")["Config"]["Env"])
    assert api.build("FROM busybox\nCOPY --from=operators / /\n", t="evil")[0] == 403
    assert b"evil" not in docker(real.host, "images").stdout


def test_bytes_of_a_build_that_are_no_tar(folder: Path) -> None:
    api = Api(f"unix://{folder}/alice.sock")
    for data in (b"", b"x" * 600, b"\x1f\x8b\x08broken", context({"Dockerfile": "FROM busybox\n"})[:700]):
        status, body = api.ask("POST", "/build?t=evil", data)
        assert (status, b"message" in body) == (500, True)


def test_archives_of_two_tenants(real: Engine, folder: Path, tmp_path: Path) -> None:
    for who in ("alice", "bob"):
        run(folder, who, "tag", "busybox", "kept:1")
    path = project(folder, "alice", {"Dockerfile": "FROM busybox\nENV of=alice\n"})
    run(folder, "alice", "build", "-t", "kept:1", "-t", "host:5000/kept", str(path))
    run(folder, "alice", "save", "-o", f"{tmp_path}/tar", "kept:1", "host:5000/kept", "busybox")
    listed = subprocess.run(["tar", "-tvf", f"{tmp_path}/tar"], capture_output=True, check=True).stdout
    assert b"layer.tar -> ../" in listed  # of a layer that two of the images share
    manifest = subprocess.run(["tar", "-xOf", f"{tmp_path}/tar", "manifest.json", "repositories"], capture_output=True)
    assert b"kept:1" in manifest.stdout
    assert b"tenant.invalid" not in manifest.stdout
    docker(real.host, "load", "-i", f"{tmp_path}/tar", check=True)
    docker(real.host, "rmi", "kept:1", "host:5000/kept", check=True)
    said = run(folder, "bob", "load", "-i", f"{tmp_path}/tar")
    assert "Loaded image: kept:1" in said
    assert "Loaded image: busybox:latest" in said
    assert "alice" not in said
    assert "of=alice" in run(folder, "bob", "inspect", "kept:1")
    run(folder, "alice", "tag", "busybox", "kept:1")
    subprocess.run(["gzip", f"{tmp_path}/tar"], check=True)
    run(folder, "bob", "load", "-i", f"{tmp_path}/tar.gz")
    assert "of=alice" not in run(folder, "alice", "inspect", "kept:1")
    assert run(folder, "bob", "run", "--rm", "kept:1", "sh", "-c", "echo $of") == "alice\n"


def test_images_that_have_lost_their_names_are_pruned(real: Engine, folder: Path) -> None:
    def nameless() -> list[bytes]:
        filters = ("--filter", "dangling=true", "--filter", "label=swarmlib.tenant=bob")
        return docker(real.host, "images", "-q", *filters, check=True).stdout.split()

    run(folder, "bob", "image", "prune", "-f")
    for number in range(3):
        path = project(folder, "bob", {"Dockerfile": f"FROM busybox\nENV number={number}\nRUN exit 0\n"})
        run(folder, "bob", "build", "-t", "moving", str(path))
    assert len(nameless()) == 2
    run(folder, "alice", "image", "prune", "-af")
    assert len(nameless()) == 2
    run(folder, "bob", "image", "prune", "-f")
    assert nameless() == []
