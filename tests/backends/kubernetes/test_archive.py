"""Files of containers in a real cluster: copied in and out by the real docker CLI, and by bare calls."""

import base64
import bz2
import gzip
import hashlib
import http.client
import io
import json
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.engines import Swarmd, docker, swarmd

pytestmark = pytest.mark.cluster


def tar(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def asked(gateway: Swarmd, method: str, path: str, body: bytes | None = None) -> tuple[int, Any, bytes]:
    """The status, the stat (None if there is none) and the body of the answer to a call."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    connection.request(method, path, body)
    answer = connection.getresponse()
    data, stat = answer.read(), answer.headers.get("X-Docker-Container-Path-Stat")
    connection.close()
    return answer.status, json.loads(base64.b64decode(stat)) if stat else None, data


@pytest.fixture(scope="module")
def box(gateway: Swarmd, image: str) -> str:
    """A container that runs."""
    script = "mkdir -p /d/s; echo hello >/d/s/f; chmod 4750 /d/s/f; ln -s s/f /d/l; mkfifo /d/p; exec sleep 1000"
    docker(gateway.host, "run", "-d", "--name", "box", image, "sh", "-c", script, check=True)
    return "box"


def test_a_tree_goes_in_before_the_start_and_comes_out_after_it(gateway: Swarmd, image: str, tmp_path: Path) -> None:
    data = os.urandom(50_000_000)
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "big").write_bytes(data)
    (tree / "link").symlink_to("sub/big")
    script = "sha256sum /tree/link; exec sleep 1000"
    docker(gateway.host, "create", "--name", "early", image, "sh", "-c", script, check=True)
    docker(gateway.host, "cp", str(tree), "early:/", check=True)
    docker(gateway.host, "start", "early", check=True)
    docker(gateway.host, "cp", "early:/tree", str(tmp_path / "back"), check=True)
    assert docker(gateway.host, "logs", "early").stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert (tmp_path / "back" / "sub" / "big").read_bytes() == data
    assert (tmp_path / "back" / "link").readlink() == Path("sub/big")


def test_an_image_without_a_shell_and_tar_takes_files(gateway: Swarmd, cluster: Cluster) -> None:
    docker(gateway.host, "create", "--name", "bare", f"{cluster.registry()}/bare:1", "cat", "/f", check=True)
    docker(gateway.host, "cp", "-", "bare:/", input=tar(f=b"well"), check=True)
    assert docker(gateway.host, "start", "-a", "bare").stdout == b"well"
    gone = docker(gateway.host, "cp", "bare:/f", "-")
    assert b"the files of bare have gone with the end of its Pod" in gone.stderr


@pytest.mark.parametrize(
    ("path", "name", "size", "mode", "target"),
    [
        ("/d/s/f", "f", 6, 0o750 | 1 << 23, ""),
        ("d/s/../s/f", "f", 6, 0o750 | 1 << 23, ""),
        ("/d/l", "l", 3, 0o777 | 1 << 27, "/d/s/f"),
        ("/d/s/", "s", None, 0o755 | 1 << 31, ""),
        ("/d/p", "p", 0, 0o644 | 1 << 25, ""),
        ("/", "/", None, 0o755 | 1 << 31, ""),
    ],
)
def test_a_stat_is_an_engine_s(
    gateway: Swarmd, box: str, path: str, name: str, size: int | None, mode: int, target: str
) -> None:
    status, stat, _ = asked(gateway, "HEAD", f"/containers/{box}/archive?path={path}")
    assert status == 200
    assert (stat["name"], stat["mode"], stat["linkTarget"]) == (name, mode, target)
    assert size in (None, stat["size"])
    assert stat["mtime"].endswith("Z")


def test_what_is_not_there_is_not_found(gateway: Swarmd, box: str) -> None:
    for method in ("GET", "PUT"):
        status, _, body = asked(
            gateway, method, f"/containers/{box}/archive?path=/no", tar() if method == "PUT" else None
        )
        assert (status, json.loads(body)["message"]) == (404, "Could not find the file /no in container box")
    status, _, body = asked(gateway, "PUT", f"/containers/{box}/archive?path=/d/s/f", tar())
    assert status in (400, 404)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_tars_may_be_compressed(gateway: Swarmd, box: str, pack: Callable[[bytes], bytes]) -> None:
    name = f"by-{pack.__name__}-{pack.__module__}"
    status, _, body = asked(gateway, "PUT", f"/containers/{box}/archive?path=/tmp", pack(tar(**{name: b"x"})))
    assert (status, body) == (200, b"")
    assert docker(gateway.host, "exec", box, "cat", f"/tmp/{name}").stdout == b"x"


def test_what_is_no_tar_is_refused(gateway: Swarmd, box: str) -> None:
    for sent in (b"no tar" * 500, tar(f=b"x" * 2000)[:1000], b"\x1f\x8b\x08 no gzip"):
        status, _, body = asked(gateway, "PUT", f"/containers/{box}/archive?path=/tmp", sent)
        assert (status, b"Error processing tar file" in body) == (500, True)


def test_folders_and_others_do_not_replace_each_other(gateway: Swarmd, box: str) -> None:
    docker(gateway.host, "exec", box, "sh", "-c", "mkdir /tmp/folder; echo x >/tmp/file", check=True)
    folder = io.BytesIO()
    with tarfile.open(fileobj=folder, mode="w") as made:
        info = tarfile.TarInfo("file")
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        made.addfile(info)
    for sent, said in (
        (tar(folder=b"x"), 'cannot overwrite directory \\"/tmp/folder\\" with non-directory \\"/tmp\\"'),
        (folder.getvalue(), 'cannot overwrite non-directory \\"/tmp/file\\" with directory \\"/tmp\\"'),
    ):
        path = f"/containers/{box}/archive?path=/tmp&noOverwriteDirNonDir=true"
        status, _, body = asked(gateway, "PUT", path, sent)
        assert (status, said in body.decode()) == (500, True), body
    assert docker(gateway.host, "exec", box, "cat", "/tmp/file").stdout == b"x\n"


def test_names_in_a_tar_do_not_lead_out_of_the_folder(gateway: Swarmd, box: str) -> None:
    asked(gateway, "PUT", f"/containers/{box}/archive?path=/tmp", tar(**{"../../d/escaped": b"x", "/d/escaped": b"x"}))
    assert docker(gateway.host, "exec", box, "ls", "/d/escaped").returncode != 0


def test_words_of_a_path_are_no_options_and_no_shell(gateway: Swarmd, box: str) -> None:
    for path in ("-rf", "$(touch%20/tmp/hacked)", ";touch%20/tmp/hacked", "'%0atouch%20/tmp/hacked"):
        for method in ("GET", "HEAD"):
            assert asked(gateway, method, f"/containers/{box}/archive?path={path}")[0] in (400, 404)
    assert docker(gateway.host, "exec", box, "ls", "/tmp/hacked").returncode != 0


def test_an_export_has_the_files_and_not_what_is_mounted(gateway: Swarmd, box: str) -> None:
    exported = docker(gateway.host, "export", box, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(exported)) as found:
        names = found.getnames()
    assert {"d/s/f", "d/l", "bin/busybox"} <= set(names)
    assert not [name for name in names if name.split("/")[0] in ("proc", "sys", "dev", ".swarm")]


def test_changes_and_files_without_tools_are_refused_by_name(gateway: Swarmd, box: str, stage: str) -> None:
    assert b"diff is not supported" in docker(gateway.host, "diff", box).stderr
    with swarmd(f"{stage} --tools never") as without:
        refused = docker(without.host, "cp", f"{box}:/d", "-")
    assert b"needs swarmlib's tools in the Pod, which --tools never forbids" in refused.stderr
