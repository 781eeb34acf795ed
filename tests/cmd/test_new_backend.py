"""`swarmd new-backend`: what it writes is installed in a fresh environment, passes its tests, and runs in chains."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import invoke
from tests.support.engines import docker, wait_until
from tests.support.paths import ROOT

NAMES = {"filter": "tagger", "leaf": "sayer", "source": "reviver"}
_ALONE = ["-P", "-W", "error"]
"""Not with the modules of the folder that the tests run in."""
PROGRAM = """
import swarmlib, trio

async def main():
    async with swarmlib.connect("tagger --label tier=web | exec") as swarm:
        box = await swarm.spawn({"Image": "any", "Cmd": ["true"]})
        print((await box.get())["Config"]["Labels"], swarmlib.__file__)

trio.run(main)
"""


def swarmd(*words: str, code: int = 0, by: Path = Path(sys.executable)) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [by, *_ALONE, "-m", "swarmd", *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A package of each kind, by the kind."""
    folder = tmp_path_factory.mktemp("packages")
    for kind, name in NAMES.items():
        swarmd("new-backend", "--kind", kind, name, str(folder / kind))
    return {kind: folder / kind for kind in NAMES}


@pytest.fixture(scope="module")
def python(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment, with this checkout's swarmlib and the packages installed as wheels.

    It takes a package index, as `.ci/setup` does. One hatchling builds all; each on its own would only take longer.
    """
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python]
    made = [f"{package}[test]" for package in packages.values()]
    subprocess.run([*install, "hatchling"], check=True, timeout=300)
    subprocess.run([*install, "--no-build-isolation", ROOT, *made], check=True, timeout=300)
    return python


@pytest.mark.engine
@pytest.mark.parametrize("kind", NAMES)
def test_it_passes_its_own_tests_as_written(kind: str, packages: dict[str, Path], python: Path) -> None:
    pytest_there = [python, "-m", "pytest", "-q"]
    done = subprocess.run(pytest_there, cwd=packages[kind], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.engine
def test_swarmd_there_lists_and_explains_it(python: Path) -> None:
    rows = {line.split("\t")[0]: line for line in swarmd("backends", by=python).stdout.splitlines()}
    assert set(NAMES.values()) <= rows.keys()
    assert "[--label NAME=VALUE]\tPuts a label on every workload" in rows["tagger"]
    assert "--most N" in swarmd("backends", "sayer", by=python).stdout


@pytest.mark.engine
def test_a_chain_with_it_is_embedded(python: Path) -> None:
    done = subprocess.run([python, *_ALONE, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{'tier': 'web'} ")
    assert str(python.parent.parent) in done.stdout


@pytest.mark.engine
def test_a_chain_of_all_three_runs_until_it_is_told_to_end(python: Path) -> None:
    words = ["reviver --interval 0.05", "debug", "tagger", "sayer"]
    with subprocess.Popen([python, *_ALONE, "-m", "swarmd", *words], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        seen = [process.stderr.readline() for _ in range(4)]
        process.terminate()
        assert process.wait(20) == 143
    assert any(line.endswith(" #1 > ls containers all=1\n") for line in seen)
    assert any(" #1 < " in line for line in seen)


@pytest.fixture
def served(python: Path, packages: dict[str, Path], tmp_path: Path) -> Iterator[str]:
    """The leaf behind a Docker API, served by the command of its README; the address."""
    readme = (packages["leaf"] / "README.md").read_text()
    command = next(line for line in readme.splitlines() if line.startswith("swarmd ") and line.endswith(" &"))
    words = shlex.split(command.removesuffix(" &").replace("$PWD", str(tmp_path)))[1:]
    with subprocess.Popen([python, *_ALONE, "-m", "swarmd", *words], stderr=subprocess.DEVNULL) as process:
        try:
            wait_until((tmp_path / "swarm.sock").exists, "the leaf's swarmd", process)
            yield f"unix://{tmp_path}/swarm.sock"
        finally:
            process.terminate()


@pytest.mark.engine
def test_the_docker_cli_uses_the_leaf_as_it_was_written(served: str, packages: dict[str, Path]) -> None:
    def cli(*words: str, code: int = 0) -> str:
        done = docker(served, *words)
        assert done.returncode == code, done.stderr.decode()
        return (done.stdout + done.stderr).decode().strip()

    readme = (packages["leaf"] / "README.md").read_text().splitlines()
    said = [cli(*shlex.split(line)[1:]) for line in readme if line.startswith("docker ")]
    assert said[0] == said[2] == "hello\nworld"
    assert said[3] == "greeting"
    web = cli("run", "-d", "--name", "web", "--label", "tier=front", "any")
    assert cli("ps", "--format", "{{.Names}} {{.Image}} {{.State}}") == "web any running"
    assert cli("ps", "-aq", "--no-trunc", "--filter", "label=tier=front") == web
    assert cli("ps", "-q", "--filter", "label=tier=back") == ""
    assert cli("run", "--name", "said", "any", "one", "two") == "one\ntwo"
    assert cli("logs", "said") == "one\ntwo"
    assert cli("logs", "--tail", "1", "said") == "two"
    assert cli("inspect", "-f", "{{.Name}} {{.State.Status}} {{.State.ExitCode}}", "said") == "/said exited 0"
    assert "is already in use" in cli("run", "--name", "web", "any", code=125)
    assert "a container of sayer can't have Env" in cli("run", "-e", "A=b", "any", code=125)
    assert "cannot remove a running container" in cli("rm", "web", code=1)
    assert cli("stop", web[:12]) == web[:12]
    assert cli("rm", "web", "said") == "web\nsaid"
    assert "No such container: web" in cli("logs", "web", code=1)


def written(python: Path, folder: Path) -> dict[str, str]:
    """What a swarmd writes, by the path."""
    paths = [Path(line) for line in swarmd("new-backend", "other", str(folder), by=python).stdout.splitlines()]
    return {str(path.relative_to(folder)): path.read_text() for path in paths}


@pytest.mark.engine
def test_the_templates_are_in_the_wheel(python: Path, tmp_path: Path) -> None:
    found = written(python, tmp_path / "there")
    assert found == written(Path(sys.executable), tmp_path / "here")
    assert {"pyproject.toml", "src/swarmlib_other/py.typed", "tests/test_other.py"} <= found.keys()
    assert not any("example" in content.lower() for content in found.values())


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("Mine", "lower-case letters and digits, beginning with a letter"),
        ("my-own", "lower-case letters and digits, beginning with a letter"),
        ("1st", "lower-case letters and digits, beginning with a letter"),
        ("", "lower-case letters and digits, beginning with a letter"),
        ("../up", "lower-case letters and digits, beginning with a letter"),
        ("debug", "the name 'debug' is already taken by another backend"),
        ("filter", "its class Filter would hide one of swarmlib's"),
        ("none", "its class None would hide"),
    ],
)
def test_a_name_that_cannot_be_is_refused(name: str, problem: str, tmp_path: Path) -> None:
    error = invoke("new-backend", name, str(tmp_path / "new"), code=2).stderr
    assert problem in error
    assert "Traceback" not in error
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_not_empty_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    assert "is not empty" in invoke("new-backend", "mine", str(tmp_path), code=2).stderr
    assert os.listdir(tmp_path) == ["mine"]


def test_an_unknown_kind_names_those_there_are(tmp_path: Path) -> None:
    assert "'filter', 'leaf', 'source'" in invoke("new-backend", "--kind", "x", "mine", str(tmp_path), code=2).stderr
