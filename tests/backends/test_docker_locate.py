"""The engine that `docker` means without an address, with and without the docker CLI's files."""

import hashlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from swarmlib import Invalid
from swarmlib_backends.docker import locate


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test's own, in which nothing is configured."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(locate, "_USUAL", str(tmp_path / "usual.sock"))
    return tmp_path


def context(home: Path, name: str, **endpoint: Any) -> Path:
    """Write a context as the docker CLI does, and return the folder of its TLS material."""
    id = hashlib.sha256(name.encode()).hexdigest()
    meta, tls = home / ".docker/contexts/meta" / id, home / ".docker/contexts/tls" / id / "docker"
    meta.mkdir(parents=True)
    tls.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    return tls


def found(address: str = "", named: str = "") -> str:
    return locate.locate(address, named, "").address


def test_a_context_needs_no_config_json(home: Path) -> None:
    context(home, "far", Host="ssh://far", SkipTLSVerify=False)
    assert found(named="far") == "ssh://far"
    assert locate.locate("", "far", "").tls is None


def test_the_current_context_is_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context(home, "far", Host="ssh://far")
    context(home, "other", Host="ssh://other")
    (home / ".docker/config.json").write_text('{"currentContext": "far"}')
    assert found() == "ssh://far"
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    assert found() == "ssh://other"
    monkeypatch.setenv("DOCKER_HOST", "tcp://host:1")
    assert found() == "tcp://host:1"
    assert found(named="far") == "ssh://far"
    monkeypatch.delenv("DOCKER_HOST")
    assert found(named="default") == f"unix://{home}/usual.sock"


def test_a_context_that_does_not_verify_still_uses_tls(home: Path) -> None:
    context(home, "lax", Host="tcp://a:1", SkipTLSVerify=True)
    tls = locate.locate("", "lax", "").tls
    assert tls is not None
    assert not tls.check_hostname


@pytest.mark.parametrize(
    ("name", "file", "content", "problem"),
    [
        ("fra", "", "", "unknown Docker context 'fra'; did you mean 'far'?"),
        ("", "config.json", "{", r"can't read .*config\.json: Expecting"),
        ("", "config.json", "[]", r"config\.json must be a JSON object"),
        ("empty", "", "", "the Docker context 'empty' has no engine"),
        ("bad", "", "", r"ca\.pem is not valid PEM"),
    ],
)
def test_what_is_wrong_is_named(home: Path, name: str, file: str, content: str, problem: str) -> None:
    context(home, "far", Host="ssh://far")
    context(home, "empty")
    (context(home, "bad", Host="tcp://a:1") / "ca.pem").write_text("no certificate")
    if file:
        (home / ".docker" / file).write_text(content)
    with pytest.raises(Invalid, match=problem):
        found(named=name)


@pytest.mark.parametrize("rootless", ["docker.sock", "podman/podman.sock"])
def test_without_the_usual_socket_that_of_a_rootless_engine_is_found(
    home: Path, monkeypatch: pytest.MonkeyPatch, rootless: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "run"))
    path = home / "run" / rootless
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        assert found() == f"unix://{path}"
        (home / "usual.sock").touch()
        assert found() == f"unix://{home}/usual.sock"
