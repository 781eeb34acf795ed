"""What the description of a container demands: every field of the official schema, and every disguise, is known."""

import json
from typing import Any

import orjson
import pytest

from swarmlib import Json, Request, SwarmError, Verb
from swarmlib_backends.dockerapi import schema, table
from swarmlib_backends.dockerapi.canonical import canonical
from swarmlib_backends.policy import containers, document
from tests.support.paths import DATA

PROBES: list[dict[str, Any]] = json.loads((DATA / "policy" / "probes.json").read_text())
CREATES = [each for each in PROBES if each["path"].startswith("/v1.41/containers/create") and each["body"]]
DENIED = [each for each in CREATES if each["must"] == "deny"]
TYPES: dict[str, Any] = orjson.loads(schema.DATA.read_bytes())
EVEN_IF_EMPTY = {"MaskedPaths", "ReadonlyPaths"}


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> document.Document:
    monkeypatch.setenv("SRV", "/srv/alice")
    return document.parse((DATA / "policy" / "sandbox.toml").read_text(), "sandbox.toml")


def judged(policy: document.Document, body: Any, **params: str) -> document.Verdict:
    request = canonical(Request(Verb.SPAWN, ("containers",), params, Json.from_data(body)))
    return policy.judge(table.row_of(request.verb, request.path, upload=False), request)


def demanded(body: Any) -> set[tuple[str, str]]:
    return {(each.kind, each.value) for each in containers.read("", body)}


@pytest.mark.parametrize("probe", DENIED, ids=[each["name"] for each in DENIED])
def test_what_reaches_for_the_host_is_denied(probe: dict[str, Any], sandbox: document.Document) -> None:
    name = "0123456789ab" if "short" in probe["path"] else "probe"
    try:
        verdict = judged(sandbox, json.loads(probe["body"]), name=name)
    except (SwarmError, ValueError):
        return  # it has no canonical form, so no source lets it in
    of_others = {"create-net-of-other", "create-endpoint-of-other", "create-bind-named-volume-of-other"}
    if verdict.allowed and probe["name"] not in of_others:
        owned = {kind for kind, _ in demanded(json.loads(probe["body"]))}
        assert owned & {"volumes", "networks", "binds"}, f"{probe['why']}: nothing is left to confine"


def test_every_field_of_the_schema_is_known() -> None:
    for field in TYPES["rows"]["ContainerCreate"].keys() - schema.top_level_host_fields():
        if field not in ("HostConfig", "NetworkingConfig"):
            assert demanded({field: zero(TYPES["rows"]["ContainerCreate"][field])}) == set(), field
    for field in TYPES["types"]["HostConfig"].keys() - EVEN_IF_EMPTY:
        assert demanded({"HostConfig": {field: zero(TYPES["types"]["HostConfig"][field])}}) == set(), field


def zero(type_: Any) -> Any:
    if isinstance(type_, list) or type_ == "words":
        return []
    return {"string": "", "boolean": False}.get(type_, 0) if isinstance(type_, str) and type_[0] != "#" else {}


@pytest.mark.parametrize("place", ["", "HostConfig"])
def test_a_field_that_nobody_knows_is_demanded_even_if_it_is_empty(place: str) -> None:
    body = {"Brand": None} if not place else {place: {"Brand": None}}
    assert demanded(body) == {("fields", f"{place}.Brand".lstrip("."))}


@pytest.mark.parametrize("field", sorted(EVEN_IF_EMPTY))
def test_paths_that_are_unmasked_are_demanded(field: str) -> None:
    assert demanded({"HostConfig": {field: []}}) == {("fields", f"HostConfig.{field}")}


@pytest.mark.parametrize(
    ("host", "demand"),
    [
        ({"Binds": ["/etc:/x:ro,rshared"]}, {("binds", "/etc"), ("bind_options", "rshared")}),
        ({"Binds": ["data:/x"]}, {("volumes", "data")}),
        ({"Mounts": [{"Type": "bind", "Source": "/etc", "Target": "/x"}]}, {("binds", "/etc")}),
        ({"Mounts": [{"Type": "Bind", "Source": "/etc", "Target": "/x"}]}, {("fields", "HostConfig.Mounts")}),
        ({"Mounts": [{"Type": "image", "Source": "bobimage"}]}, {("images", "docker.io/library/bobimage:latest")}),
        (
            {"Mounts": [{"Type": "volume", "VolumeOptions": {"DriverConfig": {"Options": {"device": "/etc"}}}}]},
            {("volume_options", "device"), ("binds", "/etc")},
        ),
        ({"NetworkMode": "host"}, {("namespaces", "network=host")}),
        ({"NetworkMode": "container:x"}, {("namespaces", "network=container:x")}),
        ({"PidMode": "host"}, {("namespaces", "pid=host")}),
        ({"CapAdd": ["cap_sys_admin"]}, {("capabilities", "SYS_ADMIN")}),
        ({"PortBindings": {"80/tcp": [{"HostPort": "22"}], "81/tcp": None}}, {("ports", "*:22")}),
        ({"PublishAllPorts": True}, {("ports", "*:any")}),
        ({"SecurityOpt": ["no-new-privileges", "seccomp:unconfined"]}, {("security", "seccomp:unconfined")}),
        ({"PidsLimit": -1, "Memory": 0}, {("fields", "HostConfig.PidsLimit")}),
        ({"RestartPolicy": {"Name": "always"}}, {("restarts", "always")}),
    ],
)  # fmt: skip
def test_a_description_demands(host: dict[str, Any], demand: set[tuple[str, str]]) -> None:
    assert demanded({"HostConfig": host}) == demand
