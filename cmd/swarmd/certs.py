"""`swarmd certs`: a certificate authority, a server's certificate and clients', for a first try of TLS."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from swarmlib import Invalid
from swarmlib_backends import certificates
from swarmlib_backends.certificates import Issued

_CLIENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._-]{0,63}")
"""A client's name: it becomes part of file names, and a common name may have at most 64 characters."""


def make(folder: Path, hosts: Sequence[str], clients: Sequence[str] = ()) -> list[Path]:
    """Write ca.pem, ca-key.pem, server-cert.pem, server-key.pem (for `hosts`), cert.pem and key.pem, and for each of
    `clients` NAME-cert.pem and NAME-key.pem; keys are 0600. Return the files. If only `clients` are given, and the
    folder has an authority, only their files are made.

    Raises:
        Invalid: one of the files exists already (nothing is overwritten), the folder can't be read or written, or a
            name is not valid.
    """
    for name in clients:
        if not _CLIENT.fullmatch(name):
            raise Invalid(f"invalid client name {name!r}: expected {_CLIENT.pattern}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if clients and not hosts and (folder / "ca-key.pem").exists():
            return _clients(folder, _authority(folder), clients)
        names = list(dict.fromkeys(["localhost", "127.0.0.1", "::1", *hosts]))
        authority = certificates.authority()
        server = certificates.server(authority, names)
        return [
            *_write(authority, folder, "ca.pem", "ca-key.pem"),
            *_write(server, folder, "server-cert.pem", "server-key.pem"),
            *_write(certificates.client(authority), folder, "cert.pem", "key.pem"),
            *_clients(folder, authority, clients),
        ]
    except OSError as exc:
        raise Invalid(f"can't use {exc.filename}: {exc.strerror}") from exc


def _authority(folder: Path) -> Issued:
    certificate, key = folder / "ca.pem", folder / "ca-key.pem"
    try:
        return Issued.read(certificate.read_bytes(), key.read_bytes())
    except ValueError as exc:
        raise Invalid(f"{certificate} and {key} are not a valid authority: {exc}") from exc


def _clients(folder: Path, authority: Issued, names: Sequence[str]) -> list[Path]:
    return [
        path
        for name in names
        for path in _write(certificates.client(authority, name), folder, f"{name}-cert.pem", f"{name}-key.pem")
    ]


def _write(issued: Issued, folder: Path, certificate: str, key: str) -> list[Path]:
    return [_write_new(folder / certificate, issued.pem, 0o644), _write_new(folder / key, issued.key_pem, 0o600)]


def _write_new(path: Path, content: bytes, mode: int) -> Path:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    return path
