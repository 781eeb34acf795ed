"""Every field of a creation is mapped or refused by its name: none is dropped."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlib import Json, Request, SwarmError, Unsupported, Verb
from swarmlib_backends.dockerapi.canonical import canonical
from swarmlib_backends.kubernetes.pods import fields, volumes
from swarmlib_backends.kubernetes.pods.connections import connections
from swarmlib_backends.kubernetes.pods.options import PodOptions
from tests.backends.kubernetes.pods.containers import OPTIONS, host, made, record
from tests.support.creation_fields import FIELDS, differences_to_the_schema, is_in, of_type, unknown_patterns
from tests.support.paths import DATA

OUTSIDE = {
    "the record has it, and the gateway does it": [
        *("Healthcheck.*", "Shell", "HostConfig.AutoRemove", "HostConfig.RestartPolicy.MaximumRetryCount"),
        *("HostConfig.PublishAllPorts", "HostConfig.PortBindings.*"),
    ],
    "the network's EndpointSlice has it": ["NetworkingConfig.EndpointsConfig.*.Aliases[]"],
    "the volume's claim has it": [
        f"HostConfig.Mounts[].VolumeOptions.{name}.*" for name in ("Labels", "DriverConfig.Options")
    ],
}
"""The fields that are mapped to something else than the Pod."""
NOTHING = {
    "it is said again where it matters": ["Attach*", "HostConfig.ConsoleSize[]", "HostConfig.ContainerIDFile"],
    "an engine fills it in": [
        f"NetworkingConfig.EndpointsConfig.*.{name}"
        for name in ("NetworkID", "EndpointID", "Gateway", "IP*", "GlobalIPv6*", "DNSNames[]")
    ],
    "there is no swap": ["HostConfig.MemorySwap", "HostConfig.MemorySwappiness"],
    "it is of other systems, or of images": ["ArgsEscaped", "OnBuild[]", "HostConfig.Mounts[].Consistency"],
    "there is nothing to be made": ["HostConfig.Mounts[].BindOptions.CreateMountpoint"],
    "the Pod has an init anyway": ["HostConfig.Init"],
}
"""The fields that ask a cluster for nothing."""
AROUND: Mapping[str, dict[str, Any]] = {
    "HostConfig.Mounts[].": {"Type": "volume", "Target": "/mnt", "Source": "data"},
    "HostConfig.Mounts[].Tmpfs": {"Type": "tmpfs", "Target": "/mnt", "Source": ""},
    "HostConfig.Mounts[].BindOptions": {"Type": "bind", "Target": "/mnt", "Source": "/mnt"},
}
"""What must stand beside a field, by the beginning of its place; the last one counts."""


def body_with(place: str, value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A body with a value at its place, and the same body without it."""
    around = next((each for start, each in reversed(AROUND.items()) if place.startswith(start)), None)
    if around is None:
        return value, {}
    mount = value["HostConfig"]["Mounts"][0]
    return host(Mounts=[around | mount]), host(Mounts=[around])


def pod_of(body: dict[str, Any]) -> Any:
    """The Pod of a body, or its refusal."""
    try:
        return made(body, PodOptions(namespace="ci", binds="copy"))
    except SwarmError as exc:
        return str(exc)


@given(st.data())
def test_any_field_changes_the_pod_or_is_refused_or_is_listed_here(data: st.DataObject) -> None:
    place, kind, put = data.draw(st.sampled_from(FIELDS))
    body, without = body_with(place, put(data.draw(of_type(kind))))
    found = pod_of(body)
    if isinstance(found, str):
        names = [name for name in place.replace("[]", "").split(".") if name != "*"]
        # An engine's own sentences, about values that no engine takes, name the value.
        assert any(name in found for name in names) or not found.startswith("a Pod can't have"), (place, body, found)
    else:
        assert found != pod_of(without) or is_in(place, OUTSIDE, NOTHING), (place, body)


def test_what_is_listed_here_is_in_the_schema() -> None:
    assert unknown_patterns(OUTSIDE, NOTHING) == []


def test_the_table_has_the_fields_of_the_official_schema_and_no_others() -> None:
    assert differences_to_the_schema(fields.TABLE) == []


def test_what_the_docker_cli_sends_for_a_plain_container_asks_for_nothing() -> None:
    sent = orjson.loads((DATA / "docker-run-28.json").read_bytes())
    sent["HostConfig"] |= {"Binds": None, "NetworkMode": "default"}
    request = Request(Verb.SPAWN, ("containers",), {}, Json.from_data(sent))
    body = canonical(request).json
    fields.check(body)
    found = made(body)
    assert found["spec"]["restartPolicy"] == "Always"


@pytest.mark.parametrize(
    ("fields_of_host", "said"),
    [
        ({"CpusetCpus": "0"}, "HostConfig.CpusetCpus (the CPU manager of a node assigns CPUs; limit them by --cpus)"),
        ({"Devices": [{"PathOnHost": "/dev/kvm"}]}, "HostConfig.Devices (devices come from device plugins"),
        ({"PidsLimit": 5, "CgroupParent": "/x"}, "HostConfig.PidsLimit (a node limits"),
        ({"PidsLimit": 5, "CgroupParent": "/x"}, "HostConfig.CgroupParent (the kubelet places"),
        ({"MaskedPaths": []}, "HostConfig.MaskedPaths (a Pod masks what"),
        ({"LogConfig": {"Type": "none"}}, "HostConfig.LogConfig.Type (a node keeps the logs"),
        ({"Mounts": [{"Type": "npipe", "Target": "/x"}]}, "HostConfig.Mounts[0].Type (volume, tmpfs and bind"),
        ({"NewField": 1}, "HostConfig.NewField (swarmlib does not know this field)"),
    ],
)
def test_a_refusal_names_the_field_and_says_what_to_do(fields_of_host: dict[str, Any], said: str) -> None:
    with pytest.raises(Unsupported) as raised:
        made(host(**fields_of_host))
    assert str(raised.value).startswith("a Pod can't have ")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    "fields_of_host",
    [
        {"PidsLimit": -1, "PidMode": "", "IpcMode": "private", "UsernsMode": "host", "CgroupnsMode": "private"},
        {"LogConfig": {"Type": "json-file", "Config": {}}, "VolumeDriver": "local", "Isolation": "default"},
        {"MemorySwappiness": -1, "ConsoleSize": [24, 80], "Ulimits": [], "Devices": None},
    ],
)
def test_defaults_ask_for_nothing(fields_of_host: dict[str, Any]) -> None:
    assert made(host(**fields_of_host)) == made()


def test_fields_of_several_networks_are_named_with_the_network() -> None:
    endpoints = {"front": {"Aliases": ["web"]}, "back": {"IPAMConfig": {"IPv4Address": "10.0.0.7"}}}
    with pytest.raises(Unsupported, match=r"NetworkingConfig.EndpointsConfig.back.IPAMConfig.IPv4Address \("):
        made({"NetworkingConfig": {"EndpointsConfig": endpoints}})


def test_an_endpoint_without_settings_is_one() -> None:
    body = {"NetworkingConfig": {"EndpointsConfig": {"front": None}}}
    assert [*connections(record(body))] == ["front"]
    fields.check(body)


def test_binds_are_refused_unless_they_are_copied() -> None:
    body = host(Binds=["/srv:/data:ro"])
    with pytest.raises(Unsupported, match=r"HostConfig\.Binds '/srv'"):
        made(body, OPTIONS)
    copied = PodOptions(binds="copy")
    (volume,) = made(body, copied)["spec"]["volumes"][1:]
    assert volume == {"name": "v0", "emptyDir": {}}
    (copy,) = volumes.volumes(record(body), copied)
    assert copy.bind == "/srv"
    assert copy.mount == {"name": "v0", "mountPath": "/data", "subPath": "copy", "readOnly": True}
