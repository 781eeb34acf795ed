"""Signed images: whose signature counts, of what, and what an engine is then asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from swarmlib import Chain, Client, Denied, Invalid, NotFound, Request, Server, Unavailable, argument
from swarmlib_backends.policy import Policy, document
from swarmlib_backends.policy.signatures import Signers
from swarmlib_backends.registry.client import Registries, Signature
from swarmlib_backends.registry.credentials import Credentials
from tests.support.engines import docker, engine, swarmd
from tests.support.registries import registry
from tests.support.signing import Signer, payload_of

REPOSITORY = "docker.io/library/app"
DIGEST, OTHER = (f"sha256:{letter * 64}" for letter in "ab")
ID = f"sha256:{'c' * 64}"


@dataclass
class Fixed(Server):
    """An engine with one image, `app`, that answers a creation with the image that it was asked for."""

    digests: list[str] = argument("the image's", default=None)  # type: ignore[assignment]

    async def get(self, request: Request) -> Any:
        if request.path[1] in ("app", ID, f"app@{DIGEST}"):
            return {"Id": ID, "RepoTags": ["app:latest"], "RepoDigests": self.digests}
        raise NotFound("No such image")

    async def spawn(self, request: Request) -> Any:
        return {"Id": request.json["Image"]}


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Signature]]:
    """What the registry has: signatures, by repository and digest; the registry `down` does not answer."""
    known: dict[str, list[Signature]] = {}

    async def signatures(_: Registries, repository: str, digest: str, __: Credentials) -> Sequence[Signature]:
        if repository.startswith("down.example"):
            raise Unavailable("can't reach the registry down.example")
        return known.get(f"{repository}@{digest}", [])

    monkeypatch.setattr(Registries, "signatures", signatures)
    return known


async def made(folder: Path, image: str, *digests: str, images: str = "app") -> str:
    """The image that the engine is asked for."""
    rules = f'[[rule]]\nallow = ["ContainerCreate"]\n[rule.container]\nimages = ["{images}"]\n'
    (folder / "rules.toml").write_text(f'{rules}signed_by = ["{folder}/key.pub"]\n')
    async with Chain(Fixed([*digests])).open() as sender, Policy(folder / "rules.toml").open(sender) as policy:
        box = await Client(policy).spawn({"Image": image})
        return box.id


def signed(signer: Signer, digest: str = DIGEST, **options: str) -> Signature:
    payload = payload_of(REPOSITORY, digest, **options)
    return Signature(payload, signer.signature(payload))


async def test_a_signed_image_is_made_by_its_digest(tmp_path: Path, found: dict[str, list[Signature]]) -> None:
    signer = Signer()
    signer.saved(tmp_path / "key.pub")
    found[f"{REPOSITORY}@{DIGEST}"] = [signed(Signer()), signed(signer)]
    assert await made(tmp_path, "app", f"app@{OTHER}", f"app@{DIGEST}") == f"app@{DIGEST}"
    assert await made(tmp_path, f"app@{DIGEST}", f"app@{DIGEST}", images="app@sha256:*") == f"app@{DIGEST}"
    assert await made(tmp_path, ID, f"app@{DIGEST}") == ID


async def test_what_is_not_signed_by_the_key_for_this_image_is_denied(
    tmp_path: Path, found: dict[str, list[Signature]]
) -> None:
    signer = Signer()
    signer.saved(tmp_path / "key.pub")
    payload = payload_of(REPOSITORY, DIGEST)
    good = signer.signature(payload)
    for wrong in (
        [],
        [signed(Signer())],
        [signed(signer, OTHER)],
        [signed(signer, kind="another signature")],
        [Signature(payload + b" ", good)],
        [Signature(payload, good[:-4]), Signature(payload, "no base64"), Signature(payload, "")],
        [Signature(b"[]", signer.signature(b"[]")), Signature(b"{", signer.signature(b"{"))],
    ):
        found[f"{REPOSITORY}@{DIGEST}"] = wrong
        with pytest.raises(Denied, match="'app' is not signed with a key of signed_by"):
            await made(tmp_path, "app", f"app@{DIGEST}")
    found[f"{REPOSITORY}@{DIGEST}"] = [signed(signer)]
    with pytest.raises(Denied, match="not signed"):  # as what was built, loaded or committed here
        await made(tmp_path, "app")
    with pytest.raises(Denied, match="not signed"):  # the signature is for another name of the image
        await made(tmp_path, "app", f"other@{DIGEST}")


async def test_a_registry_that_can_not_be_asked_means_no(tmp_path: Path, found: dict[str, list[Signature]]) -> None:
    Signer().saved(tmp_path / "key.pub")
    with pytest.raises(
        Unavailable, match=r"the signatures of down.example/app@sha256:a+ can't be checked: can't reach"
    ):
        await made(tmp_path, ID, f"down.example/app@{DIGEST}", images="**")


async def test_an_image_that_is_not_there_is_the_engine_s_error(tmp_path: Path) -> None:
    Signer().saved(tmp_path / "key.pub")
    with pytest.raises(NotFound, match="No such image"):
        await made(tmp_path, "nosuch", images="*")


def test_other_kinds_of_keys_are_known(tmp_path: Path) -> None:
    ed25519, rsa = Ed25519PrivateKey.generate(), generate_private_key(65537, 2048)
    for name, key in (("ed25519", ed25519), ("rsa", rsa)):
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / name).write_bytes(pem)
    signers = Signers.read([str(tmp_path / "ed25519"), str(tmp_path / "rsa")])
    assert len(signers.keys) == 2
    assert signers.is_signed(b"x", ed25519.sign(b"x"))
    assert signers.is_signed(b"x", rsa.sign(b"x", PKCS1v15(), SHA256()))
    assert not signers.is_signed(b"y", rsa.sign(b"x", PKCS1v15(), SHA256()))


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ('signed_by = ["nosuch.pub"]', "can't read nosuch.pub: No such file"),
        ('signed_by = ["{folder}/text"]', "holds no public key in PEM"),
        ('signed_by = ["{folder}/key.pub"]', "the images of ImageBuild can't be checked: allow it in another rule"),
    ],
)
def test_mistakes_in_the_rules_are_told(tmp_path: Path, rule: str, words: str) -> None:
    Signer().saved(tmp_path / "key.pub")
    (tmp_path / "text").write_text("text")
    allow = '"ImageBuild"' if "key.pub" in rule else '"ContainerCreate"'
    with pytest.raises(Invalid, match=rf"rules.toml:4: .*{words}"):
        document.parse(f"[[rule]]\nallow = [{allow}]\n[rule.container]\n{rule.format(folder=tmp_path)}\n", "rules.toml")


@pytest.mark.engine
def test_a_signed_image_runs_and_no_other_does_on_a_real_engine(tmp_path: Path) -> None:
    signer = Signer()
    with (
        registry(tmp_path, password=False) as address,
        engine(["--bridge=none", "--iptables=false", "--ip6tables=false"], namespaces="-m") as real,
    ):
        key = signer.saved(tmp_path / "key.pub")
        operations = '"SystemPing*", "SystemVersion", "Container*", "Image[CILT]*"'
        rules = f'[[rule]]\nallow = [{operations}]\n[rule.container]\nimages = ["**"]\nnamespaces = ["network=none"]\n'
        (tmp_path / "rules.toml").write_text(f'{rules}networks = ["none"]\nsigned_by = ["{key}"]\n')
        for name in ("good", "bad"):
            docker(real.host, "tag", "busybox", f"{address}/{name}:1", check=True)
        docker(real.host, "push", f"{address}/good:1", check=True)
        (described,) = json.loads(docker(real.host, "inspect", f"{address}/good:1", check=True).stdout)
        signer.sign(f"{address}/good", described["RepoDigests"][0].partition("@")[2])
        with swarmd(f"policy {tmp_path}/rules.toml", f"docker {real.host}") as guarded:

            def run(image: str) -> str:
                done = docker(guarded.host, "run", "--rm", "--network", "none", image, "echo", "signed")
                return (done.stdout + done.stderr).decode()

            assert run(f"{address}/good:1") == "signed\n"
            assert run(described["Id"]) == "signed\n"
            assert f"Image '{address}/bad:1' is not signed with a key of signed_by" in run(f"{address}/bad:1")
