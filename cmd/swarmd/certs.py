"""Makes certificates for a first try of TLS: an authority's, a server's and a client's, in Docker's file names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from swarmlib import Invalid

_VALID: Final = timedelta(days=825)
"""The longest that every client accepts of a server's certificate."""


@dataclass(frozen=True)
class _Issued:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def write(self, folder: Path, certificate: str, key: str) -> list[Path]:
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return [
            _write_new(folder / certificate, self.certificate.public_bytes(Encoding.PEM), 0o644),
            _write_new(folder / key, pem, 0o600),
        ]


def make(folder: Path, hosts: Sequence[str]) -> list[Path]:
    """Write ca.pem, ca-key.pem, server-cert.pem, server-key.pem (for `hosts`), cert.pem and key.pem; keys are 0600.

    Raises:
        Invalid: one of the files is there already (nothing is overwritten), or the folder can't be written.
    """
    names = list(dict.fromkeys(["localhost", "127.0.0.1", "::1", *hosts]))
    authority = _issue("swarmlib authority", None, x509.BasicConstraints(ca=True, path_length=0))
    leaf = x509.BasicConstraints(ca=False, path_length=None)
    server = _issue(names[-1], authority, leaf, _names(names), _use(ExtendedKeyUsageOID.SERVER_AUTH))
    client = _issue("client", authority, leaf, _use(ExtendedKeyUsageOID.CLIENT_AUTH))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [
            *authority.write(folder, "ca.pem", "ca-key.pem"),
            *server.write(folder, "server-cert.pem", "server-key.pem"),
            *client.write(folder, "cert.pem", "key.pem"),
        ]
    except OSError as exc:
        raise Invalid(f"can't write {exc.filename}: {exc.strerror}") from exc


def _issue(subject: str, issuer: _Issued | None, *extensions: x509.ExtensionType) -> _Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _VALID)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return _Issued(key, builder.sign(issuer.key if issuer else key, hashes.SHA256()))


def _names(hosts: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_name(host) for host in hosts])


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as exc:
        raise Invalid(f"{host!r} is neither a host name nor an address") from exc


def _use(purpose: x509.ObjectIdentifier) -> x509.ExtendedKeyUsage:
    return x509.ExtendedKeyUsage([purpose])


def _write_new(path: Path, content: bytes, mode: int) -> Path:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    return path
