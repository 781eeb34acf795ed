"""What registries say of images: Debian's docker-registry, open and with a password, and answers that lie."""

import base64
import hashlib
import json
import subprocess
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from swarmlib import BadAnswer, Denied, Invalid, NotFound, TooLarge, Unavailable, Unsupported
from swarmlib_backends.dockerapi.platforms import Platform
from swarmlib_backends.kubernetes.images.pulling import pull_secret
from swarmlib_backends.kubernetes.options import KubernetesOptions
from swarmlib_backends.registry.client import Registries
from swarmlib_backends.registry.credentials import Challenge, Credentials
from tests.support.engines import Engine, docker
from tests.support.registries import PASSWORD, USER, registry


@pytest.fixture(scope="module", params=[False, True], ids=["open", "private"])
def pushed(
    request: pytest.FixtureRequest, engines: tuple[Engine, Engine], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An image with a command, in a registry with a password or without."""
    host = engines[0].host
    made = docker(host, "create", "busybox", check=True).stdout.decode().strip()
    docker(host, "commit", "-c", 'CMD ["echo", "hi"]', "-c", "ENV A=b", made, "with-command:1", check=True)
    docker(host, "rm", made, check=True)
    with registry(tmp_path_factory.mktemp("registry"), password=request.param) as address:
        copy = ["skopeo", "copy", "--insecure-policy", "--src-daemon-host", host, "--dest-tls-verify=false"]
        credentials = ["--dest-creds", f"{USER}:{PASSWORD}"] if request.param else []
        name = f"{address}/box:1"
        subprocess.run([*copy, *credentials, "docker-daemon:with-command:1", f"docker://{name}"], check=True)
        yield name
    docker(host, "rmi", "with-command:1", check=True)


@pytest.fixture
async def registries() -> AsyncIterator[Registries]:
    async with Registries.open() as opened:
        yield opened


ME = Credentials(USER, PASSWORD)


@pytest.mark.engine
async def test_the_configuration_of_an_image_is_found(registries: Registries, pushed: str) -> None:
    found = await registries.find(pushed, ME)
    assert found.config["Cmd"] == ["echo", "hi"]
    assert "A=b" in found.config["Env"]
    assert found.size > 100_000
    by_digest = await registries.find(f"{pushed.rpartition(':')[0]}@{found.digest}", ME)
    assert by_digest == found


@pytest.mark.engine
async def test_what_is_not_there_or_not_shown_is_told_apart(registries: Registries, pushed: str) -> None:
    with pytest.raises(NotFound, match="manifest unknown"):
        await registries.find(pushed.replace("/box:", "/bag:"), ME)
    if await _asks_for_password(pushed):
        with pytest.raises(Denied, match="docker login"):
            await registries.find(pushed, Credentials())
        with pytest.raises(Denied, match="docker login"):
            await registries.find(pushed, Credentials(USER, "wrong"))


async def _asks_for_password(name: str) -> bool:
    async with httpx.AsyncClient() as client:
        return (await client.get(f"http://{name.partition('/')[0]}/v2/")).status_code == 401


def answering(answers: dict[str, httpx.Response]) -> Registries:
    """A registry with these answers by path."""
    return Registries(httpx.AsyncClient(transport=httpx.MockTransport(lambda asked: answers[asked.url.path])))


MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.mark.parametrize(
    ("kind", "body", "error", "words"),
    [
        (MANIFEST, b"[", BadAnswer, "malformed answer"),
        (MANIFEST, b"{}", NotFound, "manifest unknown"),
        ("text/html", b"{}", BadAnswer, "unknown kind"),
        (INDEX, b'{"manifests": []}', NotFound, "no matching manifest for linux/amd64"),
        (MANIFEST, b" " * (5 << 20), TooLarge, "longer than 4194304 bytes"),
    ],
)
async def test_answers_that_are_malformed_are_refused(
    kind: str, body: bytes, error: type[Exception], words: str
) -> None:
    answers = {
        "/v2/a/manifests/1": httpx.Response(200, headers={"content-type": kind}, stream=httpx.ByteStream(body)),
        "/v2/a/blobs/": httpx.Response(404),
    }
    with pytest.raises(error, match=words):
        await answering(answers).find("example.com/a:1", Credentials())


async def test_a_blob_that_is_not_the_one_that_was_named_is_refused() -> None:
    manifest = json.dumps({"config": {"digest": f"sha256:{'0' * 64}"}, "layers": []}).encode()
    answers = {
        "/v2/a/manifests/1": httpx.Response(200, headers={"content-type": MANIFEST}, stream=httpx.ByteStream(manifest)),
        f"/v2/a/blobs/sha256:{'0' * 64}": httpx.Response(200, stream=httpx.ByteStream(b'{"config": {}}')),
    }
    with pytest.raises(BadAnswer, match="where sha256:0000"):
        await answering(answers).find("example.com/a:1", Credentials())


async def test_a_manifest_that_is_not_the_one_that_an_index_names_is_refused() -> None:
    named = f"sha256:{'0' * 64}"
    platform = {"os": "linux", "architecture": "amd64"}
    index = json.dumps({"manifests": [{"digest": named, "platform": platform}]}).encode()
    config = b'{"config": {}}'
    of_config = f"sha256:{hashlib.sha256(config).hexdigest()}"
    manifest = json.dumps({"config": {"digest": of_config}, "layers": []}).encode()

    def answer(kind: str, body: bytes) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": kind}, stream=httpx.ByteStream(body))

    answers = {
        "/v2/a/manifests/1": answer(INDEX, index),
        f"/v2/a/manifests/{named}": answer(MANIFEST, manifest),
        f"/v2/a/blobs/{of_config}": answer("application/octet-stream", config),
    }
    with pytest.raises(BadAnswer, match="where sha256:0000"):
        await answering(answers).find("example.com/a:1", Credentials(), Platform("linux", "amd64"))


async def test_a_mirror_is_asked_in_place_of_docker_hub_and_gets_no_password_of_it() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(404) if len(asked) > 1 else httpx.Response(401, headers={"www-authenticate": "Basic"})

    registries = Registries(httpx.AsyncClient(transport=httpx.MockTransport(answer)), mirror="127.0.0.1:5000")
    with pytest.raises(Denied, match=r"pull access denied for docker\.io/library/box:1"):
        await registries.find("docker.io/library/box:1", ME)
    with pytest.raises(NotFound):
        await registries.find("ghcr.io/me/box:1", ME)
    assert [str(each.url) for each in asked] == [
        "http://127.0.0.1:5000/v2/library/box/manifests/1",
        "https://ghcr.io/v2/me/box/manifests/1",
    ]
    assert "authorization" not in asked[0].headers


@pytest.mark.parametrize("mirror", ["nobody", "mirror.example/path", "a b:1", "mirror.example:x"])
def test_a_mirror_is_a_host_and_perhaps_a_port(mirror: str) -> None:
    with pytest.raises(Invalid, match=r"invalid registry .*: expected HOST\[:PORT\]"):
        KubernetesOptions(registry_mirror=mirror).check_options()
    KubernetesOptions(registry_mirror="mirror.example:5000").check_options()


async def test_a_password_is_not_sent_to_a_place_without_tls() -> None:
    challenge = 'Bearer realm="http://evil.example/token",service="x"'
    answers = {"/v2/a/manifests/1": httpx.Response(401, headers={"www-authenticate": challenge})}
    with pytest.raises(BadAnswer, match="has no TLS"):
        await answering(answers).find("example.com/a:1", ME)


async def test_a_registry_that_fails_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="answered 500"):
        await answering({"/v2/a/manifests/1": httpx.Response(500)}).find("example.com/a:1", Credentials())


@pytest.mark.parametrize(
    "header", ["!", base64.b64encode(b"[]").decode(), base64.b64encode(b'{"username": 1}').decode()]
)
def test_malformed_credentials_are_refused(header: str) -> None:
    with pytest.raises(Invalid, match="X-Registry-Auth"):
        Credentials.read(header)


def test_credentials_are_read_and_never_shown() -> None:
    header = base64.urlsafe_b64encode(b'{"username": "u", "password": "geheim", "serveraddress": "x"}').decode()
    read = Credentials.read(header)
    assert read == Credentials("u", "geheim")
    assert "geheim" not in repr(read)


def test_a_challenge_is_read() -> None:
    assert Challenge.read('Bearer realm="https://a/t",scope="repository:a:pull"') == Challenge(
        "bearer", {"realm": "https://a/t", "scope": "repository:a:pull"}
    )


def test_the_secret_of_an_image_is_what_kubelets_read() -> None:
    made = pull_secret("box", Credentials("u", "p"))
    assert made is not None
    config = json.loads(base64.b64decode(made["data"][".dockerconfigjson"]))
    assert config == {"auths": {"https://index.docker.io/v1/": {"auth": base64.b64encode(b"u:p").decode()}}}
    assert pull_secret("box", Credentials()) is None
    with pytest.raises(Unsupported, match="by a token"):
        pull_secret("box", Credentials(identity_token="t"))
