"""The user's own certificate authority, for engines that are reached by TLS and for swarmd as their client.

It is kept with swarmd's state, in a folder that also serves as the docker CLI's DOCKER_CERT_PATH.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from swarmlib import Invalid

from .. import certificates
from ..certificates import Issued
from .cloudinit import certificates as cloud_config


def folder(state: Path) -> Path:
    """Return the folder with ca.pem, cert.pem and key.pem for clients, and ca-key.pem; create it if it is missing.

    Raises:
        Invalid: the folder can't be written.
    """
    found = state / "azure-tls"
    if not found.exists():
        try:
            _make(found)
        except OSError as exc:
            raise Invalid(f"can't make the certificates in {found}: {exc}") from exc
    return found


def _make(place: Path) -> None:
    """Create the folder under a temporary name, then rename it: if two swarmds do this at once, the first one wins."""
    place.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f"{place.name}-", dir=place.parent))
    authority = certificates.authority()
    client = certificates.client(authority)
    for certificate, key, issued in (("ca.pem", "ca-key.pem", authority), ("cert.pem", "key.pem", client)):
        (new / certificate).write_bytes(issued.pem)
        (new / key).touch(0o600)
        (new / key).write_bytes(issued.key_pem)
    try:
        new.rename(place)
    except OSError:
        shutil.rmtree(new)
        if not place.exists():
            raise


def server_config(place: Path, hosts: Sequence[str]) -> bytes:
    """Return the part of the cloud-init configuration that gives an engine a certificate for its addresses.

    Raises:
        Invalid: the authority can't be read.
    """
    try:
        authority = Issued.read((place / "ca.pem").read_bytes(), (place / "ca-key.pem").read_bytes())
    except (OSError, ValueError) as exc:
        raise Invalid(f"no authority found in {place}: {exc}; remove the folder to make a new one") from exc
    made = certificates.server(authority, hosts)
    return cloud_config(authority.pem, made.pem, made.key_pem)
