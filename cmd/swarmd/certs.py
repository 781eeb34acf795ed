"""Makes certificates for a first try of TLS: an authority's, a server's and a client's, in Docker's file names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from swarmlib import Invalid
from swarmlib_backends import certificates
from swarmlib_backends.certificates import Issued


def make(folder: Path, hosts: Sequence[str]) -> list[Path]:
    """Write ca.pem, ca-key.pem, server-cert.pem, server-key.pem (for `hosts`), cert.pem and key.pem; keys are 0600.

    Raises:
        Invalid: one of the files is there already (nothing is overwritten), or the folder can't be written.
    """
    names = list(dict.fromkeys(["localhost", "127.0.0.1", "::1", *hosts]))
    authority = certificates.authority()
    server = certificates.server(authority, names)
    client = certificates.client(authority)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [
            *_write(authority, folder, "ca.pem", "ca-key.pem"),
            *_write(server, folder, "server-cert.pem", "server-key.pem"),
            *_write(client, folder, "cert.pem", "key.pem"),
        ]
    except OSError as exc:
        raise Invalid(f"can't write {exc.filename}: {exc.strerror}") from exc


def _write(issued: Issued, folder: Path, certificate: str, key: str) -> list[Path]:
    return [_write_new(folder / certificate, issued.pem, 0o644), _write_new(folder / key, issued.key_pem, 0o600)]


def _write_new(path: Path, content: bytes, mode: int) -> Path:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    return path
