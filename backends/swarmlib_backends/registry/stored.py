"""The credentials that `docker login` has stored for the user of this process.

They are in config.json of ~/.docker or $DOCKER_CONFIG, or with a credential helper: a program that is given the
registry, and gives a user and a secret (github.com/docker/docker-credential-helpers).
"""

from __future__ import annotations

import base64
import binascii
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import orjson
import trio

from swarmlib import Unavailable

from ..dockerapi.nullable import dict_of
from .credentials import Credentials

_HUB: Final = "docker.io"
_HUB_KEY: Final = "https://index.docker.io/v1/"
_TOKEN_USER: Final = "<token>"
"""The user that stands for an identity token."""
_NONE: Final = b"credentials not found"
_SECONDS: Final = 30.0


async def stored(registry: str) -> Credentials:
    """Return what `docker login` has stored of a registry; nobody's for nothing.

    Raises:
        Unavailable: the configuration can't be read, or a helper that keeps passwords fails.
    """
    return await trio.to_thread.run_sync(_stored, registry, abandon_on_cancel=True)


def _stored(registry: str) -> Credentials:
    config = _config()
    key = _HUB_KEY if registry == _HUB else registry
    helper = dict_of(config.get("credHelpers")).get(registry) or config.get("credsStore")
    if helper and (found := _helped(str(helper), key)) is not None:
        return found
    for name, entry in dict_of(config.get("auths")).items():
        if name == key or _host(name) == registry:
            return _written(dict_of(entry), registry)
    return Credentials()


def _config() -> Mapping[str, Any]:
    file = Path(os.environ.get("DOCKER_CONFIG") or "~/.docker").expanduser() / "config.json"
    try:
        config = orjson.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        raise Unavailable(f"can't read {file}: {exc}") from exc
    if not isinstance(config, dict):
        raise Unavailable(f"can't read {file}: it is no JSON object")
    return cast("dict[str, Any]", config)


def _host(name: str) -> str:
    """Return the registry of an entry, which older clients have named by its URL."""
    return name.partition("://")[2].partition("/")[0] if "://" in name else name


def _written(entry: Mapping[str, Any], registry: str) -> Credentials:
    """Return the credentials of an entry of the configuration."""
    try:
        user, _, password = base64.b64decode(str(entry.get("auth") or ""), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as exc:
        raise Unavailable(f"the credentials for {registry} in config.json are malformed") from exc
    return Credentials(user, password, str(entry.get("identitytoken") or ""))


def _helped(helper: str, key: str) -> Credentials | None:
    """Return what a helper keeps for a registry; None for nothing."""
    command = f"docker-credential-{helper}"
    try:
        ran = subprocess.run([command, "get"], input=key.encode(), capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Unavailable(f"{command} gives no credentials for {key}: {exc}") from exc
    if ran.returncode:
        if _NONE in ran.stdout.lower():
            return None
        raise Unavailable(f"{command} gives no credentials for {key}: it has ended with {ran.returncode}")
    try:
        found: dict[str, Any] = orjson.loads(ran.stdout)
        user, secret = str(found["Username"]), str(found["Secret"])
    except (ValueError, KeyError, TypeError) as exc:
        raise Unavailable(f"{command} gave a malformed answer about {key}") from exc  # which may hold a secret
    return Credentials(identity_token=secret) if user == _TOKEN_USER else Credentials(user, secret)
