"""`python -m swarmlib_backends.kubernetes.fakecluster`, with the real backend and the real docker CLI on it."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.cluster.api import Api
from tests.support.engines import docker, swarmd
from tests.support.kubernetes.processes import COMMAND, running


def test_a_kubeconfig_may_do_what_a_role_says(tmp_path: Path) -> None:
    role = tmp_path / "role"
    role.write_text(json.dumps({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]}))
    with running(tmp_path, "--release", "1.20", "--role", str(role), "--namespace", "kube-system") as file:
        api = Api(file)
        assert api.value("GET", "/version")["gitVersion"] == "v1.20.2"
        assert api.value("GET", "/api/v1/namespaces/kube-system/pods")["items"] == []
        assert api.ask("GET", "/api/v1/namespaces/default/pods")[0] == 403


def test_a_role_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "role").write_text("{}")
    done = subprocess.run([*COMMAND, "--role", tmp_path / "role"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"Error: can't read the Role in {tmp_path}/role: 'rules'" in done.stderr


@pytest.mark.engine
@pytest.mark.parametrize("release", ["1.20", "1.35"])
def test_the_docker_cli_runs_containers_on_it(tmp_path: Path, release: str) -> None:
    program = "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1; done"
    with running(tmp_path, "--release", release) as file, swarmd(f"kubernetes --kubeconfig {file}") as gateway:

        def run(*command: str, input: bytes = b"") -> tuple[bytes, int]:
            ran = docker(gateway.host, *command, input=input)
            return ran.stdout, ran.returncode

        assert run("run", "--rm", "-i", "--entrypoint", "sh", "busybox", "-c", "cat; exit 3", input=b"typed") == (
            b"typed",
            3,
        )
        assert run("run", "-d", "--name", "web", "--entrypoint", "sh", "busybox", "-c", program)[1] == 0
        assert run("exec", "-w", "/tmp", "-e", "A=b", "web", "sh", "-c", "pwd; echo $A; exit 4") == (b"/tmp\nb\n", 4)
        top, code = run("top", "web")
        assert (code, top.splitlines()[1].endswith(program.encode())) == (0, True), top
        assert run("pause", "web")[1] == run("unpause", "web")[1] == 0
        assert run("stop", "web")[1] == 0
        assert run("wait", "web") == (b"5\n", 0)
        assert run("logs", "web") == (b"up\nbye\n", 0)
        assert run("rm", "web")[1] == 0
        assert run("ps", "-aq") == (b"", 0)
