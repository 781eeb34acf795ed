"""`swarmd kubernetes`: check, rbac and sweep, against a scripted apiserver."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import trio
import yaml

from swarmlib_backends.kubernetes.api import client
from swarmlib_backends.kubernetes.api.rights import CLUSTER_ROLE, ROLE
from swarmlib_backends.kubernetes.pods import names
from tests.support.command import invoke
from tests.support.scripted_http import Answer, Asked, served


class Cluster:
    """An apiserver that has some Pods without records, and an account without some rights."""

    def __init__(self) -> None:
        self.lacking: set[str] = set()
        """Plurals of resources that the account may not use."""
        self.pods = ["old-1", "old-2"]

    async def __call__(self, asked: Asked, answer: Answer) -> None:
        plural = asked.path.rpartition("/")[2]
        if asked.path == "/version":
            await answer.json({"gitVersion": "v1.20.2"})
        elif plural == "selfsubjectaccessreviews":
            resource = orjson.loads(asked.body)["spec"]["resourceAttributes"]["resource"]
            await answer.json({"status": {"allowed": resource not in self.lacking}})
        elif plural in self.lacking:
            await answer.json({"kind": "Status", "reason": "Forbidden", "message": f"{plural} is forbidden"}, 403)
        elif asked.method == "DELETE":
            self.pods.remove(plural)
            await answer.json({})
        else:
            metadata = {"resourceVersion": "1", "labels": names.own_labels("pod", "b" * 64)}
            pods = [{"metadata": {"name": name, "uid": name, **metadata}} for name in self.pods]
            await answer.json(
                {
                    "metadata": {"resourceVersion": "1"},
                    "items": pods if plural == "pods" else [],
                    "versions": [{"version": "v1"}],
                }
            )


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@asynccontextmanager
async def serving(cluster: Cluster, folder: Path) -> AsyncIterator[Path]:
    """Serve the cluster, and give the kubeconfig."""
    async with served(cluster) as server:
        file = folder / "kubeconfig"
        config = {
            "clusters": [{"name": "c", "cluster": {"server": server.url}}],
            "contexts": [{"name": each, "context": {"cluster": "c", "namespace": "ci"}} for each in ("main", "minor")],
            "current-context": "main",
        }
        file.write_text(json.dumps(config))
        yield file


async def run(*words: str | Path, code: int = 0) -> tuple[str, str]:
    """The command in this process, in a thread beside the apiserver's."""
    done = await trio.to_thread.run_sync(lambda: invoke("kubernetes", *map(str, words), code=code))
    return done.stdout, done.stderr


async def test_all_rights_are_there(cluster: Cluster, tmp_path: Path) -> None:
    async with serving(cluster, tmp_path) as kubeconfig:
        said, _ = await run("check", "--kubeconfig", kubeconfig)
    head, *rows = said.splitlines()
    assert head.endswith(f"(v1.20.2), the context 'main' in {kubeconfig}, namespace ci")
    assert [row.split("\t")[0] for row in rows] == [right.label for right in (*ROLE, *CLUSTER_ROLE)]
    assert {row.split("\t")[1] for row in rows} == {"yes"}


async def test_a_missing_right_is_told_with_its_loss(cluster: Cluster, tmp_path: Path) -> None:
    cluster.lacking = {"secrets"}
    async with serving(cluster, tmp_path) as kubeconfig:
        said, _ = await run("check", "--kubeconfig", kubeconfig, "--namespace", "other", code=1)
        told = json.loads((await run("check", "--kubeconfig", kubeconfig, "--json", code=1))[0])
    assert "secrets\tno create, list, delete\timages of registries that need credentials" in said
    assert "namespace other" in said
    assert (told["version"], told["namespace"]) == ("v1.20.2", "ci")
    (secrets,) = [each for each in told["rights"] if each["resource"] == "secrets"]
    assert set(secrets["verbs"].values()) == {False}


async def test_an_optional_right_may_be_missing(cluster: Cluster, tmp_path: Path) -> None:
    cluster.lacking = {"nodes"}
    async with serving(cluster, tmp_path) as kubeconfig:
        said, _ = await run("check", "--kubeconfig", kubeconfig)
    assert "nodes\tno get, list, watch\t" in said
    assert "(optional)" in said


async def test_what_is_left_is_swept(cluster: Cluster, tmp_path: Path) -> None:
    async with serving(cluster, tmp_path) as kubeconfig:
        planned, _ = await run("sweep", "--kubeconfig", kubeconfig, "--dry-run")
        assert planned == "remove   pods/old-1\nremove   pods/old-2\n"
        assert cluster.pods == ["old-1", "old-2"]
        cluster.lacking = {"old-2", "services"}
        said, errors = await run("sweep", "--kubeconfig", kubeconfig, code=1)
        assert said == "removed  pods/old-1\n"
        assert errors == ("not removed: services: services is forbidden\nnot removed: pods/old-2: old-2 is forbidden\n")
        cluster.lacking = set()
        told = json.loads((await run("sweep", "--kubeconfig", kubeconfig, "--json"))[0])
        assert told == {"dry_run": False, "removed": ["pods/old-2"], "not_removed": {}}
        assert (await run("sweep", "--kubeconfig", kubeconfig)) == ("", "")


def documents(text: str) -> list[Any]:
    return list(yaml.safe_load_all(text))


def test_the_role_is_yaml_for_kubectl() -> None:
    made, binding = documents(invoke("kubernetes", "rbac", "--namespace", "ci").stdout)
    assert made["rules"][0]["verbs"] == list(ROLE[0].verbs)
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "swarmd", "namespace": "ci"}]
    four = documents(invoke("kubernetes", "rbac", "--namespace", "ci", "--cluster", "--user", "me").stdout)
    assert [each["kind"] for each in four] == ["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"]
    assert four[3]["subjects"][0]["kind"] == "User"
    told = json.loads(invoke("kubernetes", "rbac", "--namespace", "ci", "--group", "g", "--json").stdout)
    assert (told["kind"], len(told["items"]), told["items"][1]["subjects"][0]["name"]) == ("List", 2, "g")


async def test_the_role_is_for_the_context_s_namespace(cluster: Cluster, tmp_path: Path) -> None:
    async with serving(cluster, tmp_path) as kubeconfig:
        said, _ = await run("rbac", "--kubeconfig", kubeconfig)
    assert documents(said)[0]["metadata"]["namespace"] == "ci"


def test_what_is_wrong_is_said_in_a_line(tmp_path: Path) -> None:
    wrong = invoke("kubernetes", "check", "--kubeconfig", str(tmp_path / "missing"), code=2).stderr
    assert wrong == f"swarmd: error: can't read the kubeconfig {tmp_path}/missing: No such file or directory\n"
    both = invoke("kubernetes", "rbac", "--namespace", "ci", "--user", "a", "--group", "b", code=2).stderr
    assert "--service-account, --user and --group can't be used together" in both


async def test_a_cluster_that_is_not_there(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_FIRST_PAUSE", 0.0)
    async with serving(cluster, tmp_path) as kubeconfig:
        pass
    for command in ("check", "sweep"):
        assert "can't connect to http://127.0.0.1" in (await run(command, "--kubeconfig", kubeconfig, code=1))[1]


async def test_contexts_are_completed(cluster: Cluster, tmp_path: Path) -> None:
    async with serving(cluster, tmp_path) as kubeconfig:
        words = f"swarmd kubernetes check --kubeconfig {kubeconfig} --context m"
        variables = {"_SWARMD_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "6"}
        command = [sys.executable, "-m", "swarmd"]
        done = await trio.run_process(command, env={**os.environ, **variables}, capture_stdout=True, check=False)
    assert done.stdout.split() == [b"plain,main", b"plain,minor"]


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "swarmlib_backends.kubernetes.api.kubeconfig", None)
    error = invoke("kubernetes", "check", code=1).stderr
    assert "this needs its extra: pip install 'swarmlib[kubernetes]'" in error
