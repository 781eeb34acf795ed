"""A recording becomes the smallest policy that serves it: that allows all of it, and nothing else."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlib import Invalid, Json, Meta, Request, Verb
from swarmlib_backends.policy import document, explain
from swarmlib_backends.policy.learn import learn
from swarmlib_backends.recording import What, Writer, request_bytes

LIST = Request(Verb.LS, ("containers",), {"all": "1"})
INSPECT = Request(Verb.GET, ("containers", "web"))
CREATE = (Verb.SPAWN, ("containers",))


def create(image: str = "busybox", **host: Any) -> Request:
    return Request(*CREATE, {}, Json.from_data({"Image": image, "HostConfig": host}))


def of(caller: str, request: Request) -> Request:
    return request.replace(meta=Meta(caller))


def recorded(folder: Path, requests: Sequence[Request]) -> Path:
    file = folder / "session.rec"
    writer = Writer(str(file), append=False, force=True)
    for number, request in enumerate(requests, 1):
        writer.put(What.ASK, number, request_bytes(request, upload=False))
    writer.close()
    return file


def learned(folder: Path, *requests: Request, **options: Any) -> str:
    return learn(recorded(folder, requests), **options)


def allows(text: str, request: Request) -> bool:
    return explain.judge(document.parse(text, "learned.toml"), request, upload=False).verdict.allowed


def test_a_recording_becomes_rules(tmp_path: Path) -> None:
    one = create(Binds=["/srv/ci:/x"], Privileged=True, NetworkMode="none")
    text = learned(tmp_path, *(of("cert:ci-7", each) for each in (LIST, INSPECT, LIST, one)), of("uid:7", INSPECT))
    assert (
        text
        == """\
# Learned from session.rec: what its 5 calls asked for, and nothing else.

[clients.cert-ci-7]
certificates = ["ci-7"]

[clients.uid-7]
users = ["7"]

[[rule]]  # 3 calls
name = "learned 1"
clients = ["cert-ci-7"]
allow = ["ContainerInspect", "ContainerList"]

[[rule]]  # 1 calls
name = "learned 2"
clients = ["cert-ci-7"]
allow = ["ContainerCreate"]
[rule.container]
binds = ["/srv/ci"]
images = ["docker.io/library/busybox:latest"]
privileged = ["true"]

[[rule]]  # 1 calls
name = "learned 3"
clients = ["uid-7"]
allow = ["ContainerInspect"]
"""
    )


def test_a_privilege_is_granted_together_with_what_had_it_only(tmp_path: Path) -> None:
    text = learned(tmp_path, create("web", Privileged=True), create("job"), create("proxy"))
    assert allows(text, create("web", Privileged=True))
    assert allows(text, create("proxy"))
    assert not allows(text, create("job", Privileged=True))
    assert 'images = ["docker.io/library/job:latest", "docker.io/library/proxy:latest"]' in text


def test_each_client_may_do_what_it_did(tmp_path: Path) -> None:
    text = learned(tmp_path, of("cert:a", LIST), of("ip:10.0.0.7", INSPECT))
    assert allows(text, of("cert:a", LIST))
    assert not allows(text, of("cert:a", INSPECT))
    assert not allows(text, of("cert:b", LIST))
    assert not allows(text, LIST)


@pytest.mark.parametrize(
    "request_",
    [
        create(SecurityOpt=["seccomp=***"]),
        create(Links=["a*:b"]),
        create(Binds=["/srv/../etc:/x"]),
        create(Devices=[{"PathOnHost": "${HOME}"}]),
        of("cert:*", LIST),
        of("who", LIST),
        Request(*CREATE, {}, Json(b"{")),
    ],
)
def test_what_no_rule_can_list_as_itself_is_not_learned(request_: Request, tmp_path: Path) -> None:
    text = learned(tmp_path, INSPECT, request_)
    assert "# Not learned: call 2: " in text
    assert allows(text, INSPECT)
    assert not allows(text, request_)


def test_what_is_new_is_learned_beside_a_policy(tmp_path: Path) -> None:
    before = document.parse(learned(tmp_path, LIST, create("web")), "before.toml")
    assert learned(tmp_path, LIST, create("web"), beside=before) == ""
    text = learned(tmp_path, LIST, create("web"), create("job"), beside=before)
    assert "1 calls" in text
    assert (allows(text, create("job")), allows(text, create("web")), allows(text, LIST)) == (True, False, False)


def test_values_are_generalised_when_that_is_asked_for(tmp_path: Path) -> None:
    text = learned(tmp_path, of("cert:a", create("team/app:1", Binds=["/srv/ci:/x"])), generalise=True)
    assert allows(text, of("cert:b", create("team/app:2", Binds=["/srv/ci/data:/x"])))
    assert not allows(text, create("team/other:1"))
    assert not allows(text, create("team/app:1", Binds=["/srv:/x"]))


def test_a_damaged_recording_is_refused(tmp_path: Path) -> None:
    file = recorded(tmp_path, [LIST])
    with file.open("ab") as end:
        end.write(b"\x93garbage")
    with pytest.raises(Invalid, match="damaged"):
        learn(file)


texts = st.text(st.characters(exclude_characters="*?$:\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
hosts = st.fixed_dictionaries(
    {},
    optional={
        "Binds": st.lists(st.sampled_from(["/srv:/a", "/srv/ci:/b:ro", "data:/c", "/etc:/d:rshared"]), max_size=2),
        "NetworkMode": st.sampled_from(["none", "host", "app", "container:web"]),
        "Privileged": st.booleans(),
        "CapAdd": st.lists(st.sampled_from(["ALL", "NET_ADMIN", "CAP_SYS_TIME", "cap_kill"]), max_size=2),
        "Sysctls": st.dictionaries(texts, texts, max_size=2),
        "PortBindings": st.sampled_from([{"80/tcp": [{"HostPort": port}]} for port in ("", "80", "8000-8010")]),
        "ShmSize": st.integers(0, 1 << 40),
        "OomScoreAdj": st.integers(-1000, 1000),
        "RestartPolicy": st.sampled_from([{"Name": "always"}, {"Name": "no"}]),
    },
)
callers = st.sampled_from(["", "cert:a", "cert:b c", "uid:7", "ip:10.0.0.7", "ip:::1"])
images = st.sampled_from(["web", "job", "proxy"])
creates = st.builds(lambda caller, image, host: of(caller, create(image, **host)), callers, images, hosts)


@given(requests=st.lists(creates, min_size=1, max_size=8), other=creates)
def test_a_learned_policy_allows_all_of_a_recording_and_no_other_request(
    requests: list[Request], other: Request
) -> None:
    with TemporaryDirectory() as folder:
        text = learned(Path(folder), *requests)
        policy = document.parse(text, "learned.toml")
        file = Path(folder) / "session.rec"
        assert [each.line for each in explain.replay(policy, file) if not each.verdict.allowed] == []
        assert learn(file, beside=policy) == ""
        unseen = other.json["HostConfig"] | {"CapAdd": ["UNSEEN_BY_ANYBODY"]}
        assert not allows(text, of(other.meta.caller, create("web", **unseen)))
        if allows(text, other):
            seen = [each for each in requests if each.meta.caller in ("", other.meta.caller)]
            assert other.json["Image"] in {each.json["Image"] for each in seen}
            privileged = {each.json["Image"] for each in seen if each.json["HostConfig"].get("Privileged")}
            assert not other.json["HostConfig"].get("Privileged") or other.json["Image"] in privileged
