"""The Secrets by which nodes pull the images of registries that want credentials."""

from __future__ import annotations

import base64
import secrets
from typing import Any, Final

import orjson

from swarmlib import Unsupported

from ...dockerapi.references import full
from ...registry.credentials import Credentials

_KIND: Final = "kubernetes.io/dockerconfigjson"
_HUB: Final = "docker.io"
_HUB_KEY: Final = "https://index.docker.io/v1/"
"""Where Docker and the kubelets look for the credentials of Docker Hub."""


def pull_secret(image: str, credentials: Credentials) -> dict[str, Any] | None:
    """Return the Secret that pulls an image, with a name of its own; None if everybody may pull it.

    Raises:
        Unsupported: the credentials are a token, which kubelets do not take.
    """
    if credentials == Credentials():
        return None
    if not credentials.username or credentials.identity_token:
        raise Unsupported(f"nodes can't pull {image} by a token: log in with a user and a password")
    host = full(image).partition("/")[0]
    given = {"auth": base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()}
    config = orjson.dumps({"auths": {_HUB_KEY if host == _HUB else host: given}})
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"p-{secrets.token_hex(16)}"},
        "type": _KIND,
        "data": {".dockerconfigjson": base64.b64encode(config).decode()},
    }
