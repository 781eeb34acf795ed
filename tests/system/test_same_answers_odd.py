"""Odd and wrong requests, drawn from the official schema, have the same answers directly and through the gateway.

`tests.bench.odd_requests` asks for as long as one likes, and balance, the simulator and `exec` too.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarmlib_backends.dockerapi.rows import Row
from tests.support.odd_requests import ASKED, Question, questions
from tests.support.same_answers import Answer, Comparison, comparison, difference

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def gateway() -> Iterator[Comparison]:
    with comparison(balance=False, simulated=False) as compared:
        yield compared


@pytest.mark.parametrize("row", ASKED, ids=lambda row: row.name)
def test_an_odd_request_has_the_engines_answer(row: Row, gateway: Comparison) -> None:
    @settings(max_examples=2, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def ask(data: st.DataObject) -> None:
        asked = data.draw(questions(row))
        assert gateway.ask(asked) == {}, str(asked)

    ask()


@pytest.fixture(scope="module")
def everybody() -> Iterator[Comparison]:
    with comparison() as compared:
        yield compared


@pytest.mark.parametrize(
    ("row", "method", "target"),
    [
        ("SystemPing", "GET", "/v1.99/_ping"),
        ("SystemInfo", "GET", "/v1.11/info"),
        ("ContainerKill", "POST", "/v1.41/containers/nosuch/kill?signal=SIGNOPE"),
        ("ContainerKill", "POST", "/v1.41/containers/nosuch/kill?signal=99"),
        ("ContainerKill", "POST", "/v1.41/containers/thing/kill?signal=99"),
        ("ContainerKill", "POST", "/v1.41/containers/stopped/kill"),
        ("ContainerRename", "POST", "/v1.41/containers/nosuch/rename"),
        ("ContainerPause", "POST", "/v1.41/containers/stopped/pause"),
        ("ContainerUnpause", "POST", "/v1.41/containers/thing/unpause"),
        ("ContainerWait", "POST", "/v1.41/containers/stopped/wait?condition=nosuch"),
        ("ContainerDelete", "DELETE", "/v1.41/containers/thing"),
        ("ContainerStats", "GET", "/v1.41/containers/thing/stats?stream=1&one-shot=1"),
        ("ContainerAttach", "POST", "/v1.41/containers/nosuch/attach?detachKeys=ctrl-A,a"),
        ("ContainerAttach", "POST", "/v1.41/containers/nosuch/attach?detachKeys=ctrl-a,DEL"),
        ("ContainerStart", "POST", "/v1.41/containers/stopped/start?checkpoint-dir=x"),
        ("ContainerStart", "POST", "/v1.41/containers/thing/start?checkpoint-dir=x"),
        ("ContainerResize", "POST", "/v1.41/containers/stopped/resize?h=5&w=5"),
        ("ImageList", "GET", '/v1.41/images/json?filters={"since":["nosuch"]}'),
        ("ImageList", "GET", '/v1.41/images/json?filters={"dangling":["x"]}'),
        ("ImageList", "GET", '/v1.41/images/json?filters={"label!":[]}'),
        ("NetworkList", "GET", '/v1.41/networks?filters={"label!":[]}'),
        ("VolumeList", "GET", '/v1.41/volumes?filters={"label!":[]}'),
    ],
)
def test_everybody_refuses_as_an_engine(row: str, method: str, target: str, everybody: Comparison) -> None:
    assert everybody.ask(Question(row, method, target)) == {}


_RIGHT = {"Image": "busybox", "Cmd": ["true"]}
_BOUNDS: list[dict[str, Any]] = [
    *({"Isolation": "5"}, {"IOMaximumIOps": 5}, {"CpusetMems": "x"}, {"CpusetMems": "7"}, {"Memory": -1}),
    *({"MemoryReservation": 100}, {"Memory": 10**7, "MemoryReservation": 2 * 10**7}, {"KernelMemory": 100}),
    *({"MemorySwappiness": 200}, {"CpuPeriod": 5}, {"CpuQuota": 5}, {"NanoCpus": 10**9, "CpuPeriod": 50000}),
    *({"OomScoreAdj": 2000}, {"CapAdd": ["NOPE"]}, {"SecurityOpt": ["nope"]}, {"SecurityOpt": ["a=b"]}),
    *({"CgroupnsMode": "nope"}, {"Runtime": "nosuch"}, {"IpcMode": "container:nosuch"}, {"NetworkMode": "container:"}),
    *({"Binds": ["/a:/"]}, {"VolumesFrom": [""]}, {"Mounts": [{}]}, {"Mounts": [{"Type": "tmpfs", "Target": "/"}]}),
    *(
        {"Mounts": [{"Type": "volume", "Target": "/x", "BindOptions": {}}]},
        {"PortBindings": {"80/tcp": [{"HostPort": "x"}]}},
    ),
    *({"StorageOpt": {"size": "1"}}, {"StorageOpt": {"a": "1"}}, {"Tmpfs": {"x": ""}}, {"Tmpfs": {"/": ""}}),
    *({"Binds": ["ab:/y", "ac:/y"]}, {"Binds": ["ab:/y"], "Tmpfs": {"/y": ""}}, {"Binds": ["x:/y", "/a:/b:q"]}),
    *({"Binds": ["ab:/y"], "Mounts": [{"Type": "volume", "Target": "/y"}]}, {"Binds": [f"{'x' * 300}:/y"]}),
]


@pytest.mark.parametrize(
    ("row", "target", "body"),
    [
        *(("ContainerCreate", "/containers/create", {**_RIGHT, "HostConfig": each}) for each in _BOUNDS),
        ("ContainerCreate", "/containers/create", {**_RIGHT, "Env": [""]}),
        ("ContainerCreate", "/containers/create?platform=nosuch", _RIGHT),
        ("ContainerCreate", "/containers/create?platform=linux/arm/v7", _RIGHT),
        ("ContainerCreate", "/containers/create", {"Image": ""}),
        ("ContainerCreate", "/containers/create", {"Image": "", "Cmd": ["true"]}),
        ("ContainerUpdate", "/containers/stopped/update", {"CpuQuota": 5}),
        ("ContainerStart", "/containers/nosuch/start?checkpoint=x", None),
        ("NetworkCreate", "/networks/create", {"Name": "made", "Scope": "swarm"}),
        ("NetworkCreate", "/networks/create", {"Name": "made", "Options": {"com.docker.network.driver.mtu": "x"}}),
        ("NetworkCreate", "/networks/create", {"Name": "made", "Options": {"com.docker.network.bridge.name": "a/b"}}),
        ("NetworkCreate", "/networks/create", {"Name": "made", "IPAM": {"Config": [{"Subnet": "10.98.0.5/32"}]}}),
        ("NetworkCreate", "/networks/create", {"Name": "", "IPAM": {"Config": [{"Subnet": "x"}]}}),
        *(
            ("NetworkCreate", "/networks/create", {"Name": "made", "ConfigFrom": {"Network": "nosuch"}, **more})
            for more in ({}, {"Labels": {"a": "b"}}, {"Options": {"a": "b"}}, {"ConfigOnly": True})
        ),
        ("NetworkConnect", "/networks/thing/connect", {"Container": "stopped", "EndpointConfig": {"Links": ["a:b:c"]}}),
        ("NetworkConnect", "/networks/thing/connect", {"Container": "thing", "EndpointConfig": {"Links": ["a:b:c"]}}),
        ("NetworkConnect", "/networks/twice/connect", {"Container": "thing"}),
        ("NetworkConnect", "/networks/thing/connect", {}),
        ("NetworkDisconnect", "/networks/nosuch/disconnect", {"Container": "nosuch", "Force": True}),
        ("VolumeCreate", "/volumes/create", {"DriverOpts": {"type": "tmpfs"}}),
        ("VolumeCreate", "/volumes/create", {"Name": "x" * 300}),
        ("SystemAuth", "/auth", {}),
        *(("SystemAuth", "/auth", {"serveraddress": each}) for each in ("a b", "a<b", "[", "a:b", "a/%zz", "ftp://x")),
        ("ImagePush", "/images/nosuch/push", None),
        ("ImageTag", f"/images/thing/tag?repo={'x' * 300}", None),
        ("ImageCreate", "/images/create?fromSrc=nosuch", None),
        ("ImageCreate", "/images/create?fromSrc=é", None),
        ("ImageCommit", "/commit", None),
        *(("ImageCommit", f"/commit?container=stopped&changes={each}", None) for each in ("EXPOSE x", 'VOLUME [""]')),
        ("SecretUpdate", "/secrets/x/update", {}),
        ("ConfigCreate", "/configs/create", {"Name": "x", "Data": "a b"}),
        ("BuildPrune", '/build/prune?filters={"id":["x","y"]}', None),
    ],
)
def test_what_is_out_of_bounds_is_refused_as_an_engine_does(
    row: str, target: str, body: Any, everybody: Comparison
) -> None:
    asked = Question(row, "POST", f"/v1.41{target}", None if body is None else json.dumps(body).encode())
    assert everybody.ask(asked) == {}


def test_a_difference_is_seen() -> None:
    asked = Question("ContainerInspect", "GET", "/v1.41/containers/x/json")
    missing = Answer(404, body=b'{"message":"No such container: x"}')
    assert difference(asked, missing, Answer(500, body=b'{"message":"oops"}')) is not None
    assert difference(asked, missing, Answer(404, body=b'{"message":"it is not there"}')) is not None
    assert difference(asked, missing, Answer(404, {"api-version": "1.41"}, missing.body)) is not None
    assert difference(asked, missing, Answer(404, body=missing.body, first_byte=30)) is not None
    assert difference(asked, missing, missing) is None
