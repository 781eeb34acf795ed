"""Records: written to ConfigMaps, and read back strictly."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlib import BadAnswer, TooLarge
from swarmlib_backends.enginekit.health import Probe
from swarmlib_backends.kubernetes.pods import creation, reading
from swarmlib_backends.kubernetes.pods.options import PodOptions
from swarmlib_backends.kubernetes.pods.pod import pod
from swarmlib_backends.kubernetes.pods.record import KEY, Ended, Health, Image, Record, reservation

ID = "0123456789abcdef" * 4
TIMES = st.floats(0, 2.0**36)
NUMBERS = st.integers(0, 1000)
TEXTS = st.text(max_size=30).filter(lambda text: "\0" not in text)
ENDS = st.builds(Ended, NUMBERS, st.integers(0, 255), TIMES, TIMES, st.booleans(), TEXTS)
PROBES = st.builds(Probe, TIMES, TIMES, st.integers(-1, 255), TEXTS)
HEALTHS = st.builds(
    Health, st.sampled_from(["starting", "healthy", "unhealthy"]), NUMBERS, st.lists(PROBES, max_size=3).map(tuple)
)
BODIES = st.fixed_dictionaries(
    {"Image": TEXTS, "Cmd": st.lists(TEXTS), "Env": st.lists(TEXTS), "Labels": st.dictionaries(TEXTS, TEXTS)}
)
IMAGES = st.builds(Image, TEXTS, TEXTS, st.fixed_dictionaries({"Cmd": st.lists(TEXTS), "User": TEXTS}))
RECORDS = st.builds(
    Record,
    st.just(ID),
    st.from_regex("[a-zA-Z0-9][a-zA-Z0-9_.-]+", fullmatch=True),
    TIMES,
    BODIES,
    st.none() | IMAGES,
    NUMBERS,
    TIMES,
    st.sampled_from(["created", "running", "stopped", "removed"]),
    st.booleans(),
    NUMBERS,
    TEXTS,
    st.none() | ENDS,
    st.none() | HEALTHS,
    st.just("uid"),
    st.just("17"),
    keep=st.booleans(),
)


def record(**more: Any) -> Record:
    return Record(ID, "web", 1.0, {"Image": "busybox"}, uid="uid", version="17", **more)


def edited(change: dict[str, Any]) -> dict[str, Any]:
    """A record's ConfigMap with other fields; None removes one."""
    made = record().config_map()
    data = orjson.loads(made["data"][KEY]) | change
    made["data"] = {KEY: orjson.dumps({name: each for name, each in data.items() if each is not None}).decode()}
    return made


NETWORKED = {"networks": {"net": {"Aliases": ["db"]}}, "ports": {"80/tcp": [{"HostIp": "::1", "HostPort": "8080"}]}}


def test_its_networks_and_its_ports_come_back() -> None:
    found = reading.read(edited(NETWORKED))
    assert reading.read({**found.config_map(), "metadata": edited({})["metadata"]}) == found
    assert found.ports == NETWORKED["ports"]
    assert found.networks is not None
    assert found.networks["net"]["Aliases"] == ["db"]


@pytest.mark.parametrize(
    "odd",
    [
        {"networks": []},
        {"networks": {"net": {"Aliases": "db"}}},
        {"ports": {"80/udp": [{"HostIp": "::1", "HostPort": "8080"}]}},
        {"ports": {"80/tcp": [{"HostIp": "::1", "HostPort": "x"}]}},
        {"ports": {"x": None}},
        {"ports": {"80/tcp": [{"HostIp": "localhost", "HostPort": "1"}]}},
    ],
)
def test_networks_and_ports_that_are_none_are_no_record(odd: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer, match="is not the record of a container"):
        reading.read(edited(odd))


@given(RECORDS)
def test_a_record_comes_back_as_it_was(given: Record) -> None:
    assert reading.read(given.config_map()) == given


def test_a_record_that_the_cluster_does_not_have_yet_names_no_version() -> None:
    metadata = Record(ID, "web", 1.0, {}).config_map()["metadata"]
    assert "resourceVersion" not in metadata
    assert metadata["name"] == f"c-{ID[:32]}"
    assert record().config_map()["metadata"]["resourceVersion"] == "17"


def test_its_configuration_is_completed_by_its_image() -> None:
    image = Image(config={"Cmd": ["serve"], "Env": ["PATH=/bin"], "User": "7", "StopSignal": "SIGINT"})
    made = Record(ID, "web", 1.0, {"Image": "busybox", "Env": ["A=1"]}, image)
    assert made.config["Cmd"] == ["serve"]
    assert made.config["Env"] == ["A=1", "PATH=/bin"]
    assert made.stop_signal == 2
    assert made.config["Hostname"] == ID[:12]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "has the version 2: this swarmlib knows 1"),
        ({"version": None}, "has the version None"),
        ({"id": "x"}, "id must be 64 hexadecimal digits, not 'x'"),
        ({"id": "f" * 64}, "is the record of c-ffff"),
        ({"id": None}, "lacks the field id"),
        ({"name": "../x"}, "name must be the name of a container"),
        ({"created": 1e300}, "created must be seconds since the epoch"),
        ({"created": "now"}, "created must be seconds since the epoch"),
        ({"run": -1}, "run must be 0 or more"),
        ({"run": 1.5}, "run must be an integer"),
        ({"run": 2**40}, "run must be an integer from"),
        ({"wanted": "dancing"}, "wanted must be one of created, removed, running, stopped"),
        ({"wanted": ["created"]}, "wanted must be one of"),
        ({"paused": 1}, "paused must be a boolean"),
        ({"body": []}, "body must be an object"),
        ({"body": {"Env": "A=1"}}, r"body.Env must be an array"),
        ({"body": {"HostConfig": {"Memory": "1g"}}}, "body.HostConfig.Memory must be an integer"),
        ({"image": {"reference": "", "digest": ""}}, "image lacks the field config"),
        ({"last": {"run": 1}}, "last lacks the field"),
        ({"health": {"status": "well", "failing": 0, "log": []}}, "health.status must be one of"),
        ({"health": {"status": "healthy", "failing": 0, "log": [{}]}}, r"health.log\[0\] lacks the field"),
        ({"more": 1}, "has the unknown field 'more'"),
    ],
)
def test_a_record_that_was_edited_is_told(change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadAnswer, match=f"the ConfigMap c-{ID[:32]} is not the record of a container: .*{said}"):
        reading.read(edited(change))


@pytest.mark.parametrize("data", [None, {}, {KEY: ""}, {KEY: "{"}, {KEY: "[]"}, {KEY: '{"version":1,"version":1}'}])
def test_what_holds_no_record_is_told(data: Any) -> None:
    with pytest.raises(BadAnswer, match="is not the record of a container"):
        reading.read({**record().config_map(), "data": data})


def test_a_record_larger_than_a_config_map_is_refused() -> None:
    with pytest.raises(TooLarge, match="the description of the container has"):
        Record(ID, "web", 1.0, {"Env": ["A=" + "x" * 2**20]}).config_map()


def test_the_reservation_of_a_name_goes_away_with_the_record() -> None:
    made = reservation(record())
    assert made["data"] == {"name": "web", "id": ID}
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid"


@pytest.mark.parametrize(("env", "ruled"), [(["constraint:disk==ssd"], True), ([], False)])
def test_rules_in_labels_were_followed_by_a_balance_in_front(env: list[str], ruled: bool) -> None:
    labels = {} if ruled else {"com.docker.swarm.constraints": '["disk==ssd"]'}
    record = creation.new("web", {"Image": "box", "Env": env, "Labels": labels}, None, PodOptions(), 0.0)
    spec = pod(record, PodOptions(), run=1)["spec"]
    assert ("affinity" in spec) == ruled
    assert record.labels["com.docker.swarm.constraints"] == '["disk==ssd"]'
