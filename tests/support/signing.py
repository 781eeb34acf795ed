"""Signs images in a registry as cosign does: by a manifest with the tag `sha256-HEX.sig`, whose layers are signed."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_SIGNED = "application/vnd.dev.cosign.simplesigning.v1+json"


class Signer:
    """Somebody with a key of his own."""

    def __init__(self) -> None:
        self.key: EllipticCurvePrivateKey = generate_private_key(SECP256R1())

    @property
    def pem(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def saved(self, file: Path) -> Path:
        """Write the public key into a file."""
        file.write_bytes(self.pem)
        return file

    def signature(self, payload: bytes) -> str:
        """Sign what names an image; in base64."""
        return base64.b64encode(self.key.sign(payload, ECDSA(SHA256()))).decode()

    def sign(self, repository: str, digest: str) -> None:
        """Put a signature of an image into its registry, an open one on the loopback."""
        payload = payload_of(repository, digest)
        host, _, name = repository.partition("/")
        with httpx.Client(base_url=f"http://{host}/v2/{name}/") as client:
            blobs = [_upload(client, blob) for blob in (b"{}", payload)]
            config, layer = ({"digest": blob, "size": size} for blob, size in blobs)
            manifest = {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
                "layers": [
                    {
                        "mediaType": _SIGNED,
                        **layer,
                        "annotations": {"dev.cosignproject.cosign/signature": self.signature(payload)},
                    }
                ],
            }
            tag = f"{digest.replace(':', '-')}.sig"
            body, headers = json.dumps(manifest).encode(), {"Content-Type": _MANIFEST}
            client.put(f"manifests/{tag}", content=body, headers=headers).raise_for_status()


def payload_of(repository: str, digest: str, *, kind: str = "cosign container image signature") -> bytes:
    """What is signed of an image."""
    critical = {
        "identity": {"docker-reference": repository},
        "image": {"docker-manifest-digest": digest},
        "type": kind,
    }
    return json.dumps({"critical": critical, "optional": None}).encode()


def _upload(client: httpx.Client, blob: bytes) -> tuple[str, int]:
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    begun = client.post("blobs/uploads/").raise_for_status()
    location = httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": digest})
    client.put(location, content=blob).raise_for_status()
    return digest, len(blob)
