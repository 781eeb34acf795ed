"""Every field of a creation is mapped or refused by its name: none is dropped."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlib import Json, Request, SwarmError, TooLarge, Unsupported, Verb
from swarmlib_backends.aci import Aci, fields
from swarmlib_backends.aci.group import Surroundings, group
from swarmlib_backends.aci.record import Record
from swarmlib_backends.dockerapi.canonical import canonical
from swarmlib_backends.registry.credentials import Credentials
from tests.support.creation_fields import FIELDS, differences_to_the_schema, is_in, of_type, unknown_patterns
from tests.support.paths import DATA

NOTHING = {
    "it is said again where it matters": ["Attach*", "HostConfig.ConsoleSize[]", "HostConfig.ContainerIDFile"],
    "an engine fills it in": [
        f"NetworkingConfig.EndpointsConfig.*.{name}"
        for name in ("NetworkID", "EndpointID", "Gateway", "IP*", "GlobalIPv6*", "DNSNames[]")
    ],
    "there is no swap": ["HostConfig.MemorySwap", "HostConfig.MemorySwappiness"],
    "it is of other systems, or of images": ["ArgsEscaped", "OnBuild[]", "HostConfig.Mounts[].Consistency", "Shell"],
    "nothing is copied": ["HostConfig.Mounts[].VolumeOptions.NoCopy"],
    "only what is published is open": ["ExposedPorts.*"],
    "it is the default": ["StopSignal", "HostConfig.CpuPeriod"],
}
"""The fields that ask Azure for nothing."""
AROUND: Mapping[str, dict[str, Any]] = {
    "HostConfig.Mounts[].": {"Type": "volume", "Target": "/mnt", "Source": "data"},
    "HostConfig.Mounts[].Tmpfs": {"Type": "tmpfs", "Target": "/mnt", "Source": ""},
}
"""What must stand beside a field, by the beginning of its place; the last one counts."""
AROUND_ALL = Surroundings(Aci(), "/subscriptions/s/resourceGroups/g", "account", "a2V5")


def made(body: dict[str, Any], around: Surroundings = AROUND_ALL, credentials: Credentials = Credentials()) -> Any:  # noqa: B008
    """The group of a body; but for what differs each time."""
    record = Record("1" * 64, "web", 0.0, {"Image": "busybox", **body}, "web-1")
    return group(record, around, credentials)


def group_of(body: dict[str, Any]) -> Any:
    """The group of a body without its record, or its refusal."""
    try:
        found = made(body)
    except SwarmError as exc:
        return str(exc)
    tags = {name: value for name, value in found["tags"].items() if not name.startswith("swarmlib.record")}
    return found | {"tags": tags}


def body_with(place: str, value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A body with a value at its place, and the same body without it."""
    around = next((each for start, each in reversed(AROUND.items()) if place.startswith(start)), None)
    if around is None:
        return value, {}
    mount = value["HostConfig"]["Mounts"][0]
    return {"HostConfig": {"Mounts": [around | mount]}}, {"HostConfig": {"Mounts": [around]}}


@given(st.data())
def test_any_field_changes_the_group_or_is_refused_or_is_listed_here(data: st.DataObject) -> None:
    place, kind, put = data.draw(st.sampled_from(FIELDS))
    body, without = body_with(place, put(data.draw(of_type(kind))))
    found = group_of(body)
    if isinstance(found, str):
        names = [name for name in place.replace("[]", "").split(".") if name != "*"]
        # An engine's own sentences, about values that no engine takes, name the value.
        assert any(name in found for name in names) or not found.startswith("a container on Azure can't have"), found
    else:
        assert found != group_of(without) or is_in(place, NOTHING), (place, body)


def test_what_is_listed_here_is_in_the_schema() -> None:
    assert unknown_patterns(NOTHING) == []


def test_the_table_has_the_fields_of_the_official_schema_and_no_others() -> None:
    assert differences_to_the_schema(fields.TABLE) == []


def test_what_the_docker_cli_sends_for_a_plain_container_asks_for_nothing() -> None:
    sent = orjson.loads((DATA / "docker-run-28.json").read_bytes())
    sent["HostConfig"] |= {"Binds": None, "NetworkMode": "default", "PortBindings": {}}
    asked = ("OpenStdin", "StdinOnce", "Tty", "WorkingDir", "User", "Hostname")
    body = {name: value for name, value in sent.items() if name not in asked}
    found = made(canonical(Request(Verb.SPAWN, ("containers",), {}, Json.from_data(body))).json)
    assert found["properties"]["restartPolicy"] == "Always"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"Tty": True}, "Tty (its command has no terminal; use docker exec -it)"),
        ({"OpenStdin": True}, "OpenStdin (its command has no input; use docker exec -it)"),
        ({"WorkingDir": "/app"}, "WorkingDir (the image decides about it"),
        ({"Env": ["PATH"]}, "Env 'PATH' (Azure can't remove a variable; give it a value)"),
        ({"HostConfig": {"PidsLimit": 5, "Privileged": True}}, "HostConfig.PidsLimit (Azure has --cpus and --memory"),
        ({"HostConfig": {"Binds": ["/srv:/data"]}}, "the mount '/srv' (there is no machine with folders"),
        (
            {"HostConfig": {"Tmpfs": {"/x": "size=1m"}}},
            "HostConfig.Tmpfs./x 'size=1m' (an empty folder has no options)",
        ),
        ({"HostConfig": {"PortBindings": {"80/sctp": [{}]}}}, "HostConfig.PortBindings.80/sctp (it can publish"),
        ({"HostConfig": {"Runtime": "runsc"}}, "HostConfig.Runtime (confidential is the only one"),
        ({"HostConfig": {"NetworkMode": "host"}}, "HostConfig.NetworkMode 'host' (its network is a delegated subnet"),
        ({"NewField": 1}, "NewField (swarmlib does not know this field)"),
    ],
)
def test_a_refusal_names_the_field_and_says_what_to_do(body: dict[str, Any], said: str) -> None:
    with pytest.raises(Unsupported) as raised:
        made(body)
    assert str(raised.value).startswith("a container on Azure can't have ")
    assert said in str(raised.value)


def test_cpus_and_memory_are_rounded_up_to_what_azure_takes() -> None:
    found = made({"HostConfig": {"NanoCpus": 1_234_567_890, "Memory": 2**30 + 1}})
    wanted = found["properties"]["containers"][0]["properties"]["resources"]["requests"]
    assert wanted == {"cpu": 1.24, "memoryInGB": 1.1}
    plain = made({})["properties"]["containers"][0]["properties"]["resources"]["requests"]
    assert plain == {"cpu": 1.0, "memoryInGB": 1.5}


def test_credentials_go_to_the_registry_of_the_image_and_are_not_shown() -> None:
    credentials = Credentials("me", "secret")
    found = made({"Image": "example.com/app"}, credentials=credentials)["properties"]["imageRegistryCredentials"]
    assert found == [{"server": "example.com", "username": "me", "password": "secret"}]
    assert "secret" not in repr(credentials)
    identity = Surroundings(Aci(identity="/i"), "/s")
    by_identity = made({"Image": "mine.azurecr.io/app"}, identity)
    assert by_identity["properties"]["imageRegistryCredentials"] == [{"server": "mine.azurecr.io", "identity": "/i"}]
    assert by_identity["identity"]["userAssignedIdentities"] == {"/i": {}}
    with pytest.raises(Unsupported, match="not by a token"):
        made({"Image": "example.com/app"}, credentials=Credentials(identity_token="t"))


LABELS = st.dictionaries(st.text(min_size=1, max_size=600), st.text(max_size=300), max_size=4)
WORDS = st.lists(st.text(max_size=20), min_size=1, max_size=4)


@given(LABELS, WORDS, WORDS, st.booleans())
def test_a_record_comes_back_from_the_tags_of_its_group(
    labels: dict[str, str], entrypoint: list[str], command: list[str], removes: bool
) -> None:
    body = {"Image": "busybox", "Entrypoint": entrypoint, "Cmd": command, "Labels": labels, "Env": ["A=b=c", "E="]}
    record = Record.new("Web_1.x", 1e9, {**body, "HostConfig": {"AutoRemove": removes}}, {})
    shown = group(record, AROUND_ALL, Credentials())
    assert all(len(name) <= 512 and len(value) <= 256 for name, value in shown["tags"].items())
    read = Record.of_group({"name": record.group, **shown})
    assert read is not None
    assert (read.id, read.name, read.created, read.group) == (record.id, "Web_1.x", 1e9, record.group)
    assert {name: read.body.get(name) for name in body} == body
    assert bool(read.host.get("AutoRemove")) is removes
    assert Record.read(record.written()) == record


def test_more_than_azures_tags_can_hold_is_refused() -> None:
    labels = {f"name-{number}": "x" for number in range(60)}
    with pytest.raises(TooLarge, match="the maximum is 50"):
        made({"Labels": labels})


def test_a_command_stands_behind_the_entrypoint_of_the_image() -> None:
    image = {"Entrypoint": ["/entry"], "Cmd": ["serve"]}
    assert Record.new("web", 0.0, {"Image": "app", "Cmd": ["sh"]}, image).command == ["/entry", "sh"]
    assert Record.new("web", 0.0, {"Image": "app"}, image).command == []  # Azure takes the image's own
