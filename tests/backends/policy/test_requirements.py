"""What a rule requires of containers, whichever operation describes them."""

from typing import Any

import pytest

from swarmlib import Json, Operation, Request, Verb
from swarmlib_backends.dockerapi import table
from swarmlib_backends.dockerapi.canonical import canonical
from swarmlib_backends.dockerapi.rows import ROWS
from swarmlib_backends.policy import document
from tests.backends.policy.test_document import verdict

ALL = """
[[rule]]
allow = ["Container*", "Service*", "ImageBuild"]
[rule.container]
images = ["busybox"]
uploads = ["*"]
"""
UPDATE = Operation(Verb.SET, ("containers", "web", "update"))


def refused(line: str, operation: Operation, body: Any = None) -> str:
    asked = Operation(operation.verb, operation.path, operation.params, body=Json.from_data(body))
    request = canonical(Request.of(asked))
    row = table.row_of(request.verb, request.path, upload=False)
    return document.parse(f"{ALL}{line}\n", "rules.toml").judge(row, request).reason


def create(line: str, body: dict[str, Any]) -> str:
    return refused(line, Operation(Verb.SPAWN, ("containers",)), {"Image": "busybox", **body})


@pytest.mark.parametrize(
    ("line", "body", "missed"),
    [
        ('memory = "64m"', {"Memory": 64 << 20}, ""),
        ('memory = "64m"', {"Memory": 65 << 20}, "at most 64MiB of memory"),
        ('memory = "64m"', {"CpuShares": 7, "Memory": 0, "MemorySwap": 0}, ""),
        ('memory = "64m"', {"MemorySwap": -1}, "memory and swap"),
        ('memory = "64m"', {"MemorySwap": 1 << 40}, "memory and swap"),
        ("cpus = 1", {"NanoCpus": 0, "CpuQuota": 0, "CpuPeriod": 0}, ""),
        ("cpus = 1", {"NanoCpus": 2_000_000_000}, "at most 1 CPUs"),
        ("cpus = 1", {"CpuQuota": 50_000, "CpuPeriod": 100_000}, ""),
        ("cpus = 1", {"CpuPeriod": 1_000}, "at most 1 CPUs"),
        ("cpus = 1", {"CpuQuota": 500_000}, "at most 1 CPUs"),
        ("pids = 10", {"PidsLimit": 10}, ""),
        ("pids = 10", {"PidsLimit": 0}, "at most 10 processes"),
        ("pids = 10", {"PidsLimit": -1}, "at most 10 processes"),
        ("pids = 10", {"PidsLimit": None}, ""),
        ("", {"PidsLimit": -1}, "PidsLimit asks for"),
        ("", {"CpuShares": 262144}, "priorities of the rule does not list"),
        ("", {"RestartPolicy": {"Name": "always"}}, "restarts of the rule does not list"),
    ],
)
def test_an_update_raises_no_limit_that_is_required(line: str, body: dict[str, Any], missed: str) -> None:
    found = refused(line, UPDATE, body)
    assert missed in found
    assert bool(found) == bool(missed)


@pytest.mark.parametrize(
    ("user", "allowed"),
    [
        ("1000", True),
        ("1000:1000", True),
        ("", False),
        ("0", False),
        ("0:0", False),
        ("root", False),
        ("1000:0", False),
        ("1000:root", False),
        ("00", False),
        ("+0", False),
        ("-1", False),
        ("4294967296", False),
        ("app", True),
        ("1000\n", False),
    ],
)
def test_a_user_other_than_root_can_be_required_of_containers_and_commands(user: str, allowed: bool) -> None:
    line = 'users = ["nonroot", "app"]'
    command = Operation(Verb.SPAWN, ("containers", "web", "exec"))
    service = Operation(Verb.SPAWN, ("services",))
    task = {"ContainerSpec": {"Image": "busybox", "User": user}}
    for found in (
        create(line, {"User": user}),
        refused(line, command, {"Cmd": ["id"], "User": user}),
        refused(line, service, {"TaskTemplate": task}),
    ):
        assert ("one of the users" not in found) is allowed


@pytest.mark.parametrize(
    ("line", "host", "missed"),
    [
        ("read_only = true", {"ReadonlyRootfs": True}, ""),
        ("read_only = true", {}, "read-only root file system"),
        ("no_new_privileges = true", {"SecurityOpt": ["no-new-privileges"]}, ""),
        ("no_new_privileges = true", {"SecurityOpt": ["no-new-privileges:true"]}, ""),
        ("no_new_privileges = true", {}, "no-new-privileges"),
        (
            'no_new_privileges = true\nsecurity = ["**"]',
            {"SecurityOpt": ["no-new-privileges", "no-new-privileges:false"]},
            "no-new-privileges",
        ),
        ('drop_capabilities = ["NET_RAW"]', {"CapDrop": ["cap_net_raw"]}, ""),
        ('drop_capabilities = ["NET_RAW"]', {"CapDrop": ["ALL"]}, ""),
        ('drop_capabilities = ["all"]', {"CapDrop": ["NET_RAW"]}, "without the capabilities ALL"),
        ('runtime = "runsc"\nruntimes = ["runsc"]', {"Runtime": "runsc"}, ""),
        ('runtime = "runsc"\nruntimes = ["runsc"]', {}, "the runtime 'runsc'"),
    ],
)
def test_less_privileges_can_be_required(line: str, host: dict[str, Any], missed: str) -> None:
    found = create(line, {"HostConfig": host})
    assert missed in found
    assert bool(found) == bool(missed)


@pytest.mark.parametrize(
    ("line", "task", "missed"),
    [
        ('memory = "64m"', {"Resources": {"Limits": {"MemoryBytes": 1 << 20}}}, ""),
        ('memory = "64m"', {}, "at most 64MiB of memory"),
        ("cpus = 1", {"Resources": {"Limits": {"NanoCPUs": 2_000_000_000}}}, "at most 1 CPUs"),
        ("pids = 10", {"Resources": {"Limits": {"Pids": 11}}}, "at most 10 processes"),
        ("read_only = true", {"ContainerSpec": {"ReadOnly": True}}, ""),
        ("no_new_privileges = true", {"ContainerSpec": {"Privileges": {"NoNewPrivileges": True}}}, ""),
        ("no_new_privileges = true", {}, "no-new-privileges"),
        ('runtime = "runsc"', {}, "the runtime 'runsc'"),
    ],
)
def test_the_tasks_of_a_service_have_what_is_required(line: str, task: dict[str, Any], missed: str) -> None:
    found = refused(line, Operation(Verb.SPAWN, ("services",)), {"TaskTemplate": task})
    assert missed in found
    assert bool(found) == bool(missed)


@pytest.mark.parametrize(
    ("line", "params", "allowed"),
    [
        ('memory = "64m"', {}, False),
        ('memory = "64m"', {"memory": "1048576"}, True),
        ('memory = "64m"', {"memory": "1048576", "memswap": "-1"}, False),
        ("cpus = 1", {"cpuquota": "100000"}, True),
        ("cpus = 1", {"cpuquota": "100000", "cpuperiod": "1000"}, False),
    ],
)
def test_a_build_has_the_limits_that_are_required(line: str, params: dict[str, str], allowed: bool) -> None:
    row = next(row for row in ROWS if row.name == "ImageBuild")
    request = Request(row.verb, row.path(""), row.params.read(params))
    found = document.parse(f"{ALL}{line}\n", "rules.toml").judge(row, request)
    assert ("it needs a limit" not in found.reason) is allowed


DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("image", "allowed"),
    [("busybox", False), ("busybox:1", False), (f"busybox@{DIGEST}", True), (f"busybox:1@{DIGEST}", True)],
)
def test_images_can_be_required_to_be_named_by_digest(image: str, allowed: bool) -> None:
    allow = 'allow = ["ContainerCreate", "ImageCreate"]'
    text = f'[[rule]]\n{allow}\n[rule.container]\nimages = ["**"]\nimages_pinned = true\n'
    body = Json.from_data({"Image": image, "HostConfig": {"Mounts": [{"Type": "image", "Source": image}]}})
    assert verdict(text, Operation(Verb.SPAWN, ("containers",), body=body)).allowed is allowed
    assert verdict(text, Operation(Verb.SPAWN, ("images",), {"fromImage": image})).allowed is allowed


@pytest.mark.parametrize(
    ("pattern", "image", "allowed"),
    [
        ("busybox", "docker.io/library/busybox:latest", True),
        ("busybox", "busybox:1", False),
        ("docker.io/**", "busybox:1", True),
        ("docker.io/**", "team/app", True),
        ("docker.io/*", "busybox:1", True),
        ("docker.io/*", "team/app", False),
        ("index.docker.io/team/*", "team/app:2", True),
        ("docker.io/**", "ghcr.io/team/app", False),
        ("docker.io/**", "docker.io.evil.com/x", False),
        ("docker.io/**", "EVIL/x", False),
        ("docker.io/**", "Docker.io/x", False),
        ("*", "busybox:1", True),
        ("*", "evil.com/busybox", False),
        ("team/*", "team/app", True),
        ("team/*", "evil.com/team/app", False),
        ("ghcr.io/team/**", "ghcr.io/team/a/b:1", True),
        ("**", "evil.com/x", True),
        ("busybox@sha256:*", f"busybox@{DIGEST}", True),
        ("busybox@sha256:*", "busybox", False),
        ("busybox:*", f"busybox@{DIGEST}", False),
        ("busybox", "evil:1/busybox", False),
    ],
)
def test_images_are_allowed_by_name_registry_and_digest(pattern: str, image: str, allowed: bool) -> None:
    text = f'[[rule]]\nallow = ["ContainerCreate"]\n[rule.container]\nimages = ["{pattern}"]\n'
    body = Json.from_data({"Image": image})
    assert verdict(text, Operation(Verb.SPAWN, ("containers",), body=body)).allowed is allowed


@pytest.mark.parametrize(
    ("kind", "allowed", "denied"),
    [
        ('shm = "64MiB"', {"ShmSize": 64 << 20}, {"ShmSize": (64 << 20) + 1}),
        ('ulimits = ["nofile=*"]', {"Ulimits": [{"Name": "nofile", "Soft": 1}]}, {"Ulimits": [{"Name": "core"}]}),
        ('storage = ["size=1G"]', {"StorageOpt": {"size": "1G"}}, {"StorageOpt": {"size": "500G"}}),
        ('cgroups = ["/ci/*"]', {"CgroupParent": "/ci/a"}, {"CgroupParent": "/"}),
        ('cpusets = ["0-1"]', {"CpusetCpus": "0-1"}, {"CpusetCpus": "0-3"}),
        ('priorities = ["OomScoreAdj=-5"]', {"OomScoreAdj": -5}, {"OomScoreAdj": -1000}),
        ('annotations = ["dev.gvisor.*"]', {"Annotations": {"dev.gvisor.x": "1"}}, {"Annotations": {"other": "1"}}),
        (
            'log_drivers = ["syslog"]\nlog_options = ["syslog-address=udp://logs:514"]',
            {"LogConfig": {"Type": "syslog", "Config": {"syslog-address": "udp://logs:514", "tag": "x"}}},
            {"LogConfig": {"Type": "syslog", "Config": {"syslog-address": "unix:///dev/log"}}},
        ),
    ],
)
def test_what_a_container_takes_of_its_host_is_granted_by_kind(
    kind: str, allowed: dict[str, Any], denied: dict[str, Any]
) -> None:
    assert create(kind, {"HostConfig": allowed}) == ""
    assert create(kind, {"HostConfig": denied}) != ""
    assert create("", {"HostConfig": allowed}) != ""


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://example.com/team/x.tar", True),
        ("https://example.com/other/x.tar", False),
        ("https://example.com/team/../other/x.tar", False),
        ("https://example.com/team/%2e%2e/other/x.tar", False),
        ("https://example.com/team/\\..", False),
        ("https://example.com/team@evil.com", False),
    ],
)
def test_what_an_engine_fetches_is_granted_by_its_url(url: str, allowed: bool) -> None:
    text = '[[rule]]\nallow = ["ImageCreate"]\n[rule.container]\ntags = ["x"]\nurls = ["https://example.com/team/**"]\n'
    assert verdict(text, Operation(Verb.SPAWN, ("images",), {"fromSrc": url, "repo": "x"})).allowed is allowed
