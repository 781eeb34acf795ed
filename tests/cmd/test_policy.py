"""`swarmd policy`: files of rules are checked and tried without an engine."""

import json
import re
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from swarmlib import connect
from swarmlib_backends import Record, Simulator
from swarmlib_backends.policy import document, probes
from tests.support.command import invoke as run
from tests.support.paths import DATA, ROOT
from tests.support.signing import Signer

RULES = """
[[rule]]
name = "look"
allow = ["SystemPing*", "ContainerList"]

[[rule]]
name = "run"
allow = ["ContainerCreate", "ContainerStart", "ContainerAttach", "ContainerWait", "ContainerDelete"]

[rule.container]
images = ["busybox"]
networks = ["default"]
"""


@pytest.fixture
def rules(tmp_path: Path) -> str:
    (tmp_path / "rules.toml").write_text(RULES)
    return str(tmp_path / "rules.toml")


@pytest.fixture
def changing(rules: str) -> str:
    """Rules of which one changes what it allows."""
    Path(rules).write_text(f"{RULES}[rule.change]\npids = 50\n")
    return rules


def test_a_file_is_checked(rules: str) -> None:
    assert "2 rules, which allow 8 of the" in run("policy", "check", rules).stdout
    Path(rules).write_text('[[rule]]\nallow = ["ContanerList"]\n')
    assert f"{rules}:2: allow: unknown operation 'ContanerList'" in run("policy", "check", rules, code=2).stderr
    assert "No such file" in run("policy", "check", f"{rules}.not", code=2).stderr


async def test_a_recording_is_judged_call_by_call(rules: str, tmp_path: Path) -> None:
    file = str(tmp_path / "session")
    async with connect(Record(file), Simulator()) as swarm:
        await swarm.ls()
        await swarm.spawn({"Image": "busybox", "HostConfig": {"Privileged": True}})
    lines = run("policy", "replay", "--json", file, rules, code=1).stdout.splitlines()
    listed, created = (json.loads(line) for line in lines[:2])
    assert (listed["operation"], listed["allowed"], listed["rule"]) == ("ContainerList", True, "look")
    assert (created["operation"], created["allowed"], created["rule"]) == ("ContainerCreate", False, "run")
    assert "HostConfig.Privileged asks for 'true'" in created["reason"]


async def test_what_a_rule_changes_is_said(changing: str, tmp_path: Path) -> None:
    file = str(tmp_path / "session")
    async with connect(Record(file), Simulator()) as swarm:
        await swarm.spawn({"Image": "busybox"})
    assert "\n         changed: HostConfig is {'PidsLimit': 50}" in run("policy", "replay", file, changing).stdout
    created = json.loads(run("policy", "replay", "--json", file, changing).stdout.splitlines()[0])
    assert created["changes"] == ["HostConfig is {'PidsLimit': 50}"]


@pytest.mark.engine
def test_a_command_of_the_docker_cli_is_explained(rules: str) -> None:
    allowed = run("policy", "explain", rules, "docker", "run", "--rm", "busybox", "true").stdout
    assert re.search(r"allowed +ContainerCreate containers by rule 'run'", allowed)
    denied = run("policy", "explain", rules, "docker", "run", "--pid", "host", "busybox", "true", code=125).stdout
    assert "denied   ContainerCreate containers: rule 'run': HostConfig.PidMode asks for 'pid=host'" in denied
    assert "namespaces = ['pid=host']" in denied


def test_the_rules_of_the_guide_are_read(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "policy.md").read_text("utf-8"), re.DOTALL)
    text = "".join(sorted(blocks, key=lambda block: block.startswith("[")))  # keys of the whole file come first
    text = text.replace("/etc/swarmlib/release.pub", str(Signer().saved(tmp_path / "release.pub")))
    assert document.parse(text, "docs/policy.md").summary.startswith("4 rules, which allow 34 of the")


def test_probes_are_tested_and_what_is_else_than_expected_is_shown(rules: str, tmp_path: Path) -> None:
    file = tmp_path / "probes.json"
    look = {"name": "look", "must": "allow", "path": "/containers/json"}
    file.write_text(json.dumps([look, {**look, "name": "other", "policy": "another", "must": "deny"}]))
    assert run("policy", "test", rules, str(file)).stdout == "1 probes: 1 ok, 0 failed, 0 undecided\n"
    file.write_text(json.dumps([{**look, "must": "deny"}]))
    assert run("policy", "test", rules, str(file), code=1).stdout.startswith("failed     look: it must be denied")
    (line,) = run("policy", "test", "--json", rules, str(file), code=1).stdout.splitlines()
    assert json.loads(line)["calls"][0]["rule"] == "look"
    file.write_text(json.dumps([{**look, "mst": "deny"}]))
    assert "did you mean 'must'" in run("policy", "test", rules, str(file), code=2).stderr


@pytest.mark.parametrize("policy", ["reader", "sandbox"])
def test_no_probe_of_the_study_is_judged_otherwise(policy: str) -> None:
    rules, file = (DATA / "policy" / name for name in (f"{policy}.toml", "probes.json"))
    assert " 0 failed" in run("policy", "test", str(rules), str(file), env={"SRV": "/srv/alice"}).stdout


def test_one_request_is_explained(rules: str) -> None:
    assert run("policy", "explain", rules, "GET", "/containers/json").stdout.startswith("allowed  ContainerList")
    body = '{"Image": "busybox", "hostconfig": {"PIDMODE": "host"}}'
    denied = run("policy", "explain", "--json", rules, "POST", "/containers/create", body, code=1).stdout
    assert "pid=host" in json.loads(denied)["reason"]
    assert "METHOD PATH [BODY]" in run("policy", "explain", rules, "GET", code=2).stderr


def test_a_request_on_stdin_is_explained(rules: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"GET /containers/json HTTP/1.1\r\nHost: x\r\n\r\n")))
    assert run("policy", "explain", rules, "-").stdout.startswith("allowed  ContainerList")


@pytest.mark.engine
def test_a_command_is_a_probe(rules: str, tmp_path: Path) -> None:
    file = tmp_path / "probes.json"
    probe = {"name": "run", "must": "deny", "docker": "run --rm --pid host busybox true", "rule": "run"}
    file.write_text(json.dumps([probe, {**probe, "must": "allow", "docker": ["ps"], "rule": "look"}]))
    assert "2 probes: 2 ok" in run("policy", "test", rules, str(file)).stdout


def test_the_probes_of_the_guide_are_read(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "policy.md").read_text("utf-8")
    rules, text = (re.findall(rf"```{kind}\n(.*?)```", guide, re.DOTALL)[0] for kind in ("toml", "json"))
    (tmp_path / "ci.toml").write_text(rules)
    without_command = [each for each in json.loads(text) if "docker" not in each]
    (tmp_path / "probes.json").write_text(json.dumps(without_command))
    assert len(probes.read(tmp_path / "probes.json")) == 2
    assert "2 probes: 2 ok" in run("policy", "test", str(tmp_path / "ci.toml"), str(tmp_path / "probes.json")).stdout


async def test_a_recording_becomes_a_policy_and_later_shows_what_is_new(tmp_path: Path) -> None:
    file, rules = str(tmp_path / "session"), tmp_path / "learned.toml"
    async with connect(Record(file), Simulator()) as swarm:
        await swarm.ls()
    rules.write_text(run("policy", "learn", file).stdout)
    assert run("policy", "replay", file, str(rules)).stdout.startswith("allowed  ContainerList")
    assert run("policy", "learn", file, "--beside", str(rules)).stdout == ""
    async with connect(Record(file, append=True), Simulator()) as swarm:
        await swarm.get("version")
    new = run("policy", "learn", file, "--beside", str(rules), code=1).stdout
    assert 'allow = ["SystemVersion"]' in new
    assert "No such file" in run("policy", "learn", f"{file}.not", code=2).stderr


def test_a_preset_is_printed_as_the_beginning_of_a_file(tmp_path: Path) -> None:
    assert "traefik" in run("policy", "show-preset").stdout.splitlines()
    (tmp_path / "own.toml").write_text(run("policy", "show-preset", "traefik").stdout)
    assert "which allow 10 of the" in run("policy", "check", str(tmp_path / "own.toml")).stdout
    assert "did you mean 'traefik'" in run("policy", "show-preset", "traeffik", code=2).stderr
