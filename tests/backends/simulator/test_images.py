"""Images that the simulator saves are images to others: a real engine, and skopeo."""

import gzip
import hashlib
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmlib import SwarmError, connect
from swarmlib_backends.served import Served, served
from tests.support.differential import tar_of
from tests.support.engines import Engine, docker


@pytest.fixture(scope="module")
def swarm() -> Iterator[Served]:
    with served("simulator --image redis:7") as running:
        docker(running.host, "run", "--name", "made", "busybox", "sh", "-c", "echo kept > /file", check=True)
        docker(running.host, "commit", "-c", "LABEL a=b", "made", "committed:1", check=True)
        yield running


def saved(swarm: Served, image: str) -> bytes:
    return docker(swarm.host, "save", image, check=True).stdout


@pytest.mark.engine
@pytest.mark.parametrize("image", ["busybox:latest", "redis:7", "committed:1"])
def test_a_saved_image_says_what_its_layers_are(swarm: Served, image: str) -> None:
    with tarfile.open(fileobj=io.BytesIO(saved(swarm, image))) as archive:

        def read(name: str) -> bytes:
            found = archive.extractfile(name)
            assert found is not None
            return found.read()

        (manifest,) = json.loads(read("manifest.json"))
        layers = [f"sha256:{hashlib.sha256(read(name)).hexdigest()}" for name in manifest["Layers"]]
        assert json.loads(read(manifest["Config"]))["rootfs"] == {"type": "layers", "diff_ids": layers}


@pytest.mark.engine
@pytest.mark.parametrize("image", ["redis:7", "committed:1"])
def test_a_real_engine_loads_it(swarm: Served, engines: tuple[Engine, Engine], image: str) -> None:
    host = engines[0].host
    loaded = docker(host, "load", input=saved(swarm, image))
    assert (loaded.returncode, loaded.stdout) == (0, f"Loaded image: {image}\n".encode()), loaded.stderr
    try:
        ours, theirs = (json.loads(docker(each, "inspect", image, check=True).stdout)[0] for each in (swarm.host, host))
        for name in ("Cmd", "Entrypoint", "Env", "Labels", "WorkingDir"):
            assert theirs["Config"][name] == ours["Config"][name]
    finally:
        docker(host, "rmi", image)


@pytest.mark.engine
def test_skopeo_reads_it(swarm: Served, tmp_path: Path) -> None:
    (tmp_path / "saved.tar").write_bytes(saved(swarm, "committed:1"))
    copy = ["skopeo", "copy", f"docker-archive:{tmp_path}/saved.tar", f"oci:{tmp_path}/copy:1"]
    done = subprocess.run(copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


GARBAGE = {
    "text": b"abc",
    "noise": bytes(range(256)) * 4,
    "zeros": bytes(10240),
    "a cut tar": gzip.compress(tar_of("file", bytes(range(256))))[:60],
    "another tar": tar_of("file", b"data"),
    "cut JSON": tar_of("manifest.json", b"[{"),
    "no JSON": tar_of("manifest.json", b"[}"),
    "an absent image": tar_of("manifest.json", b'[{"Config": "nosuch.json"}]'),
}


@pytest.mark.engine
@pytest.mark.parametrize("what", GARBAGE)
def test_what_is_no_image_is_refused_in_an_engines_words(
    swarm: Served, engines: tuple[Engine, Engine], what: str
) -> None:
    ours, theirs = (load(host, GARBAGE[what]) for host in (swarm.host, engines[0].host))
    assert ours == theirs


def load(host: str, data: bytes) -> tuple[int, str]:
    done = docker(host, "load", input=data)
    return done.returncode, re.sub(r"/\S+/docker-import-\d+/", "", done.stderr.decode())


@pytest.mark.engine
def test_an_image_that_is_no_object_is_refused_by_its_place(swarm: Served) -> None:
    assert "[0].Layers must be an array" in load(swarm.host, tar_of("manifest.json", b'[{"Layers": 5}]'))[1]


async def test_the_password_of_an_address_that_nothing_is_at_is_not_repeated() -> None:
    async with connect("simulator --offline") as client:
        with pytest.raises(SwarmError, match=r"http://me:\*\*\*@x\.invalid/a\.tar") as caught:
            await client.spawn(None, "images", fromSrc="http://me:s3kr3t@x.invalid/a.tar")
    assert "s3kr3t" not in caught.value.message
