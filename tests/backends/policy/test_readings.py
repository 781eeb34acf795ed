"""How requests are read: each field and parameter of the official schema makes a demand, or is harmless by a list."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlib import Json, Request, SwarmError, Verb
from swarmlib_backends.dockerapi import schema, table
from swarmlib_backends.dockerapi.canonical import canonical
from swarmlib_backends.dockerapi.rows import ROWS, WHOLE, Row
from swarmlib_backends.policy.readings import demands
from tests.support.schema_places import SCHEMA, places

HARMLESS_FIELDS = {
    "the container's own process, and what it sees": [
        *("Hostname", "Domainname", "Env[]", "Cmd", "Cmd[]", "Entrypoint", "Shell", "WorkingDir", "ArgsEscaped"),
        *("Attach*", "Tty", "OpenStdin", "StdinOnce", "DetachKeys", "Detach", "ConsoleSize[]", "StopSignal"),
        *("StopTimeout", "Healthcheck.*", "HostConfig.ConsoleSize[]", "HostConfig.Init", "Init"),
        "HostConfig.AutoRemove",
    ],
    "a rule can require it of whoever sets it, and an image's own user may be root as well": ["User"],
    "takes privileges away": ["HostConfig.ReadonlyRootfs", "HostConfig.CapDrop", "NetworkDisabled"],
    "a limit, which a rule can require; lifting it is demanded": [
        f"{place}{name}"
        for place in ("", "HostConfig.")
        for name in ("Memory", "MemoryReservation", "MemorySwap", "NanoCpus", "CpuQuota", "CpuPeriod", "PidsLimit")
    ],
    "weighs against others only beyond the usual": ["*CpuShares", "*OomScoreAdj", "*MemorySwappiness"],
    "how often a restart is tried, if a policy restarts it at all": ["*RestartPolicy.MaximumRetryCount"],
    "the container's own files": ["Volumes.*", "HostConfig.Tmpfs.*"],
    "the container's own names and addresses, within its networks": [
        *("MacAddress", "ExposedPorts.*", "HostConfig.Dns*", "HostConfig.ExtraHosts[]"),
        *("EndpointConfig.IPAMConfig.*", "EndpointConfig.Aliases[]", "EndpointConfig.MacAddress"),
        *("EndpointConfig.GwPriority", "EndpointConfig.DNSNames[]"),
    ],
    "an engine fills it in, and ignores what a client says": [
        f"EndpointConfig.{name}" for name in ("NetworkID", "EndpointID", "Gateway", "IP*", "GlobalIPv6*")
    ],
    "about the object that is created, and seen by nobody else": [
        *(
            "Labels.*",
            "Name",
            "OnBuild[]",
            "CheckDuplicate",
            "Internal",
            "Attachable",
            "EnableIPv?",
            "Data",
            "Spec.Name",
        ),
        "Spec.Labels.*",
    ],
    "an owner's rule resolves it; without an owner, the rule allows the operation for any container": ["Container"],
    "an engine ignores it there": ["Image", "Force"],
    "credentials, which go to the registry that the rule allows": [
        *("username", "password", "email", "auth", "identitytoken", "registrytoken", "serveraddress"),
    ],
    "a secret that a manager checks": ["JoinToken", "UnlockKey"],
    "means nothing without the address of the authority": ["*ExternalCAs[].Protocol", "*ExternalCAs[].CACert"],
    "a service's own tasks": [
        f"TaskTemplate.ContainerSpec.{name}"
        for name in (
            *("Labels.*", "Command[]", "Args[]", "Hostname", "Env[]", "Dir", "User", "TTY", "OpenStdin", "ReadOnly"),
            *("StopSignal", "StopGracePeriod", "Hosts[]", "DNSConfig.*", "Init", "CapabilityDrop[]", "Healthcheck.*"),
            *("Privileges.NoNewPrivileges", "Privileges.Seccomp.Profile"),
        )
    ],
    "how many tasks there are, and where and how they are replaced": [
        *("TaskTemplate.Resources.*", "TaskTemplate.RestartPolicy.*", "TaskTemplate.Placement.*"),
        *("TaskTemplate.ForceUpdate", "Mode.*", "UpdateConfig.*", "RollbackConfig.*", "EndpointSpec.Mode"),
        *("*Networks[].Aliases[]", "TaskTemplate.PluginSpec.name", "TaskTemplate.PluginSpec.disabled"),
    ],
}
HARMLESS_PARAMETERS = {
    "what is shown, and how": [
        *("type", "verbose", "quiet", "since", "until", "before", "filters", "all", "limit", "size", "follow"),
        *(
            "stdout",
            "stderr",
            "timestamps",
            "tail",
            "details",
            "stream",
            "one-shot",
            "h",
            "w",
            "detachKeys",
            "logs",
            "stdin",
            "condition",
        ),
        *("digests", "shared-size", "manifests", "identity", "statement", "scope", "status", "insertDefaults"),
    ],
    "how it is done to the object itself": [
        *("ContainerStop.t", "ContainerRestart.t", "signal", "v", "force", "link", "noprune", "platforms", "timeout"),
        *("version", "platform", "noOverwriteDirNonDir", "copyUIDGID", "*-storage", "*-space", "registryAuthFrom"),
    ],
    "the container's own files, which are read": ["ContainerArchive.path", "ContainerArchiveInfo.path"],
    "read together with others": [
        *("Image*.tag", "ImageTag.repo", "ImageImport.fromImage", "ImageCommit.container"),
    ],
    "about the new image, and seen by nobody else": [
        *("message", "changes", "comment", "author", "pause", "ContainerCreate.name", "ContainerRename.name"),
    ],
    "a build's own files and image": [
        f"ImageBuild.{name}"
        for name in (
            *("dockerfile", "extrahosts", "q", "nocache", "pull", "rm", "forcerm", "squash", "target", "buildid"),
            *("buildargs", "labels"),
        )
    ],
    "a limit, which a rule can require; lifting it is demanded": [
        f"ImageBuild.{name}" for name in ("memory", "memswap", "cpuperiod", "cpuquota", "cpushares")
    ],
}


def is_listed(name: str, listed: dict[str, list[str]]) -> bool:
    return any(fnmatchcase(name, pattern.replace("[", "[[]")) for each in listed.values() for pattern in each)


def fields() -> Iterator[tuple[Row, str, Any, Any]]:
    for row in ROWS:
        type_ = SCHEMA["rows"].get(row.name)
        moved = schema.top_level_host_fields() if row.name == "ContainerCreate" else frozenset[str]()
        for place, kind, put in places(type_, key="key") if type_ is not None else ():
            if place.partition(".")[0].partition("[")[0] not in moved:
                yield row, place, kind, put


FIELDS = list(fields())
WORDS = st.text("xyz", min_size=3)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("string", "string?"), WORDS),
    "boolean": st.just(True),
    "float64": st.floats(0.1, 9),
    "words": st.lists(WORDS, min_size=1),
    "base64": st.just("YWJj"),
    "any": st.integers(1, 9),
    "object": st.none(),
}


def of_type(kind: str) -> st.SearchStrategy[Any]:
    if kind not in schema.INTEGERS:
        return VALUES[kind]
    allowed = schema.INTEGERS[kind]
    return st.integers(allowed.start, allowed.stop - 1).filter(lambda number: number != 0)


def made(row: Row, params: dict[str, Any] | None = None, body: Any = None) -> set[tuple[str, str]]:
    """The demands that a request makes."""
    request = Request(row.verb, row.path("x"), params or {}, None if body is None else Json.from_data(body))
    return {(each.kind, each.value) for each in demands(row, request)}


def empty(body: Any) -> Any:
    return [] if isinstance(body, list) else {}


@given(st.data())
def test_any_field_demands_something_or_is_on_the_list_of_the_harmless(data: st.DataObject) -> None:
    row, place, kind, put = data.draw(st.sampled_from(FIELDS))
    body = put(data.draw(of_type(kind)))
    new = made(row, {}, body) - made(row, {}, empty(body))
    assert new or is_listed(place, HARMLESS_FIELDS), (row.name, place, body)


def harmless_fields() -> set[str]:
    examples = {"boolean": True, "float64": 0.5, "words": ["x"], "base64": "YWJj", "object": None, "any": 1}
    found: set[str] = set()
    for row, place, kind, put in FIELDS:
        body = put(examples.get(kind, 1 if kind in schema.INTEGERS else "xyz"))
        if not made(row, {}, body) - made(row, {}, empty(body)):
            found.add(place)
    return found


def test_the_list_of_harmless_fields_is_complete_and_no_longer_than_it_must_be() -> None:
    found = harmless_fields()
    assert [place for place in found if not is_listed(place, HARMLESS_FIELDS)] == []
    patterns = [pattern for each in HARMLESS_FIELDS.values() for pattern in each]
    assert [pattern for pattern in patterns if not any(is_listed(place, {"": [pattern]}) for place in found)] == []


@pytest.mark.parametrize("row", [row for row in ROWS if row.params.declared], ids=lambda row: row.name)
def test_any_parameter_demands_something_or_is_on_the_list_of_the_harmless(row: Row) -> None:
    for name, parameter in row.params.declared.items():
        found = 0
        for text in ("xyz", "7000", "-7", "1", '{"a":["b"]}', '{"a":"b"}', '["b"]', '[{"Type":"x"}]'):
            try:
                value = parameter.canonical(text)
            except Exception:  # noqa: BLE001 - of another type
                continue
            found += len(made(row, {name: value}) - made(row))
        assert found or is_listed(name, HARMLESS_PARAMETERS) or is_listed(f"{row.name}.{name}", HARMLESS_PARAMETERS), (
            name
        )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_is_unknown_or_not_looked_into_is_demanded(row: Row) -> None:
    assert made(row, {"brandnew": "1"}) == made(row) | {("parameters", "brandnew")}
    if not row.upload and not isinstance(SCHEMA["rows"].get(row.name), list):
        assert made(row, {}, {"Brand": None}) == made(row, {}, {}) | {("fields", "Brand")}
    if row.upload and row.name != "PutContainerArchive":  # whose folder is demanded
        assert ("uploads", row.name) in made(row)


def objects(type_: Any) -> Iterator[Any]:
    """A function for each object of a type, which puts it there."""
    if isinstance(type_, str) and type_.startswith("#"):
        yield from objects(SCHEMA["types"][type_[1:]])
    elif isinstance(type_, list):
        for put in objects(type_[0]):
            yield lambda value, put=put: [put(value)]
    elif isinstance(type_, dict):
        fields: dict[str, Any] = type_
        if "*" not in fields:
            yield lambda value: value
        for name, each in fields.items():
            for put in objects(each):
                yield lambda value, put=put, name=name: {"key" if name == "*" else name: put(value)}


@pytest.mark.parametrize("row", [row for row in ROWS if row.name in SCHEMA["rows"]], ids=lambda row: row.name)
def test_an_unknown_field_is_demanded_however_deep_it_is(row: Row) -> None:
    moved = schema.top_level_host_fields() if row.name == "ContainerCreate" else frozenset[str]()
    for put in objects(SCHEMA["rows"][row.name]):
        body = put({"Brand": 1})
        if isinstance(body, dict) and body.keys() & moved:
            continue
        demanded = any(kind == "fields" for kind, _ in made(row, {}, body))
        assert demanded or body.keys() & {"ExposedPorts", "Volumes"}, body  # which are sets of names


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("/v1.41/session", "POST /session"),
        ("/sess%69on", "POST /session"),
        ("/grpc?x=1", "POST /grpc"),
        ("//session", "POST //session"),
        ("/%zz", "POST /%zz"),
    ],
)
def test_a_request_without_a_row_is_demanded_as_the_engine_decodes_it(target: str, value: str) -> None:
    request = Request(Verb.CONNECT, ("whole",), {"method": "POST", "target": target})
    assert [(each.kind, each.value) for each in demands(WHOLE, request)] == [("unjudged", value)]


def demanded(verb: Verb, path: tuple[str, ...], params: dict[str, Any], body: Any = None) -> set[tuple[str, str]]:
    request = canonical(Request(verb, path, params, None if body is None else Json.from_data(body)))
    return {(each.kind, each.value) for each in demands(table.row_of(verb, path, upload=False), request)}


@pytest.mark.parametrize(
    ("field", "kind"),
    [("Links", "links"), ("VolumesFrom", "volumes_from"), ("GroupAdd", "groups"), ("DeviceCgroupRules", "devices")],
)
def test_an_empty_text_in_a_list_is_demanded_too(field: str, kind: str) -> None:
    body = {"Image": "busybox", "HostConfig": {field: [""]}}
    assert (kind, "") in demanded(Verb.SPAWN, ("containers",), {}, body)


LIBRARY = "docker.io/library"
HUB = f"{LIBRARY}/busybox"
DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("params", "demand"),
    [
        ({"fromImage": "busybox", "tag": "latest"}, ("images", f"{HUB}:latest")),
        ({"fromImage": "busybox:1"}, ("images", f"{HUB}:1")),
        ({"fromImage": "busybox:1", "tag": "2"}, ("images", f"{HUB}:2")),
        ({"fromImage": "busybox"}, ("images", f"{HUB}:*")),
        ({"fromImage": "busybox:"}, ("images", f"{HUB}:*")),
        ({"fromImage": "busybox", "tag": DIGEST}, ("images", f"{HUB}@{DIGEST}")),
        ({"fromImage": f"busybox@{DIGEST}", "tag": "1"}, ("images", f"{HUB}@{DIGEST}")),
        ({"fromImage": f"127.0.0.1:1/busybox@{DIGEST}"}, ("images", f"127.0.0.1:1/busybox@{DIGEST}")),
        ({"fromImage": "index.docker.io/busybox", "tag": "1"}, ("images", f"{HUB}:1")),
        ({"fromImage": "ea5c", "tag": "1"}, ("images", "docker.io/library/ea5c:1")),
        ({"fromImage": "Busybox", "tag": "1"}, ("fields", "fromImage")),
        ({"fromSrc": "http://127.0.0.1:1/x.tar", "repo": "x"}, ("urls", "http://127.0.0.1:1/x.tar")),
        ({"fromSrc": "http://127.0.0.1:1/x.tar", "repo": "x"}, ("tags", "docker.io/library/x:latest")),
    ],
)
def test_a_pull_demands_what_the_engine_would_fetch(params: dict[str, str], demand: tuple[str, str]) -> None:
    assert demand in demanded(Verb.SPAWN, ("images",), params)


@pytest.mark.parametrize(
    ("verb", "path", "params", "demands"),
    [
        (Verb.SET, ("images", "a", "tag"), {"repo": "b"}, {("image_ids", "a"), ("tags", f"{LIBRARY}/b:latest")}),
        (
            Verb.SET,
            ("images", "x/y:1", "tag"),
            {"repo": "b", "tag": "2"},
            {("images", "docker.io/x/y:1"), ("tags", f"{LIBRARY}/b:2")},
        ),
        (Verb.SET, ("images", "x/y", "push"), {}, {("tags", "docker.io/x/y:*")}),
        (Verb.SET, ("images", "x/y:1", "push"), {}, {("tags", "docker.io/x/y:1")}),
        (Verb.SET, ("images", "x/y", "push"), {"tag": "1"}, {("tags", "docker.io/x/y:1")}),
        (Verb.RM, ("images", "x/y"), {}, {("tags", "docker.io/x/y:latest")}),
        (Verb.RM, ("images", "ea5c16"), {}, {("tag_ids", "ea5c16")}),
        (Verb.FILE, ("images", "x/y"), {}, {("images", "docker.io/x/y:*")}),
        (Verb.FILE, ("images",), {"names": ["x/y:1", "ea5c"]}, {("images", "docker.io/x/y:1"), ("image_ids", "ea5c")}),
        (Verb.GET, ("distribution", "127.0.0.1:1/x"), {}, {("images", "127.0.0.1:1/x:latest")}),
        (Verb.GET, ("search",), {"term": "127.0.0.1:1/x"}, {("registries", "127.0.0.1:1")}),
        (Verb.GET, ("search",), {"term": "library/x"}, {("registries", "docker.io")}),
        (Verb.SPAWN, ("commit",), {"container": "c", "repo": "busybox"}, {("tags", f"{HUB}:latest")}),
        (Verb.SET, ("containers", "c", "rename"), {"name": "0123456789ab"}, {("names", "0123456789ab")}),
        (Verb.START, ("containers", "c"), {"checkpoint": "one"}, {("checkpoints", "one")}),
        (Verb.GET, ("containers", "c", "top"), {"ps_args": "-o pid,args"}, {("ps_args", "-o pid,args")}),
    ],
)
def test_paths_and_parameters_demand(
    verb: Verb, path: tuple[str, ...], params: dict[str, Any], demands: set[tuple[str, str]]
) -> None:
    assert demanded(verb, path, params) == demands


@pytest.mark.parametrize(
    ("params", "demand"),
    [
        ({"networkmode": "host"}, ("namespaces", "network=host")),
        ({"networkmode": "container:victim"}, ("namespaces", "network=container:victim")),
        ({"networkmode": "bobnet"}, ("networks", "bobnet")),
        ({"remote": "http://127.0.0.1:1/ctx.tar"}, ("urls", "http://127.0.0.1:1/ctx.tar")),
        ({"t": ["x", "busybox"]}, ("tags", f"{HUB}:latest")),
        ({"version": "2"}, ("build", "version=2")),
        ({"session": "of-another"}, ("build", "session=of-another")),
        ({"outputs": '[{"Type":"local"}]'}, ("build", "outputs=local")),
        ({"cachefrom": '["bobimage"]'}, ("images", "docker.io/library/bobimage:latest")),
        ({"cachefrom": '["ea5c"]'}, ("images", "ea5c")),
        ({"securityopt": "seccomp=unconfined"}, ("security", "seccomp=unconfined")),
        ({"ulimits": '[{"Name":"nofile","Soft":1,"Hard":2}]'}, ("ulimits", "nofile=1:2")),
        ({"cgroupparent": "/"}, ("cgroups", "/")),
        ({"memory": "-1"}, ("fields", "memory")),
        ({"shmsize": "7"}, ("shm", "7")),
    ],
)
def test_a_build_demands(params: dict[str, Any], demand: tuple[str, str]) -> None:
    row = next(row for row in ROWS if row.name == "ImageBuild")
    request = Request(row.verb, row.path(""), row.params.read(params))
    assert demand in {(each.kind, each.value) for each in demands(row, request)}


@pytest.mark.parametrize(
    ("task", "demand"),
    [
        ({"ContainerSpec": {"Image": "evil"}}, ("images", "docker.io/library/evil:latest")),
        ({"ContainerSpec": {"Mounts": [{"Type": "bind", "Source": "/"}]}}, ("binds", "/")),
        ({"ContainerSpec": {"CapabilityAdd": ["CAP_ALL"]}}, ("capabilities", "ALL")),
        ({"ContainerSpec": {"Privileges": {"Seccomp": {"Mode": "unconfined"}}}}, ("security", "seccomp=unconfined")),
        ({"ContainerSpec": {"Privileges": {"AppArmor": {"Mode": "disabled"}}}}, ("security", "apparmor=disabled")),
        ({"ContainerSpec": {"Privileges": {"SELinuxContext": {"Disable": True}}}}, ("security", "label=disable")),
        ({"ContainerSpec": {"Secrets": [{"SecretID": "x", "SecretName": "db"}]}}, ("secrets", "db")),
        ({"ContainerSpec": {"Sysctls": {"kernel.msgmax": "1"}}}, ("sysctls", "kernel.msgmax")),
        ({"Networks": [{"Target": "host"}]}, ("namespaces", "network=host")),
        ({"Networks": [{"Target": "bobnet"}]}, ("networks", "bobnet")),
        ({"LogDriver": {"Options": {"gelf-address": "udp://x"}}}, ("log_options", "gelf-address=udp://x")),
        ({"PluginSpec": {"remote": "evil/x"}}, ("plugins", "docker.io/evil/x:latest")),
        ({"PluginSpec": {"privileges": [{"name": "mount", "value": ["/"]}]}}, ("plugin_privileges", "mount=/")),
        ({"Resources": {"Limits": {"Pids": -1}}}, ("fields", "TaskTemplate.Resources.Limits.Pids")),
    ],
)
def test_a_service_demands_what_a_container_would(task: dict[str, Any], demand: tuple[str, str]) -> None:
    assert demand in demanded(Verb.SPAWN, ("services",), {}, {"TaskTemplate": task})


def test_a_container_without_an_image_is_of_no_image_that_a_rule_lists() -> None:
    for body in ({"Cmd": ["true"]}, {"Image": ""}, {"Image": None}):
        assert demanded(Verb.SPAWN, ("containers",), {}, body) == {("images", "")}


@pytest.mark.parametrize(
    ("address", "registry"),
    [
        ("http://127.0.0.1:1", "127.0.0.1:1"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("", "docker.io"),
        ("ghcr.io", "ghcr.io"),
        ("https://ghcr.io@evil.com", "ghcr.io@evil.com"),
    ],
)
def test_a_password_is_tried_at_the_registries_of_a_rule(address: str, registry: str) -> None:
    body = {"username": "a", "password": "b"} | ({"serveraddress": address} if address else {})
    assert demanded(Verb.SET, ("auth",), {}, body) == {("registries", registry)}


def test_what_has_no_canonical_form_is_not_judged() -> None:
    with pytest.raises(SwarmError):
        demanded(Verb.SPAWN, ("services",), {}, {"TaskTemplate": {"ContainerSpec": {"Image": 1}}})
