"""The Engine API's objects as Python programs read them."""

import copy
import json
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from swarmlib import (
    Event,
    Failed,
    Finished,
    Image,
    Internal,
    Line,
    Network,
    Record,
    State,
    SwarmError,
    Volume,
    WorkloadDetails,
    WorkloadSummary,
)
from swarmlib.client.objects import Field

NOW = datetime(2026, 11, 24, 22, 12, 31, tzinfo=UTC)


def test_a_record_is_all_that_the_service_said() -> None:
    raw = {"Id": "x", "Names": ["/web"], "Newer": {"than": "us"}}
    web = WorkloadSummary(raw)
    assert web["Newer"] == {"than": "us"}
    assert web.get("nosuch") is None
    assert (dict(web), len(web)) == (raw, 3)
    assert web == raw
    assert web == WorkloadSummary(dict(raw))
    assert json.loads(json.dumps({"found": [web]})) == {"found": [raw]}
    assert type(copy.deepcopy(web)) is type(pickle.loads(pickle.dumps(web))) is WorkloadSummary
    assert repr(web) == f"WorkloadSummary({raw!r})"
    with pytest.raises(AttributeError):
        web.nosuch = 1  # type: ignore[attr-defined]


def test_a_workload_in_a_list() -> None:
    web = WorkloadSummary(
        {
            "Id": "abc",
            "Names": ["/other/alias", "/web"],
            "Image": "busybox",
            "State": "running",
            "Status": "Up 3 minutes",
            "Labels": {"tier": "web"},
            "Created": int(NOW.timestamp()),
            "Node": "a",
        }
    )
    assert (web.id, web.name, web.names, web.node) == ("abc", "web", ["web", "other/alias"], "a")
    assert (web.image, web.state, web.status, web.labels) == ("busybox", "running", "Up 3 minutes", {"tier": "web"})
    assert web.created == NOW


def test_a_workload_in_full() -> None:
    web = WorkloadDetails(
        {
            "Name": "/web",
            "Created": "2026-11-24T22:12:31Z",
            "Config": {"Image": "busybox", "Labels": {"a": "b"}, "Tty": True},
            "State": {
                "Status": "exited",
                "Running": False,
                "ExitCode": 7,
                "Error": "why",
                "StartedAt": "2026-11-24T22:12:31.000000999Z",
                "FinishedAt": "2026-11-25T00:12:31+02:00",
            },
        }
    )
    assert (web.name, web.image, web.labels, web.tty, web.created) == ("web", "busybox", {"a": "b"}, True, NOW)
    state = web.state
    assert (state.status, state.running, state.exit_code, state.error) == ("exited", False, 7, "why")
    assert (state.started, state.finished) == (NOW, NOW)
    assert State({"StartedAt": "0001-01-01T00:00:00Z", "FinishedAt": ""}).started is None


def test_an_event() -> None:
    attributes = {"name": "web", "exitCode": "3"}
    actor = {"ID": "abc", "Attributes": attributes}
    whole = {
        "Type": "container",
        "Action": "die",
        "Actor": actor,
        "timeNano": int(NOW.timestamp()) * 10**9,
        "Node": "a",
    }
    event = Event(whole)
    assert (event.type, event.action, event.id, event.name, event.node) == ("container", "die", "abc", "web", "a")
    assert (event.attributes, event.time) == (attributes, NOW)
    assert Event({"time": int(NOW.timestamp())}).time == NOW


def test_images_networks_and_volumes() -> None:
    image = Image({"RepoTags": ["busybox:latest", "<none>:<none>"], "Size": 5, "Labels": None, "Created": 0})
    assert (image.tags, image.size, image.labels) == (["busybox:latest"], 5, {})
    assert image.created == datetime(1970, 1, 1, tzinfo=UTC)
    assert Image({"RepoTags": None}).tags == []
    network = Network({"Id": "n", "Name": "net", "Driver": "bridge", "Scope": "local", "Labels": {"a": "b"}})
    assert (network.id, network.name, network.driver, network.scope) == ("n", "net", "bridge", "local")
    assert network.labels == {"a": "b"}
    volume = Volume({"Name": "data", "Driver": "local", "Mountpoint": "/there"})
    assert (volume.name, volume.mountpoint, volume.id) == ("data", "/there", "")


@pytest.mark.parametrize("kind", [WorkloadSummary, WorkloadDetails, State, Event, Image, Network, Volume])
@pytest.mark.parametrize("nulls", [True, False])
def test_what_is_missing_or_null_is_empty_and_no_surprise(kind: type[Record], nulls: bool) -> None:
    keys = ("Id", "Names", "Name", "Labels", "Config", "State", "Actor", "Created", "RepoTags", "StartedAt", "time")
    record = kind(dict.fromkeys(keys) if nulls else {})
    read = {name: getattr(record, name) for name in dir(kind) if isinstance(getattr(kind, name), property | Field)}
    assert "id" in read
    assert not any(each for each in read.values() if not isinstance(each, datetime | Record))


@pytest.mark.parametrize("value", [None, "x", 3, ["x"]])
def test_what_is_no_object_is_the_services_failure(value: Any) -> None:
    with pytest.raises(Internal, match="expected an object"):
        Event.read(value)


def test_lines_and_output_are_bytes_and_text() -> None:
    assert Line("stdout", "é\n".encode()[:2]).text == "é"
    assert Finished(b"a\xff", b"", 0).text == "a\ufffd"


def test_a_program_that_failed_says_why_it_did() -> None:
    assert Finished(b"out", b"err", 0).check().stdout == b"out"
    with pytest.raises(Failed, match=r"^exit code 3: the last line$") as raised:
        Finished(b"out", b"some\nthe last line\n", 3).check()
    assert raised.value.finished.stdout == b"out"
    assert isinstance(raised.value, SwarmError)
    with pytest.raises(Failed, match=r"^exit code 1$"):
        Finished(b"out", b"", 1).check()
