"""balance over two real engines: calls reach the engine that has their objects, and fail as one engine's would."""

import json
import tarfile
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.support.engines import Engine, Swarmd, busybox_tar, docker, engine, swarmd, wait_until
from tests.system.test_same_answers import UnixConnection, ask

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Engine, Engine]]:
    """Two engines: the image busybox is another one on each, and `only-a` and `only-b` are on one of them."""
    with engine() as a, engine() as b:
        for each, name in ((a, "only-a:1"), (b, "only-b:1")):
            docker(each.host, "import", "-c", 'CMD ["sh"]', "-", name, input=busybox_tar(), check=True)
        yield a, b


@pytest.fixture(scope="module")
def both(pair: tuple[Engine, Engine]) -> Iterator[Swarmd]:
    """A gateway over the two, named a and b, each with a container that runs: on-a and on-b."""
    a, b = pair
    with swarmd(f"balance (a=docker {a.host}) (b=docker {b.host})") as gateway:
        for node in "ab":
            rule = f"constraint:node=={node}"
            out(gateway.host, "run", "-d", "--name", f"on-{node}", "-e", rule, "busybox", "sleep", "1000")
            out(pair["ab".index(node)].host, "network", "create", f"net-{node}")
        yield gateway


def out(host: str, *args: str) -> str:
    done = docker(host, *args)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def refused(host: str, *args: str) -> str:
    done = docker(host, *args)
    assert done.returncode != 0, done.stdout.decode()
    return done.stderr.decode().strip()


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "/containers/nosuch/rename", None),
        ("POST", "/containers/nosuch/kill?signal=NOSUCH", None),
        ("POST", "/containers/nosuch/exec", "{}"),
        ("POST", "/containers/nosuch/resize", None),
        ("GET", "/containers/nosuch/logs", None),
        ("GET", "/containers/nosuch/archive", None),
        ("PUT", "/containers/nosuch/archive", None),
        ("POST", "/networks/nosuch/connect", None),
        ("POST", "/networks/nosuch/connect", "{}"),
        ("POST", "/networks/nosuch/connect", '{"Container": "nosuch"}'),
        ("POST", "/networks/nosuch/disconnect", '{"Container": "nosuch"}'),
        ("GET", "/images/nosuch/history", None),
        ("GET", "/images/nosuch/get", None),
        ("GET", "/images/get?names=nosuch&names=nobody", None),
        ("GET", f"/images/get?names={'x' * 300}", None),
        ("GET", "/images/UPPER/history", None),
        ("DELETE", "/images/UPPER", None),
        ("POST", "/images/nosuch/push", None),
        ("POST", "/images/nosuch/tag?repo=UPPER", None),
        ("DELETE", "/images/nosuch", None),
        ("DELETE", "/volumes/nosuch", None),
        ("DELETE", "/volumes/nosuch?force=1", None),
        ("POST", "/commit?container=nosuch&repo=UPPER", None),
        ("POST", "/plugins/nosuch/enable", None),
    ],
)
def test_what_no_engine_has_is_refused_as_an_engine_refuses_it(
    method: str, target: str, body: str | None, pair: tuple[Engine, Engine], both: Swarmd
) -> None:
    connections = UnixConnection(str(pair[0].socket)), HTTPConnection("127.0.0.1", both.port, timeout=30)
    direct, through = (ask(each, method, f"/v1.41{target}", body) for each in connections)
    assert (through[0], through[2]) == (direct[0], direct[2])


def test_a_name_is_refused_on_every_engine_as_its_own_engine_refuses_it(
    pair: tuple[Engine, Engine], both: Swarmd
) -> None:
    renamed = refused(both.host, "rename", "on-a", "on-b").partition("\n")[0]
    direct = refused(pair[1].host, "create", "--name", "on-b", "busybox").partition("\n")[0]
    assert renamed == direct.replace("Conflict.", "Error when allocating new name: Conflict.", 1)
    for name in ("on-b", "/on-b"):
        with_name = ask(
            HTTPConnection("127.0.0.1", both.port, timeout=30),
            "POST",
            f"/v1.41/containers/create?name={name}",
            '{"Image": "busybox"}',
        )
        assert with_name[0] == 409
        assert json.loads(with_name[2])["message"].startswith('Conflict. The container name "/on-b" is already in use')


def test_a_container_is_connected_to_networks_of_its_own_engine(both: Swarmd) -> None:
    for network in ("bridge", "net-b"):
        docker(both.host, "network", "disconnect", network, "on-b")
        out(both.host, "network", "connect", network, "on-b")
    assert "the network net-a is on a, but the container on-b is on b" in refused(
        both.host, "network", "connect", "net-a", "on-b"
    )
    assert "the container on-a is on a, but the container on-b is on b" in refused(
        both.host, "network", "connect", "--link", "on-a:x", "net-b", "on-b"
    )


def test_names_by_links_come_and_go_with_the_container_that_links(both: Swarmd) -> None:
    def names() -> set[str]:
        listed = out(both.host, "ps", "-a", "--no-trunc", "--format", "{{.Names}}").split("\n")
        return {name for line in listed for name in line.split(",")}

    out(both.host, "run", "-d", "--name", "user", "--link", "on-b", "busybox", "sleep", "1000")
    assert names() == {"on-a", "on-b", "user", "user/on-b"}
    out(both.host, "rename", "user", "other")
    assert names() == {"on-a", "on-b", "other", "other/on-b"}
    out(both.host, "rm", "-f", "other")
    assert names() == {"on-a", "on-b"}


def test_an_image_that_was_loaded_again_elsewhere_is_found(
    pair: tuple[Engine, Engine], both: Swarmd, tmp_path: Path
) -> None:
    for each in pair:
        out(each.host, "tag", "busybox", "again:1")
    for _ in range(3):
        out(both.host, "save", "-o", str(tmp_path / "again"), "again:1")
        out(both.host, "rmi", "-f", "again:1")
        out(both.host, "load", "-i", str(tmp_path / "again"))
        assert out(both.host, "image", "inspect", "-f", "{{.RepoTags}}", "again:1")
    out(both.host, "rmi", "-f", "again:1")


def test_an_image_in_use_on_one_engine_is_removed_from_none(pair: tuple[Engine, Engine], both: Swarmd) -> None:
    saved = docker(pair[0].host, "save", "only-a:1", check=True).stdout
    docker(pair[1].host, "load", input=saved, check=True)
    out(pair[0].host, "run", "-d", "--name", "using", "only-a:1", "sleep", "1000")
    assert "conflict: unable to remove repository reference" in refused(both.host, "rmi", "only-a:1")
    assert all(out(each.host, "images", "-q", "only-a:1") for each in pair)
    out(pair[0].host, "rm", "-f", "using")
    out(pair[1].host, "rmi", "only-a:1")


def test_images_of_two_engines_are_saved_as_one_archive(both: Swarmd, tmp_path: Path) -> None:
    out(both.host, "save", "-o", str(tmp_path / "saved"), "only-a:1", "only-b:1")
    with tarfile.open(tmp_path / "saved") as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        assert sorted(each["RepoTags"] for each in json.load(manifest)) == [["only-a:1"], ["only-b:1"]]


@pytest.mark.parametrize("network", ["net-b", "container:on-b", "host"])
def test_a_build_runs_where_its_network_is(
    network: str, both: Swarmd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN true\n")
    out(both.host, "build", "--no-cache", "--network", network, str(tmp_path))


@pytest.mark.parametrize("extra", [[], ["--compress"], ["--network", "net-a"]], ids=" ".join)
def test_a_build_starts_from_images_of_any_engine(
    extra: list[str], both: Swarmd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    steps = ["FROM only-b:1 AS base", "RUN echo b >/b", "FROM only-a:1", "COPY --from=base /b /b"]
    (tmp_path / "Dockerfile").write_text("\n".join(steps))
    out(both.host, "build", "--no-cache", "-t", "made:1", *extra, str(tmp_path))
    assert out(both.host, "run", "--rm", "made:1", "cat", "/b") == "b"
    out(both.host, "rmi", "made:1")
    holders = [each for each in ("only-a:1", "only-b:1") for _ in out(both.host, "images", "-q", each).split()]
    assert holders == ["only-a:1", "only-b:1"]


def test_a_name_means_the_image_that_got_it_last_wherever_it_runs(
    pair: tuple[Engine, Engine], both: Swarmd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")

    def commit(text: str, node: str) -> None:
        rule = f"constraint:node=={node}"
        out(both.host, "run", "--name", "edited", "-e", rule, "busybox", "sh", "-c", f"echo {text} >/said")
        out(both.host, "commit", "edited", "said:1")
        out(both.host, "rm", "edited")

    def said(node: str) -> str:
        run = docker(both.host, "run", "--rm", "-e", f"constraint:node=={node}", "said:1", "cat", "/said")
        return (run.stdout or run.stderr).decode().strip()

    def id_of(host: str, name: str) -> str:
        return out(host, "image", "inspect", "-f", "{{.Id}}", name)

    commit("one", "a")
    assert [said("a"), said("b")] == ["one", "one"]
    commit("two", "b")
    assert id_of(both.host, "said:1") == id_of(pair[1].host, "said:1")
    (tmp_path / "Dockerfile").write_text("FROM said:1\nRUN test $(cat /said) = two\n")
    out(both.host, "build", "--no-cache", "--network", "net-a", str(tmp_path))
    assert [said("b"), said("a")] == ["two", "two"]
    out(pair[0].host, "tag", "busybox", "said:1")  # behind the gateway's back
    busybox = id_of(pair[0].host, "busybox")
    wait_until(lambda: id_of(both.host, "said:1") == busybox, "the engine's event has come")
    assert "can't open '/said'" in said("b")
    out(both.host, "rmi", "said:1")
    assert not any(out(each.host, "images", "-q", "said:1") for each in pair)


def test_a_stack_is_deployed_by_the_manager_wherever_it_stands(
    pair: tuple[Engine, Engine], both: Swarmd, tmp_path: Path
) -> None:
    (tmp_path / "stack.yml").write_text('version: "3.8"\nservices: {one: {image: busybox, command: sleep 1000}}\n')
    out(pair[1].host, "swarm", "init", "--advertise-addr", "127.0.0.1")
    try:
        assert out(both.host, "info", "-f", "{{.Swarm.ControlAvailable}}") == "true"
        out(both.host, "stack", "deploy", "-d", "-c", str(tmp_path / "stack.yml"), "pile")
        assert out(both.host, "service", "ls", "--format", "{{.Name}}") == "pile_one"
        out(both.host, "stack", "rm", "pile")
    finally:
        out(pair[1].host, "swarm", "leave", "--force")
