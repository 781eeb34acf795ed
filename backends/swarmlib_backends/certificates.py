"""Certificates for TLS with an authority of one's own: the authority's, and those that it issues."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from swarmlib import Invalid

_VALID: Final = timedelta(days=825)
"""The longest validity of a server's certificate that every client accepts."""
_LEAF: Final = x509.BasicConstraints(ca=False, path_length=None)
_CRITICAL: Final = (x509.BasicConstraints, x509.KeyUsage)
"""The extensions that a verifier must understand (RFC 5280, 4.2.1.3 and 4.2.1.9)."""


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def read(cls, pem: bytes, key_pem: bytes) -> Issued:
        """Read a certificate and its key.

        Raises:
            ValueError: the certificate can't be read, or the key is not an unencrypted key.
        """
        try:
            key = cast("ec.EllipticCurvePrivateKey", load_pem_private_key(key_pem, None))
        except TypeError as exc:
            raise ValueError(str(exc)) from exc
        return cls(key, x509.load_pem_x509_certificate(pem))

    @property
    def key_pem(self) -> bytes:
        """The key, unencrypted, in PKCS #8."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.PEM)


def authority(name: str = "swarmlib authority") -> Issued:
    """Create an authority, which may issue certificates for servers and clients, but not for further authorities."""
    return _issue(name, None, x509.BasicConstraints(ca=True, path_length=0))


def server(issuer: Issued, hosts: Sequence[str]) -> Issued:
    """Issue a server's certificate for host names and addresses, whose subject is the last of them.

    Raises:
        Invalid: a host is neither a name nor an address.
    """
    names = x509.SubjectAlternativeName([_name(host) for host in hosts])
    return _issue(hosts[-1], issuer, _LEAF, names, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]))


def client(issuer: Issued, name: str = "client") -> Issued:
    """Issue a client's certificate."""
    return _issue(name, issuer, _LEAF, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]))


def loopback_tls(name: str, *hosts: str) -> tuple[ssl.SSLContext, ssl.SSLContext, bytes]:
    """Return what a server on this machine needs that nobody knows yet: its own TLS, that of clients who trust it, and
    the certificate of its authority, whose name is given.

    hosts: what else the server is called.

    Raises:
        Invalid: a host is neither a name nor an address.
    """
    issuer = authority(name)
    issued = server(issuer, [*dict.fromkeys(["localhost", "127.0.0.1", *hosts])])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:  # the ssl module only reads files
        file = Path(folder) / "server.pem"
        file.touch(0o600)
        file.write_bytes(issued.pem + issued.key_pem)
        context.load_cert_chain(file)
    return context, ssl.create_default_context(cadata=issuer.pem.decode()), issuer.pem


def _issue(subject: str, issuer: Issued | None, *extensions: x509.ExtensionType) -> Issued:
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
    for extension in (*extensions, *_profile(key, issuer)):
        builder = builder.add_extension(extension, critical=isinstance(extension, _CRITICAL))
    return Issued(key, builder.sign(issuer.key if issuer else key, hashes.SHA256()))


def _profile(key: ec.EllipticCurvePrivateKey, issuer: Issued | None) -> list[x509.ExtensionType]:
    """Return the extensions that RFC 5280 (4.2.1.1 to 4.2.1.3) demands of every certificate, and strict verifiers
    require: the usage of the key, and the identifiers of this key and of the issuer's.
    """
    issuing_key = issuer.key if issuer else key
    return [
        _key_usage(authority=issuer is None),
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing_key.public_key()),
    ]


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    """Return the usage of a key: an authority's signs certificates and revocation lists, any other signs handshakes."""
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as exc:
        raise Invalid(f"{host!r} is neither a host name nor an address") from exc
