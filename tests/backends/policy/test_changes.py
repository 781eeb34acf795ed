"""What rules change in requests: it is judged afterwards, and it is what the engine gets."""

from pathlib import Path
from typing import Any

import pytest

from swarmlib import Invalid, Json, Meta, Request, Verb, connect
from swarmlib_backends.dockerapi import table
from swarmlib_backends.dockerapi.canonical import canonical
from swarmlib_backends.policy import Policy, document
from swarmlib_backends.simulator import Simulator

RULE = """
[[rule]]
name = "ci"
allow = ["ContainerCreate", "NetworkCreate", "VolumeCreate", "ImageCreate", "ContainerInspect"]
unjudged = ["ImageCreate"]
[rule.container]
images = ["busybox", "mirror.local/**"]
binds = ["/srv/ci/**", "/run/ci.sock"]
networks = ["ci"]
memory = "512MiB"
pids = 100
cpus = 1
[rule.change]
memory = "256MiB"
pids = 50
cpus = 0.5
"""


def verdict(change: str, request: Request, rule: str = RULE) -> document.Verdict:
    request = canonical(request)
    row = table.row_of(request.verb, request.path, upload=False)
    return document.parse(f"{rule}\n{change}\n", "rules.toml").judge(row, request)


def create(host: dict[str, Any] | None = None, *, caller: str = "cert:anna", **body: Any) -> Request:
    body = {"Image": "busybox", **body, "HostConfig": host or {}}
    return Request(Verb.SPAWN, ("containers",), body=Json.from_data(body), meta=Meta(caller=caller))


def changed(change: str, request: Request) -> Any:
    """The body of a request as a rule has changed it, once it has been allowed."""
    found = verdict(change, request)
    assert found.allowed, found.reason
    return (found.changed or request).json


@pytest.mark.parametrize("path", ["containers", "networks", "volumes"])
def test_labels_are_stamped_on_what_is_created(path: str) -> None:
    body = {"Image": "busybox"} if path == "containers" else {"Name": "x"}
    given = {**body, "Labels": {"team": "forged", "mine": "1"}}
    request = Request(Verb.SPAWN, (path,), body=Json.from_data(given))
    assert changed('labels = {team = "ci"}', request)["Labels"] == {"team": "ci", "mine": "1"}


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ({}, {"Memory": 256 << 20, "PidsLimit": 50, "NanoCpus": 500_000_000}),
        ({"Memory": 0, "PidsLimit": None}, {"Memory": 256 << 20, "PidsLimit": 50, "NanoCpus": 500_000_000}),
        ({"Memory": 1 << 20, "PidsLimit": 9}, {"Memory": 1 << 20, "PidsLimit": 9, "NanoCpus": 500_000_000}),
        ({"NanoCpus": 7}, {"Memory": 256 << 20, "PidsLimit": 50, "NanoCpus": 7}),
        ({"CpuQuota": 1000}, {"Memory": 256 << 20, "PidsLimit": 50, "CpuQuota": 1000}),
        ({"CpuPeriod": 1000}, {"Memory": 256 << 20, "PidsLimit": 50, "CpuPeriod": 1000, "CpuQuota": 500}),
    ],
)
def test_a_container_without_limits_gets_those_of_the_rule(given: Any, limits: dict[str, int]) -> None:
    assert changed("", create(given))["HostConfig"] == limits


@pytest.mark.parametrize("host", [{"Memory": 1 << 30}, {"Memory": -1}, {"PidsLimit": -1}, {"CpuQuota": -1}])
def test_limits_that_are_given_are_judged_as_they_are(host: dict[str, int]) -> None:
    assert not verdict("", create(host)).allowed


@pytest.mark.parametrize(
    ("source", "bound"),
    [
        ("/workspace", "/srv/ci/cert-anna"),
        ("/workspace/src/x", "/srv/ci/cert-anna/src/x"),
        ("/workspace/cache/x", "/srv/ci/cache/x"),
        ("/var/run/docker.sock", "/run/ci.sock"),
        ("/run/docker.sock", "/run/ci.sock"),
    ],
)
def test_folders_and_the_engines_socket_are_bound_from_elsewhere(source: str, bound: str) -> None:
    change = (
        'docker_socket = "/run/ci.sock"\n'
        'paths = {"/workspace" = "/srv/ci/{caller}", "/workspace/cache" = "/srv/ci/cache"}'
    )
    host = changed(change, create({"Binds": [f"{source}:/x:ro"]}))["HostConfig"]
    assert host["Binds"] == [f"{bound}:/x:ro"]
    mounts = [{"Type": "bind", "Source": source, "Target": "/x"}]
    assert changed(change, create({"Mounts": mounts}))["HostConfig"]["Mounts"][0]["Source"] == bound


@pytest.mark.parametrize(
    "source",
    [
        "/workspace/../../etc",
        "/workspace/../cert-eve",
        "/workspace2",
        "/etc",
        "/var/run/../run/docker.sock",
        "//var/run/docker.sock",
        "/var/run",
    ],
)
def test_what_is_bound_is_judged_after_the_change(source: str) -> None:
    change = 'docker_socket = "/run/ci.sock"\npaths = {"/workspace" = "/srv/ci/{caller}"}'
    assert not verdict(change, create({"Binds": [f"{source}:/x"]})).allowed


@pytest.mark.parametrize(
    ("caller", "folder"),
    [
        ("uid:7", "uid-7"),
        ("tenant:red/uid:7", "tenant-red"),
        ("cert:../eve", None),
        ("cert:..", None),
        ("cert:a/b", None),
        ("ip:::1", None),
        ("", None),
    ],
)
def test_each_caller_has_a_folder_of_its_own(caller: str, folder: str | None) -> None:
    found = verdict('paths = {"/w" = "/srv/ci/{caller}"}', create({"Binds": ["/w/a:/x"]}, caller=caller))
    if folder is None:
        assert "can't be the name of a folder" in found.reason
    else:
        assert found.changed is not None
        assert found.changed.json["HostConfig"]["Binds"] == [f"/srv/ci/{folder}/a:/x"]


@pytest.mark.parametrize(
    ("host", "endpoints", "mode"),
    [
        ({}, {}, "ci"),
        ({"NetworkMode": "default"}, {"default": {"Aliases": ["a"]}}, "ci"),
        ({"NetworkMode": "none"}, {}, "none"),
    ],
)
def test_a_container_that_names_no_network_gets_that_of_the_rule(
    host: dict[str, str], endpoints: dict[str, Any], mode: str
) -> None:
    body = changed('network = "ci"', create(host, NetworkingConfig={"EndpointsConfig": endpoints}))
    assert body["HostConfig"]["NetworkMode"] == mode
    assert body["NetworkingConfig"]["EndpointsConfig"] == ({"ci": {"Aliases": ["a"]}} if endpoints else {})


@pytest.mark.parametrize(
    ("host", "endpoints"), [({"NetworkMode": "host"}, {}), ({"NetworkMode": "bridge"}, {}), ({}, {"other": {}})]
)
def test_a_network_that_is_named_is_judged_as_it_is(host: dict[str, str], endpoints: dict[str, Any]) -> None:
    request = create(host, NetworkingConfig={"EndpointsConfig": endpoints})
    assert not verdict('network = "ci"', request).allowed


IMAGES = 'images = {"docker.io/**" = "mirror.local/hub/**", "ghcr.io/a/b:1" = "mirror.local/b:2"}'


@pytest.mark.parametrize(
    ("image", "used"),
    [
        ("busybox", "mirror.local/hub/library/busybox"),
        ("docker.io/team/app:1", "mirror.local/hub/team/app:1"),
        ("index.docker.io/library/busybox", "mirror.local/hub/library/busybox"),
        (f"busybox@sha256:{'0' * 64}", f"mirror.local/hub/library/busybox@sha256:{'0' * 64}"),
        ("ghcr.io/a/b:1", "mirror.local/b:2"),
    ],
)
def test_an_image_comes_from_elsewhere(image: str, used: str) -> None:
    assert changed(IMAGES, create(Image=image))["Image"] == used
    name, tag = image.split("@") if "@" in image else image.split(":") if ":" in image else (image, "")
    auth = Meta(headers=(("x-registry-auth", "c2VjcmV0"),))
    for params in ({"fromImage": image}, {"fromImage": name, "tag": tag}):
        found = verdict(IMAGES, Request(Verb.SPAWN, ("images",), params, meta=auth))
        assert found.changed is not None
        assert dict(found.changed.params) == {"fromImage": used}
        assert found.changed.meta.headers == ()


@pytest.mark.parametrize("image", ["ghcr.io/a/b:2", "ghcr.io/docker.io/x"])
def test_other_images_are_judged_as_they_are(image: str) -> None:
    assert not verdict(IMAGES, create(Image=image)).allowed


async def test_the_engine_gets_what_was_judged(tmp_path: Path) -> None:
    """Changed, judged, then resolved: the link below the folder that is bound leads to the folder itself."""
    (tmp_path / "data").mkdir()
    (tmp_path / "here").symlink_to(tmp_path / "data")
    rules = tmp_path / "rules.toml"
    rules.write_text(
        f'[[rule]]\nown = "team=red"\nallow = ["ContainerCreate", "ContainerInspect"]\n'
        f'[rule.container]\nimages = ["busybox"]\nbinds = ["{tmp_path}/**"]\n'
        f'[rule.change]\npids = 7\nlabels = {{team = "blue", by = "ci"}}\npaths = {{"/w" = "{tmp_path}"}}\n'
    )
    async with connect(Policy(rules), Simulator()) as swarm:
        made = await swarm.spawn({"Image": "busybox", "HostConfig": {"Binds": ["/w/here:/x"], "NetworkMode": "none"}})
        found = await swarm.get("containers", made.id)
    assert found["HostConfig"]["Binds"] == [f"{tmp_path}/data:/x"]
    assert found["HostConfig"]["PidsLimit"] == 7
    assert found["Config"]["Labels"] == {"team": "red", "by": "ci"}


def test_what_a_rule_changed_is_said() -> None:
    found = verdict('labels = {team = "ci"}', request := canonical(create({"Memory": 0, "NanoCpus": 1})))
    assert list(found.changes_of(request)) == [
        f"HostConfig.Memory is {256 << 20}",
        "HostConfig.PidsLimit is 50",
        "Labels is {'team': 'ci'}",
    ]
    assert list(verdict("", Request(Verb.SPAWN, ("volumes",), body=Json.from_data({}))).changes_of(request)) == []


def test_another_rule_allows_what_one_can_not_change() -> None:
    other = '[[rule]]\nallow = ["ContainerCreate"]\n[rule.container]\nimages = ["busybox"]\nbinds = ["/w"]\n'
    found = verdict(f'paths = {{"/w" = "/srv/ci/{{caller}}"}}\n{other}', create({"Binds": ["/w:/x"]}, caller="ip:::1"))
    assert found.allowed
    assert found.changed is None


@pytest.mark.parametrize(
    ("change", "line", "says"),
    [
        ("", 3, "must not be empty"),
        ("memmory = '1m'", 4, "did you mean 'memory'?"),
        ("memory = 'lots'", 4, "memory: "),
        ("cpus = '1'", 4, "cpus must be a number"),
        ("labels = ['a']", 4, "labels must be a table"),
        ("labels = {a = 1}", 4, "a must be a text, not 1"),
        ("paths = {'work' = '/srv'}", 4, "invalid folder 'work'"),
        ("paths = {'/work' = '/srv/**'}", 4, "'/srv/**' must be a folder"),
        ("paths = {'/work' = '/srv/../etc'}", 4, "without '..'"),
        ("pids = 1\n[rule.change.paths]\n'/a' = '/b'\n'/w' = 'srv'", 7, "invalid folder 'srv'"),
        ("images = {'docker.io/**' = 'mirror.local'}", 4, "both must end in /**"),
        ("images = {'docker.io/*' = 'mirror.local/*'}", 4, "must be an image, or a registry"),
        ("images = {'docker.io/A/**' = 'b/**'}", 4, "lowercase"),
        ("docker_socket = 'ci.sock'", 4, "invalid folder 'ci.sock'"),
        ("docker_socket = '${NOSUCH_SOCKET}'", 4, "variable NOSUCH_SOCKET is not set"),
        ("network = 1", 4, "network must be a text"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(change: str, line: int, says: str) -> None:
    with pytest.raises(Invalid) as caught:
        document.parse(f'[[rule]]\nallow = ["ContainerList"]\n[rule.change]\n{change}\n', "rules.toml")
    assert caught.value.message.startswith(f"rules.toml:{line}: ")
    assert says in caught.value.message
