"""Files of probes: what each says is read strictly, and held against the rules without an engine."""

import json
from pathlib import Path
from typing import Any

import pytest

from swarmlib import Invalid
from swarmlib_backends.policy import document, probes

RULES = """
[clients.ci]
certificates = ["ci-*"]
[[rule]]
name = "look"
allow = ["SystemPing*", "SystemVersion", "ContainerList"]
[[rule]]
name = "run"
clients = ["ci"]
own = "team=ci"
allow = ["ContainerCreate", "ContainerStart", "ContainerAttach", "ContainerWait", "ContainerDelete"]
[rule.container]
images = ["busybox"]
"""
CI = {"name": "p", "must": "deny", "client": "cert:ci-7"}
CREATE = {"method": "POST", "path": "/containers/create"}
LIST = {"path": "/containers/json"}


def read(tmp_path: Path, *given: Any) -> list[probes.Probe]:
    file = tmp_path / "probes.json"
    file.write_text(json.dumps(given))
    return probes.read(file)


@pytest.mark.parametrize(
    ("probe", "result", "reason"),
    [
        (LIST | {"must": "allow", "rule": "look"}, "ok", ""),
        (LIST | {"must": "deny"}, "failed", "it must be denied: allowed  ContainerList containers by rule 'look'"),
        (LIST | {"must": "allow", "rule": "run"}, "failed", "the rule 'look' decides, and not 'run'"),
        (CREATE | {"client": "uid:7", "body": {"Image": "busybox"}}, "ok", ""),
        (CREATE | {"must": "allow", "client": "uid:7", "body": {"Image": "busybox"}}, "failed", "it must be allowed"),
        (CREATE | {"must": "allow", "body": {"Image": "busybox"}}, "ok", ""),
        (CREATE | {"body": {"Image": "busybox"}}, "undecided", "only an engine can tell"),
        (CREATE | {"body": {"image": "busybox", "hostConfig": {"privileged": True}}, "rule": "run"}, "ok", ""),
        (CREATE | {"body": '{"Image": "busybox"', "headers": {"Content-Type": "application/json"}}, "ok", ""),
        (CREATE | {"body_b64": "ew=="}, "ok", ""),
        ({"method": "POST", "path": "/build", "body_tar": {"Dockerfile": "FROM busybox"}}, "ok", ""),
        ({"method": "RAW", "raw_b64": "R0VUIC8=", "must": "deny"}, "ok", ""),
        ({"path": "//containers/json", "must": "allow"}, "failed", "refused before any rule is asked"),
        ({"method": "POST", "path": "/session", "headers": {"Upgrade": "h2c", "Connection": "Upgrade"}}, "ok", ""),
    ],
)  # fmt: skip
async def test_a_probe_is_held_against_the_rules(
    probe: dict[str, Any], result: str, reason: str, tmp_path: Path
) -> None:
    (made,) = read(tmp_path, CI | probe)
    outcome = await probes.judge(document.parse(RULES, "rules.toml"), made)
    assert (outcome.result, reason in outcome.reason) == (result, True), outcome.line


@pytest.mark.parametrize(
    ("probe", "says"),
    [
        ({"must": "allow"} | LIST, "probe 1: it requires a name"),
        (CI | LIST | {"mustt": "deny"}, "probe 'p': unknown key 'mustt'; did you mean 'must'?"),
        (CI | LIST | {"must": "forbid"}, "must must be one of allow, deny, hide, rewrite, not 'forbid'"),
        (CI, "exactly one of docker, method and path, and raw_b64"),
        (CI | LIST | {"docker": "ps"}, "exactly one of docker, method and path, and raw_b64"),
        (CI | LIST | {"headers": {"A": 5}}, "headers must be an object of texts"),
        (CI | LIST | {"client": 5}, "client must be a text, not 5"),
        (CI | LIST | {"body": "x", "body_b64": ""}, "can't be used together"),
        (CI | {"raw_b64": "?"}, "probe 'p': "),
        (CI | {"docker": ["run", 5]}, "docker must be words"),
        (CI | {"docker": "run 'x"}, "No closing quotation"),
        (5, "probe 1: expected an object"),
    ],
)
def test_a_mistake_in_a_probe_is_named(probe: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"probes\.json: probe ") as caught:
        read(tmp_path, probe)
    assert says in caught.value.message


def test_a_file_that_holds_no_probes_is_refused(tmp_path: Path) -> None:
    for text in ("{}", "[", "[" * 100_000):
        (tmp_path / "probes.json").write_text(text)
        with pytest.raises(Invalid):
            probes.read(tmp_path / "probes.json")
