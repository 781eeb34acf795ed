"""What `docker login` has stored: in a configuration, and with helpers that answer rightly and wrongly."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from swarmlib import Unavailable
from swarmlib_backends.registry.credentials import Credentials
from swarmlib_backends.registry.stored import stored

AUTH = {"auth": base64.b64encode(b"me:a:b").decode()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def write(folder: Path, config: Any, helper: str = "") -> None:
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "docker-credential-kept").write_text(f"#!/bin/sh\n{helper}\n")
    (folder / "docker-credential-kept").chmod(0o755)


async def test_without_a_configuration_or_an_entry_there_is_nobody(folder: Path) -> None:
    assert await stored("r.example") == Credentials()
    write(folder, {"auths": {"other.example": AUTH}})
    assert await stored("r.example") == Credentials()


@pytest.mark.parametrize("name", ["r.example:5000", "https://r.example:5000", "http://r.example:5000/v1/"])
async def test_an_entry_is_found_by_its_registry(folder: Path, name: str) -> None:
    write(folder, {"auths": {name: AUTH}})
    assert await stored("r.example:5000") == Credentials("me", "a:b")


async def test_docker_hub_is_found_by_the_name_of_its_index_and_has_tokens(folder: Path) -> None:
    write(folder, {"auths": {"https://index.docker.io/v1/": {"identitytoken": "t"}}})
    assert await stored("docker.io") == Credentials(identity_token="t")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ('{"Username": "me", "Secret": "s"}', Credentials("me", "s")),
        ('{"Username": "<token>", "Secret": "s"}', Credentials(identity_token="s")),
    ],
)
@pytest.mark.parametrize("config", [{"credsStore": "kept"}, {"credHelpers": {"r.example": "kept"}}])
async def test_a_helper_is_asked_for_the_registry(folder: Path, config: Any, answer: str, found: Credentials) -> None:
    write(folder, config | {"auths": {"r.example": {}}}, f"[ $1$(cat) = getr.example ] && echo '{answer}'")
    assert await stored("r.example") == found


async def test_where_a_helper_has_nothing_the_configuration_counts(folder: Path) -> None:
    config = {"credsStore": "kept", "auths": {"r.example": AUTH}}
    write(folder, config, "cat >/dev/null; echo 'credentials not found in native keychain'; exit 1")
    assert await stored("r.example") == Credentials("me", "a:b")


@pytest.mark.parametrize(
    ("config", "helper", "why"),
    [
        ({"credsStore": "nosuch"}, "", "docker-credential-nosuch not installed"),
        ({"credsStore": "kept"}, "cat >/dev/null; exit 3", "exited with"),
        ({"credsStore": "kept"}, 'cat >/dev/null; echo \'{"Secret": "geheim"}\'', "gave a malformed answer"),
    ],
)
@pytest.mark.filterwarnings("ignore:docker-credential-nosuch")
async def test_what_can_t_be_read_is_told_without_a_secret(folder: Path, config: Any, helper: str, why: str) -> None:
    write(folder, config, helper)
    with pytest.raises(Unavailable, match=why) as caught:
        await stored("r.example")
    assert "geheim" not in str(caught.value)
