"""Finding the engine that `docker` means: an address, a Docker context, or the environment, as the docker CLI does it.

Where the CLI would use the usual socket and there is none, those of rootless engines and of Podman are looked for.
"""

from __future__ import annotations

import logging
import os
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Final

from swarmlib import Invalid
from swarmlib.net.tls import client_context

from . import contexts
from .engine import Endpoint

_PIPE: Final = "npipe:////./pipe/docker_engine"
_USUAL: Final = "/var/run/docker.sock"
_log = logging.getLogger(__name__)


def locate(address: str, context: str, cert_path: str) -> Endpoint:
    """Return the endpoint for a stage's arguments.

    Raises:
        Invalid: the context doesn't exist, or the TLS material can't be read.
    """
    if address and context:
        raise Invalid("ADDRESS and --context can't be used together")
    if address:
        return Endpoint(address, _tls_from(cert_path) if cert_path else None)
    if context and context != contexts.DEFAULT:
        return contexts.endpoint(context)
    if host := os.environ.get("DOCKER_HOST"):
        certs = cert_path or (os.environ.get("DOCKER_CERT_PATH", "") if os.environ.get("DOCKER_TLS_VERIFY") else "")
        return Endpoint(host, _tls_from(certs) if certs else None)
    if not context and (name := contexts.current()):
        return contexts.endpoint(name)
    return Endpoint(_PIPE if sys.platform == "win32" else f"unix://{_socket()}")


def _socket() -> str:
    """Return the first socket that this user may use; the usual one if there is none."""
    for path in _sockets():
        if os.access(path, os.W_OK):
            if path != _USUAL:
                _log.info("docker: found the engine at %s", path)
            return path
    return _USUAL


def _sockets() -> Iterator[str]:
    yield _USUAL
    yield str(FilePath("~/.docker/run/docker.sock").expanduser())  # Docker Desktop's
    for folder in (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{os.getuid()}"):
        if folder:
            yield f"{folder}/docker.sock"
            yield f"{folder}/podman/podman.sock"
    yield "/run/podman/podman.sock"


def _tls_from(directory: str) -> ssl.SSLContext:
    folder = FilePath(directory)
    return client_context(str(folder / "ca.pem"), str(folder / "cert.pem"), str(folder / "key.pem"))
