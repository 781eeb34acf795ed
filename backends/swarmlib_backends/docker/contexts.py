"""Docker contexts, as the docker CLI keeps them in ~/.docker (or $DOCKER_CONFIG), where no config.json is needed.

contexts/meta/ID/meta.json has a context's name and the address of its engine, and contexts/tls/ID/docker/ its TLS
material; ID is the SHA-256 of the name. The docker SDK reads them too, but only beside a config.json, and takes a
missing SkipTLSVerify for true.
"""

from __future__ import annotations

import hashlib
import json
import os
import ssl
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any, Final, cast

from swarmlib import Invalid
from swarmlib.net.tls import client_context
from swarmlib.suggestions import nearest

from .engine import Endpoint

DEFAULT: Final = "default"
"""The name that stands for no context."""


def current() -> str:
    """Return the name of the context that the docker CLI would use; "" if it would use none.

    Raises:
        Invalid: config.json can't be read.
    """
    name = os.environ.get("DOCKER_CONTEXT") or _text(_read(_folder() / "config.json"), "currentContext")
    return "" if name == DEFAULT else name


def endpoint(name: str) -> Endpoint:
    """Return how to reach the engine of a context.

    Raises:
        Invalid: there is no such context, or its files can't be read.
    """
    id = hashlib.sha256(name.encode()).hexdigest()
    meta = _read(_folder() / "contexts/meta" / id / "meta.json")
    if not meta:
        raise Invalid(f"unknown Docker context {name!r}; {nearest(name, _names())}")
    found = _table(_table(meta, "Endpoints"), "docker")
    address = _text(found, "Host")
    if not address:
        raise Invalid(f"the Docker context {name!r} has no engine")
    verify = not found.get("SkipTLSVerify", False)
    return Endpoint(address, _tls(_folder() / "contexts/tls" / id / "docker", verify=verify))


def _tls(folder: FilePath, *, verify: bool) -> ssl.SSLContext | None:
    """Return the TLS of a context, of which each file may be missing; None if it has none."""
    ca, cert, key = (
        str(path) if path.exists() else "" for path in (folder / f"{n}.pem" for n in ("ca", "cert", "key"))
    )
    return client_context(ca, cert, key, verify=verify) if ca or cert or not verify else None


def _names() -> list[str]:
    files = sorted(_folder().glob("contexts/meta/*/meta.json"))
    return [DEFAULT, *(name for name in (_text(_read(file), "Name") for file in files) if name)]


def _folder() -> FilePath:
    return FilePath(os.environ.get("DOCKER_CONFIG") or "~/.docker").expanduser()


def _read(file: FilePath) -> Mapping[str, Any]:
    """Read a file with a JSON object; {} if it does not exist."""
    try:
        found: Any = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        raise Invalid(f"can't read {file}: {exc.strerror if isinstance(exc, OSError) else exc}") from exc
    if not isinstance(found, dict):
        raise Invalid(f"{file} must be a JSON object")
    return cast("Mapping[str, Any]", found)


def _table(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key)
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def _text(values: Mapping[str, Any], key: str) -> str:
    found = values.get(key)
    return found if isinstance(found, str) else ""
