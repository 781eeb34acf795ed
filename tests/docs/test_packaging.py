"""What is packaged: the wheel and the source archive, the units for systemd, and the files for containers."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from swarmd.settings import read_file
from tests.support.paths import ROOT

PACKAGING = ROOT / "packaging"
UV = Path(sys.executable).parent / "uv"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([UV, "build", "--quiet", "--out-dir", folder, ROOT], check=True, timeout=100)
    return folder


@pytest.mark.engine
def test_the_wheel_is_whole_and_its_command_runs(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    where = ["--target", str(tmp_path), "--no-deps", "--python", sys.executable]
    subprocess.run([UV, "pip", "install", "--quiet", *where, wheel], check=True, timeout=60)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def run(*words: str) -> str:
        command = [sys.executable, "-P", "-m", "swarmd", *words]
        return subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True, text=True).stdout

    assert "swarmd, version" in run("--version")
    assert "simulator" in run("backends")
    assert "src/swarmlib_mine/__init__.py" in run("new-backend", "mine", "made")
    assert "policy" in run("check", "dockerserver unix:///tmp/x.sock", "policy --preset read-only", "exec")
    for package in ("swarmlib", "swarmlib_backends", "swarmd"):
        tracked = subprocess.run(
            ["git", "ls-files", f"{package}/*", f"*/{package}/*"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.split()
        missing = [each for each in tracked if not (tmp_path / each[each.index(package) :]).exists()]
        assert not missing, missing


@pytest.mark.engine
def test_the_source_archive_has_what_a_build_needs_and_the_docs(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", "docs/operating.md", "packaging/systemd/swarmd.service"} <= names


@pytest.mark.engine
def test_systemd_takes_the_units_and_finds_them_hardened(tmp_path: Path) -> None:
    for unit in (PACKAGING / "systemd").glob("swarmd.s*"):
        text = unit.read_text().replace("/usr/local/bin/swarmd", "/bin/true").replace("Documentation=man:swarmd(1)", "")
        (tmp_path / unit.name).write_text(text)
    units = [str(tmp_path / name) for name in ("swarmd.service", "swarmd.socket")]
    subprocess.run(["systemd-analyze", "verify", *units], check=True, timeout=60)
    security = ["systemd-analyze", "security", "--offline=true", "--threshold=20", units[0]]
    done = subprocess.run(security, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("folder", ["systemd", "docker"])
def test_the_configurations_can_be_read(folder: str) -> None:
    assert read_file(PACKAGING / folder / "swarmd.toml")[0].chains
