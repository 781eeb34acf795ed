"""Finding the engine that `docker` means: an address, a Docker context, or the environment, as the docker CLI does it.

The docker SDK reads contexts and TLS material; it is imported only when it is needed.
"""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path as FilePath
from typing import Any

from swarmlib import Invalid
from swarmlib.net.tls import client_context

from .engine import Endpoint

DEFAULT_ADDRESS = "npipe:////./pipe/docker_engine" if sys.platform == "win32" else "unix:///var/run/docker.sock"


def locate(address: str, context: str, cert_path: str) -> Endpoint:
    """Return the endpoint for a stage's arguments.

    Raises:
        Invalid: the context doesn't exist, or the TLS material can't be read.
    """
    if address and context:
        raise Invalid("ADDRESS and --context can't be used together")
    if address:
        return Endpoint(address, _tls_from(cert_path) if cert_path else None)
    if context:
        return _from_context(context)
    if host := os.environ.get("DOCKER_HOST"):
        certs = cert_path or (os.environ.get("DOCKER_CERT_PATH", "") if os.environ.get("DOCKER_TLS_VERIFY") else "")
        return Endpoint(host, _tls_from(certs) if certs else None)
    if name := os.environ.get("DOCKER_CONTEXT") or _current_context():
        return _from_context(name)
    return Endpoint(DEFAULT_ADDRESS)


def _config_file() -> FilePath:
    return FilePath(os.environ.get("DOCKER_CONFIG", "~/.docker")).expanduser() / "config.json"


def _current_context() -> str:
    if not _config_file().exists():
        return ""
    from docker.context.config import get_current_context_name

    name = str(get_current_context_name())
    return "" if name == "default" else name


def _from_context(name: str) -> Endpoint:
    from docker.context import ContextAPI

    found: Any = ContextAPI.get_context(name)
    if found is None:
        if not _config_file().exists():
            raise Invalid(
                f"Docker contexts require a config.json: {_config_file()} does not exist (one with {{}} is enough)"
            )
        raise Invalid(f"unknown Docker context {name!r}; `docker context ls` lists them")
    config = found.TLSConfig
    return Endpoint(found.Host, _context_tls(config) if config is not None else None)


def _context_tls(config: Any) -> ssl.SSLContext:
    cert, key = config.cert or ("", "")
    return client_context(config.ca_cert or "", cert, key, verify=bool(config.verify))


def _tls_from(directory: str) -> ssl.SSLContext:
    folder = FilePath(directory)
    return client_context(str(folder / "ca.pem"), str(folder / "cert.pem"), str(folder / "key.pem"))
