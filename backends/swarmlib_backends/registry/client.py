"""The registries of images, as far as an image has to be known before it is pulled: its digest, its configuration and
its signatures.

Source: the OCI distribution specification, the token specification of github.com/distribution/distribution, and for
signatures specs/SIGNATURE_SPEC.md of github.com/sigstore/cosign.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

import httpx
import orjson
import trio

from swarmlib import BadAnswer, Denied, NotFound, TimedOut, Unavailable

from ..dockerapi import schema
from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.platforms import HERE, Platform
from ..dockerapi.schema import Wrong
from ..http.handshakes import closing_unfinished
from ..http.received import Body
from .credentials import Challenge, Credentials

_SECONDS: Final = 30.0
_LARGEST: Final = 4 * 1024 * 1024
"""The most bytes of a manifest or a configuration; registries themselves allow 4 MiB."""
_HUB: Final = "docker.io"
_HUB_HOST: Final = "registry-1.docker.io"
_INDEXES: Final = frozenset(
    {"application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"}
)
_MANIFESTS: Final = frozenset(
    {"application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"}
)
_SIGNATURE: Final = "dev.cosignproject.cosign/signature"
"""The annotation of a layer with the signature of the layer's content."""
_MOST_SIGNATURES: Final = 64
_CONFIG: Final = schema.reader("#ContainerConfig")


@dataclass(frozen=True)
class Found:
    """An image as its registry has it.

    digest: of the manifest or index that its name stands for. config: as an engine's inspection shows it. about: the
    whole configuration file. size: of all layers, compressed, in bytes.
    """

    digest: str
    config: dict[str, Any]
    about: dict[str, Any] = field(repr=False)
    size: int = 0


class Signature(NamedTuple):
    """A signature, as it was found: nothing is verified yet.

    payload: what is signed, a JSON object that names the image. signature: in base64.
    """

    payload: bytes
    signature: str


class Registries:
    """Asks registries.

    insecure: the registries, as HOST or HOST:PORT, that are spoken to without TLS. mirror: the registry that is asked
    in place of Docker Hub, without the credentials for that; "" for none.
    """

    def __init__(self, client: httpx.AsyncClient, insecure: Sequence[str] = (), mirror: str = "") -> None:
        self._client = client
        self._insecure = frozenset(insecure)
        self._mirror = mirror

    @classmethod
    @asynccontextmanager
    async def open(cls, insecure: Sequence[str] = (), mirror: str = "") -> AsyncGenerator[Registries]:
        """Open a client; nothing is sent yet. The arguments are the class's."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=8)
        async with httpx.AsyncClient(limits=limits, timeout=_SECONDS) as client:
            yield cls(client, insecure, mirror)

    async def find(self, reference: str, credentials: Credentials, platform: Platform = HERE) -> Found:
        """Return what the registry of an image says of it.

        reference: in full, with a tag or a digest.

        Raises:
            NotFound: the registry has no such image, or none for the platform. Denied: it wants other credentials.
            BadAnswer: what it answers is malformed. Unavailable: it can't be reached, or fails.
        """
        name, mark, version = reference.partition("@") if "@" in reference else reference.rpartition(":")
        asked = self._asked(name, credentials, reference)
        with _errors(name):
            return await self._found(asked, version, version if mark == "@" else "", platform)

    async def signatures(self, repository: str, digest: str, credentials: Credentials) -> Sequence[Signature]:
        """Return the signatures that a registry has of an image, in the form of cosign's tag `sha256-HEX.sig`.

        repository: in full, such as docker.io/library/busybox. digest: of the manifest or index.

        Raises:
            Denied, BadAnswer, Unavailable: as `find`.
        """
        asked = self._asked(repository, credentials, f"{repository}@{digest}")
        with _errors(repository):
            try:
                kind, raw = await asked.get(f"manifests/{digest.replace(':', '-')}.sig", accept=tuple(_MANIFESTS))
            except NotFound:
                return []
            if kind not in _MANIFESTS:
                raise BadAnswer(f"the signatures of {asked.reference} are of an unknown kind: {kind!r:.80}")
            layers = [dict_of(each) for each in list_of(_object(raw, asked.reference).get("layers"))]
            signed = [(layer, dict_of(layer.get("annotations")).get(_SIGNATURE)) for layer in layers[:_MOST_SIGNATURES]]
            return [
                Signature(await _blob(asked, str(layer.get("digest") or "")), signature)
                for layer, signature in signed
                if isinstance(signature, str)
            ]

    def _asked(self, repository: str, credentials: Credentials, reference: str) -> _Asked:
        host, _, name = repository.partition("/")
        if host == _HUB and self._mirror:
            host, credentials = self._mirror, Credentials()
        return _Asked(self._base(host), name, credentials, self._client, reference)

    def _base(self, host: str) -> str:
        name = host.rpartition(":")[0] or host
        plain = host in self._insecure or name in ("localhost", "[::1]") or name.startswith("127.")
        return f"{'http' if plain else 'https'}://{_HUB_HOST if host == _HUB else host}"

    async def _found(self, asked: _Asked, version: str, digest: str, platform: Platform) -> Found:
        kind, raw = await asked.get(f"manifests/{version}", accept=(*_MANIFESTS, *_INDEXES))
        named = _checked(raw, digest)
        manifest = _object(raw, asked.reference)
        if kind in _INDEXES:
            chosen = _of_platform(manifest, platform, asked.reference)
            kind, raw = await asked.get(f"manifests/{chosen}", accept=tuple(_MANIFESTS))
            _checked(raw, chosen)
            manifest = _object(raw, asked.reference)
        if kind not in _MANIFESTS:
            raise BadAnswer(f"the manifest of {asked.reference} is of an unknown kind: {kind!r:.80}")
        described = str(dict_of(manifest.get("config")).get("digest") or "")
        about = _object(await _blob(asked, described), asked.reference)
        layers = [dict_of(each) for each in list_of(manifest.get("layers"))]
        config = config_of(about, asked.reference)
        try:
            return Found(named, config, about, sum(int(each["size"]) for each in layers))
        except (KeyError, TypeError, ValueError) as exc:
            raise BadAnswer(f"the registry gave a malformed manifest of {asked.reference}: {exc}") from exc


def config_of(about: Mapping[str, Any], reference: str) -> dict[str, Any]:
    """Return the `Config` of an engine's inspection, out of an image's whole configuration file.

    Raises:
        BadAnswer: it is malformed; names the image.
    """
    try:
        return cast("dict[str, Any]", _CONFIG(_known(about)))
    except Wrong as exc:
        raise BadAnswer(f"the configuration of {reference} is malformed: {exc}") from exc


async def _blob(asked: _Asked, digest: str) -> bytes:
    _, raw = await asked.get(f"blobs/{digest}", accept=("*/*",))
    _checked(raw, digest)
    return raw


def _known(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a configuration that an engine knows: others, such as a builder's own, are not its."""
    fields = schema.empty("ContainerConfig")
    return {name: value for name, value in dict_of(about.get("config")).items() if name in fields}


def _of_platform(index: Mapping[str, Any], platform: Platform, reference: str) -> str:
    """Return the digest of an index's manifest for a platform. Raises `NotFound` if it has none."""
    for each in map(dict_of, list_of(index.get("manifests"))):
        of = dict_of(each.get("platform"))
        if (of.get("os"), of.get("architecture")) == (platform.system, platform.machine):
            return str(each.get("digest"))
    raise NotFound(f"no matching manifest for {platform} in the manifest list entries of {reference}")


def _object(raw: bytes, reference: str) -> dict[str, Any]:
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise BadAnswer(f"the registry gave a malformed answer about {reference}")
    return cast("dict[str, Any]", found)


def _checked(raw: bytes, digest: str) -> str:
    """Return the digest of what a registry answered. Raises `BadAnswer` if another one was asked for."""
    found = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    if digest and found != digest:
        raise BadAnswer(f"the registry answered {found} where {digest} was asked for")
    return found


@dataclass
class _Asked:
    """The requests about one image."""

    base: str
    name: str
    credentials: Credentials
    client: httpx.AsyncClient
    reference: str
    authorization: str = field(default="", repr=False)

    async def get(self, path: str, *, accept: Sequence[str]) -> tuple[str, bytes]:
        """Return the type of a body, and the body. A registry that wants to know who asks is told once."""
        url = f"{self.base}/v2/{self.name}/{path}"
        for _ in range(2):
            async with self._answer(url, accept) as response:
                if response.status_code == 401 and not self.authorization:
                    challenge = Challenge.read(response.headers.get("www-authenticate", ""))
                    self.authorization = await self._authorize(challenge)
                    continue
                self._check(response)
                kind = response.headers.get("content-type", "").partition(";")[0].strip()
                return kind, await _body(response)
        raise Denied(f"pull access denied for {self.reference}: may require 'docker login'")

    @asynccontextmanager
    async def _answer(self, url: str, accept: Sequence[str]) -> AsyncGenerator[httpx.Response]:
        headers = {"Accept": ", ".join(accept), "Accept-Encoding": "identity"}
        if self.authorization:
            headers["Authorization"] = self.authorization
        # A blob may lie elsewhere; httpx does not tell another origin who asks.
        async with (
            closing_unfinished() as extensions,
            self.client.stream("GET", url, headers=headers, follow_redirects=True, extensions=extensions) as response,
        ):
            yield response

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status == 200:
            return
        if status in (401, 403):
            raise Denied(f"pull access denied for {self.reference}: may require 'docker login'")
        if status == 404:
            raise NotFound(f"manifest for {self.reference} not found: manifest unknown")
        raise Unavailable(f"the registry answered {status} when it was asked for {self.reference}")

    async def _authorize(self, challenge: Challenge) -> str:
        """Return the header `Authorization` that a challenge asks for."""
        if challenge.scheme == "basic" and self.credentials.basic:
            return self.credentials.basic
        if challenge.scheme != "bearer":
            raise Denied(f"pull access denied for {self.reference}: may require 'docker login'")
        if self.credentials.registry_token:
            return f"Bearer {self.credentials.registry_token}"
        return f"Bearer {await self._token(challenge.params)}"

    async def _token(self, params: Mapping[str, str]) -> str:
        realm = params.get("realm", "")
        if urlsplit(realm).scheme != "https" and not self.base.startswith("http:"):
            raise BadAnswer(f"the registry of {self.reference} sends for a token to {realm!r:.200}, which has no TLS")
        asked = {name: params[name] for name in ("service", "scope") if params.get(name)}
        if self.credentials.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": self.credentials.identity_token, **asked}
            request = self.client.build_request("POST", realm, data={**form, "client_id": "swarmlib"})
        else:
            headers = {"Authorization": self.credentials.basic} if self.credentials.basic else {}
            request = self.client.build_request("GET", realm, params=asked, headers=headers)
        response = await self.client.send(request, stream=True)
        try:
            if response.status_code != 200:
                raise Denied(f"pull access denied for {self.reference}: may require 'docker login'")
            answer = _object(await _body(response), self.reference)
        finally:
            await response.aclose()
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str):
            raise BadAnswer(f"the registry of {self.reference} gave no token")
        return token


async def _body(response: httpx.Response) -> bytes:
    async with Body(response, "the registry") as body:
        return await body.whole(_LARGEST)


@contextmanager
def _errors(name: str) -> Generator[None]:
    """Raise what keeps a registry from answering, and its silence. name: of a repository."""
    host = name.partition("/")[0]
    with trio.move_on_after(_SECONDS):
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL, trio.BrokenResourceError) as exc:
            raise Unavailable(f"can't reach the registry {host}: {str(exc) or type(exc).__name__}") from exc
        return
    raise TimedOut(f"the registry {host} did not answer within {_SECONDS:g} s")
