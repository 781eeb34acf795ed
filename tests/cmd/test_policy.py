"""`swarmd policy`: files of rules are checked and tried without an engine."""

import json
import re
from pathlib import Path

import pytest

from swarmlib import connect
from swarmlib_backends import Record, Simulator
from swarmlib_backends.policy import document
from tests.support.command import invoke as run
from tests.support.paths import ROOT

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


def test_the_rules_of_the_guide_are_read() -> None:
    text = "".join(re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "policy.md").read_text("utf-8"), re.DOTALL))
    assert document.parse(text, "docs/policy.md").summary.startswith("2 rules, which allow 18 of the")
