"""What rules redact: every field of every answer of the official schema that may hold it, and no other."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from swarmlib import Ack, Chain, Client, Invalid, Json, Request, Set, Verb, ask, connect
from swarmlib_backends.dockerapi import table
from swarmlib_backends.dockerapi.canonical import canonical
from swarmlib_backends.policy import Policy, document
from swarmlib_backends.policy.redaction import Redaction
from swarmlib_backends.simulator import Simulator
from swarmlib_backends.toml_tables import Table
from tests.support.answer_samples import answers, places
from tests.support.paths import DATA

ALL = 'env = ["*"]\nlabels = ["*"]\nargs = true\nmounts = true\n'
COMMANDS = ("Cmd", "Entrypoint", "Args", "arguments", "Test", "Shell", "OnBuild")
HOLDING: Mapping[str, Any] = {
    "Env": ["TOKEN=canary"],
    **{name: ["canary"] for name in COMMANDS},
    **{name: {"a/secret": "canary"} for name in ("Labels", "Annotations", "Attributes")},
    **dict.fromkeys(("Command", "entrypoint", "CreatedBy", "Output", "Err"), "canary"),
    **dict.fromkeys(("Source", "Mountpoint"), "/canary"),
    "Action": "exec_create: canary",
    "Binds": ["/canary:/x:ro"],
    "Processes": [["1", "canary"]],
}
"""What the fields of an answer hold that are to be redacted."""
OTHERS = {("SystemInfo", "DiscoveredDevices")}
"""Fields of answers in which a name means something else."""


def redaction(text: str = ALL) -> Redaction:
    return Redaction.read(Table.parse(text, "rules.toml"))


def shown(operation: str, value: Any, text: str = ALL) -> Any:
    return redaction(text).by_operation[operation](value)


@pytest.mark.parametrize("version", ["41", "56"])
def test_every_field_of_the_schema_that_holds_it_is_redacted(version: str) -> None:
    by_operation = redaction().by_operation
    for operation, answer in answers(DATA / f"docker-v1.{version}.yaml", HOLDING):
        left = by_operation[operation](answer) if operation in by_operation else answer
        found = {place for place in places(left, "canary") if (operation, place[0]) not in OTHERS}
        assert not found, operation


@pytest.mark.parametrize(
    ("operation", "given", "left"),
    [
        ("ContainerInspect", {"Path": "sh", "Args": ["-c", "x"]}, {"Path": "***", "Args": ["***", "***"]}),
        ("ContainerInspect", {"Name": "/web", "Config": {"Env": None}}, {"Name": "/web", "Config": {"Env": None}}),
        ("ContainerInspect", {"State": {"Error": "exec: x"}}, {"State": {"Error": "***"}}),
        ("ContainerInspect", {"HostConfig": {"Binds": ["data:/x", "/etc:/y:ro"]}},
         {"HostConfig": {"Binds": ["data:/x", "***:/y:ro"]}}),
        ("VolumeList", {"Volumes": [{"Name": "a", "Options": {"device": "/etc"}}]},
         {"Volumes": [{"Name": "a", "Options": {"device": "***"}}]}),
        ("SystemEvents", {"Action": "exec_start: sh -c x", "status": "exec_start: sh -c x", "id": "1"},
         {"Action": "exec_start: ***", "status": "exec_start: ***", "id": "1"}),
        ("SystemEvents", {"Action": "health_status: healthy"}, {"Action": "health_status: healthy"}),
        ("SystemEvents", {"Actor": {"Attributes": {"name": "web", "x": "y"}}},
         {"Actor": {"Attributes": {"name": "web", "x": "***"}}}),
        ("SystemInfo", {"Labels": ["a=b"], "Name": "host"}, {"Labels": ["a=***"], "Name": "host"}),
        ("PluginList", [{"Config": {"Env": [{"Name": "A", "Value": "b"}]}}],
         [{"Config": {"Env": [{"Name": "A", "Value": "***"}]}}]),
        # What has another shape than it should is hidden.
        ("ContainerInspect", {"Config": "TOKEN=1"}, {"Config": "***"}),
        ("ContainerInspect", {"Config": {"Env": "A=1", "Labels": [{"a": "b"}]}},
         {"Config": {"Env": "A=***", "Labels": [{"a": "***"}]}}),
        ("ContainerTop", {"Processes": ["sh"]}, {"Processes": ["***"]}),
    ],
)  # fmt: skip
def test_what_is_left(operation: str, given: Any, left: Any) -> None:
    assert shown(operation, given) == left


@pytest.mark.parametrize(
    ("table", "given", "left"),
    [
        ('env = ["*TOKEN*"]', ["my_token_2=1", "TOKEN=2", "PATH=/bin"], ["my_token_2=***", "TOKEN=***", "PATH=/bin"]),
        ('env = ["*TOKEN*"]', ["TOKEN"], ["TOKEN"]),
        ('env = "A?"', ["AB=1", "A=1", "ABC=1"], ["AB=***", "A=1", "ABC=1"]),
        ("args = true", ["TOKEN=2"], ["TOKEN=2"]),
    ],
)  # fmt: skip
def test_variables_are_redacted_by_name(table: str, given: list[str], left: list[str]) -> None:
    assert shown("ContainerInspect", {"Config": {"Env": given}}, table) == {"Config": {"Env": left}}


def test_labels_are_redacted_by_name() -> None:
    labels = {"team/secret-x": "1", "other": "2"}
    assert shown("NetworkInspect", {"Labels": labels}, 'labels = ["*secret*"]') == {
        "Labels": {**labels, "team/secret-x": "***"}
    }


@pytest.mark.parametrize("table", ['env = ["A"]', 'labels = ["a"]', "args = true"])
def test_the_instructions_of_an_image_are_hidden_as_a_whole(table: str) -> None:
    history = [{"Id": "1", "CreatedBy": "/bin/sh -c #(nop)  ENV A=1", "Size": 3}]
    assert shown("ImageHistory", history, table) == [{"Id": "1", "CreatedBy": "***", "Size": 3}]


def verdict(table_text: str, request: Request) -> document.Verdict:
    text = f'[[rule]]\nallow = ["ContainerList", "SystemEvents"]\n[rule.redact]\n{table_text}\n'
    request = canonical(request)
    return document.parse(text, "rules.toml").judge(table.row_of(request.verb, request.path, upload=False), request)


@pytest.mark.parametrize(
    ("redact", "filters", "allowed"),
    [
        ('labels = ["secret"]', {"label": ["secret=a"]}, False),
        ('labels = ["secret"]', {"label": ["SECRET=a", "other=b"]}, False),
        ('labels = ["secret"]', {"label": ["secret"]}, True),
        ('labels = ["secret"]', {"label": ["other=a"], "volume": ["/etc"]}, True),
        ("mounts = true", {"volume": ["/etc"]}, False),
        ("args = true", {"label": ["secret=a"]}, True),
    ],
)
def test_what_is_redacted_can_not_be_guessed_by_filters(redact: str, filters: Any, allowed: bool) -> None:
    for verb, path in ((Verb.LS, ("containers",)), (Verb.WATCH, ())):
        assert verdict(redact, Request(verb, path, {"filters": json.dumps(filters)})).allowed is allowed


@pytest.mark.parametrize(
    ("redact", "line", "says"),
    [
        ("", 3, "requires env, labels, args or mounts"),
        ("args = false", 3, "requires env, labels, args or mounts"),
        ("args = 1", 4, "args must be true or false, not 1"),
        ("enw = ['*']", 4, "did you mean 'env'?"),
        ("env = true", 4, "env must be a list of texts"),
    ],
)
def test_a_mistake_is_named_with_its_line(redact: str, line: int, says: str) -> None:
    with pytest.raises(Invalid) as caught:
        document.parse(f'[[rule]]\nallow = ["ContainerList"]\n[rule.redact]\n{redact}\n', "rules.toml")
    assert caught.value.message.startswith(f"rules.toml:{line}: ")
    assert says in caught.value.message


async def test_an_answer_is_redacted_on_its_way(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nallow = ["Container*"]\nunjudged = ["*"]\n[rule.container]\nimages = ["busybox"]\n'
                     '[rule.redact]\nenv = ["*TOKEN*"]\n')  # fmt: skip
    async with connect(Policy(rules), Simulator()) as swarm:
        made = await swarm.spawn({"Image": "busybox", "Env": ["A_TOKEN=1", "B=2"]}, name="web")
        found = await swarm.get("containers", made.id)
        assert found["Config"]["Env"][:2] == ["A_TOKEN=***", "B=2"]
        assert [each["Id"] for each in await swarm.ls(all=True)] == [made.id]


class Odd:
    """An engine whose answers are not JSON."""

    async def send(self, request: Request) -> None:
        await request.reply.send(Set(Json(b"TOKEN=canary {")))
        await request.reply.send(Ack())


async def test_an_answer_that_can_not_be_read_is_not_shown(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(f'[[rule]]\nallow = ["ContainerList"]\n[rule.redact]\n{ALL}')
    async with Policy(rules).open(Odd()) as stage, await ask(stage, Request(Verb.LS, ("containers",))) as replies:  # type: ignore[arg-type]
        seen = [reply async for reply in replies]
    assert [reply.kind for reply in seen] == ["error"]
    assert "canary" not in str(seen[0])


@pytest.mark.parametrize("what", ["a denial before the engine is asked", "a denial after that"])
async def test_what_only_passes_with_a_warning_is_redacted_too(what: str, tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(
        """
[[rule]]
mode = "warn"
allow = ["ContainerList"]
own = "team=ci"
[rule.redact]
labels = ["*secret*"]
"""
    )
    asked: dict[str, Any] = {"ancestor": ["busybox"]} if what == "a denial after that" else {"label": ["secret=canary"]}
    async with Chain(Simulator()).open() as sender, Policy(tmp_path / "rules.toml").open(sender) as policy:
        await Client(sender).spawn({"Image": "busybox", "Labels": {"secret": "canary", "team": "ci"}})
        (found,) = await Client(policy).ls(all=True, filters=asked)
        assert found["Labels"] == {"secret": "***", "team": "ci"}
