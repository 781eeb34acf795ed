"""Signed images: a container is made only of an image of which the registry has a signature by a trusted key.

The engine says which digest the image has that it would take, the registry has the signatures of that digest, and the
request goes on with the digest, so that no other image can take its place.

Source: specs/SIGNATURE_SPEC.md of github.com/sigstore/cosign. Transparency logs are not asked.
"""

from __future__ import annotations

import base64
import binascii
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self, TypeAlias, cast

import orjson
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from swarmlib import Denied, Json, Request, Sender, SwarmError, Unavailable, Verb
from swarmlib.asking import call

from ..dockerapi import references
from ..dockerapi.nullable import dict_of
from ..image_patterns import qualified
from .image_ids import Allows, images_in
from .names import IMAGES, reference

Key: TypeAlias = EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey
OPERATION: Final = "ContainerCreate"
"""The operation whose images are checked."""
UNCHECKED: Final = frozenset({"ImageBuild", "ServiceCreate", "ServiceUpdate"})
"""Operations that run what is in an image, though no engine can be asked before which image that will be."""
_TYPE: Final = "cosign container image signature"
_KIND: Final = "images"


@dataclass(frozen=True)
class Signers:
    """The keys that images must be signed with.

    Attributes:
        keys: each by itself is enough.
    """

    keys: Sequence[Key]
    _verified: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]], compare=False, repr=False)
    """The repositories and digests whose signature was found: it stays true."""

    @classmethod
    def read(cls, files: Sequence[str]) -> Self:
        """Read public keys from files in PEM.

        Raises:
            ValueError: one can't be read, or holds no key of a kind that is known.
        """
        return cls([_key(Path(file)) for file in files])

    async def check(self, request: Request, allows: Allows, sender: Sender) -> Request:
        """Return the request for a container with its images by their digests, of which each is signed.

        Raises:
            Denied: an image is not signed.
            SwarmError: the engine's error, such as for an image that does not exist; or the registry's.
        """
        body = cast("dict[str, Any]", copy.deepcopy(request.json))
        for holder, key in images_in(body):
            look = Request(Verb.GET, (_KIND, holder[key]), meta=request.meta.of_caller())
            found = dict_of((await call(sender, look)).value)
            digest = await self._signed(_digests(holder[key], found, allows))
            if digest is None:
                raise Denied(f"{key} {holder[key]!r:.200} is not signed with a key of signed_by")
            if not _is_id(holder[key]):
                holder[key] = f"{holder[key].partition('@')[0]}@{digest}"
        return request.replace(body=Json.from_data(body))

    async def _signed(self, digests: Sequence[str]) -> str | None:
        """Return the first digest that is signed, of references with digests."""
        for each in digests:
            repository, _, digest = each.partition("@")
            if (repository, digest) in self._verified:
                return digest
            if await self._is_signed(repository, digest):
                self._verified.add((repository, digest))
                return digest
        return None

    async def _is_signed(self, repository: str, digest: str) -> bool:
        from ..registry.client import Registries  # needs httpx, which comes with an extra
        from ..registry.stored import stored

        try:
            credentials = await stored(repository.partition("/")[0])
            async with Registries.open() as registries:
                found = await registries.signatures(repository, digest, credentials)
        except SwarmError as exc:
            raise Unavailable(f"the signatures of {repository}@{digest} can't be checked: {exc.message}") from exc
        return any(
            _names(each.payload, digest) and self.is_signed(each.payload, _decoded(each.signature)) for each in found
        )

    def is_signed(self, payload: bytes, signature: bytes) -> bool:
        """Return whether a signature is by one of the keys."""
        return any(_is_by(key, payload, signature) for key in self.keys)


def _digests(text: str, found: Mapping[str, Any], allows: Allows) -> list[str]:
    """Return an image's digests in the repositories in which it is meant, with their registries."""
    digests = [qualified(each) for each in found.get("RepoDigests") or ()]
    if _is_id(text):
        names = [*(found.get("RepoTags") or ()), *(found.get("RepoDigests") or ())]
        meant = {_repository(name) for name in names if allows(reference(IMAGES, name, ""))}
    else:
        meant = {_repository(text)}
    return [each for each in digests if each.partition("@")[0] in meant]


def _repository(name: str) -> str:
    return references.repository(qualified(name))


def _is_id(text: str) -> bool:
    return references.is_digest(text)


def _names(payload: bytes, digest: str) -> bool:
    """Return whether what was signed is an image of this digest."""
    try:
        critical = dict_of(dict_of(orjson.loads(payload)).get("critical"))
    except orjson.JSONDecodeError:
        return False
    return critical.get("type") == _TYPE and dict_of(critical.get("image")).get("docker-manifest-digest") == digest


def _decoded(signature: str) -> bytes:
    """Return a signature that is given in base64; an empty one, which fits nothing, if it is not."""
    try:
        return base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _is_by(key: Key, payload: bytes, signature: bytes) -> bool:
    try:
        _verify(key, signature, payload)
    except InvalidSignature:
        return False
    return True


def _verify(key: Key, signature: bytes, payload: bytes) -> None:
    if isinstance(key, EllipticCurvePublicKey):
        key.verify(signature, payload, ECDSA(SHA256()))
    elif isinstance(key, RSAPublicKey):
        key.verify(signature, payload, PKCS1v15(), SHA256())
    else:
        key.verify(signature, payload)


def _key(file: Path) -> Key:
    try:
        found = load_pem_public_key(file.read_bytes())
    except OSError as exc:
        raise ValueError(f"can't read {file}: {exc.strerror}") from exc
    except (ValueError, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, Key):
        raise ValueError(f"{file} holds no public key in PEM (ECDSA, RSA or Ed25519)")
    return found
