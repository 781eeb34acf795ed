"""Named volumes, and folders that are copied into Pods, in a real cluster, by the real docker CLI."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.engines import Swarmd, docker, swarmd, wait_until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def gateway(stage: str, cluster: Cluster) -> Iterator[Swarmd]:
    """A swarmd whose volumes have disks, and that copies folders of this machine."""
    with cluster.disks(2) as disks, swarmd(f"{stage} --storage-class {disks} --binds copy") as running:
        yield running


def output(gateway: Swarmd, *command: str) -> str:
    return docker(gateway.host, *command, check=True).stdout.decode().strip()


def test_a_volume_gets_what_the_image_has_there_and_outlives_its_containers(gateway: Swarmd, image: str) -> None:
    output(gateway, "volume", "create", "--label", "a=b", "--opt", "size=10m", "data")
    assert output(gateway, "volume", "ls", "--format", "{{.Driver}} {{.Name}}") == "local data"
    write = "echo kept >/bin/mine; chown 7:8 /bin/mine"
    output(gateway, "run", "--rm", "--mount", "type=volume,source=data,target=/bin", image, "sh", "-c", write)
    read = "cd /data && cat mine && stat -c %u:%g mine && [ -x busybox ] && touch new"
    ran = docker(gateway.host, "run", "--rm", "-v", "data:/data:ro", image, "sh", "-c", read)
    assert (ran.stdout, ran.returncode) == (b"kept\n7:8\n", 1)
    assert b"Read-only file system" in ran.stderr
    output(gateway, "volume", "rm", "data")
    assert output(gateway, "volume", "ls", "-q") == ""


def test_two_containers_share_a_volume_that_is_then_in_use(gateway: Swarmd, image: str) -> None:
    program = "until [ -e /d/go ]; do sleep 0.1; done; cat /d/go"
    output(gateway, "run", "-d", "--name", "reader", "-v", "shared:/d", image, "sh", "-c", program)
    output(gateway, "run", "--rm", "-v", "shared:/d", image, "sh", "-c", "echo hello >/d/go.new; mv /d/go.new /d/go")
    assert output(gateway, "wait", "reader") == "0"
    wait_until(lambda: output(gateway, "logs", "reader") == "hello", "the output")
    refused = docker(gateway.host, "volume", "rm", "shared")
    assert b"volume is in use - [" in refused.stderr
    mounted = "{{range .Mounts}}{{.Name}} {{.Destination}} {{.RW}}{{end}}"
    assert output(gateway, "inspect", "--format", mounted, "reader") == "shared /d true"
    output(gateway, "rm", "reader")
    assert "shared" in output(gateway, "volume", "prune", "--force")


def test_folders_and_files_of_this_machine_are_copied_in(gateway: Swarmd, image: str, tmp_path: Path) -> None:
    (tmp_path / "web/below").mkdir(parents=True)
    (tmp_path / "web/below/page").write_bytes(b"x" * 5_000_000)
    (tmp_path / "web/link").symlink_to("below/page")
    (tmp_path / "web/below/page").chmod(0o640)
    os.chown(tmp_path / "web/below/page", 7, 8)
    (tmp_path / "conf").write_text("conf\n")
    binds = ("-v", f"{tmp_path}/web:/web", "-v", f"{tmp_path}/conf:/etc/conf:ro")
    program = "cat /etc/conf; stat -c '%a %u:%g %s' /web/below/page; wc -c </web/link; touch /web/x; echo >/etc/conf"
    ran = docker(gateway.host, "run", "--rm", *binds, image, "sh", "-c", program)
    assert ran.stdout == b"conf\n640 7:8 5000000\n5000000\n"
    assert (ran.returncode, b"Read-only file system" in ran.stderr) == (1, True)
    assert not (tmp_path / "web/x").exists()


def test_what_is_copied_in_is_there_again_when_the_cluster_restarts_a_container(
    gateway: Swarmd, image: str, tmp_path: Path
) -> None:
    (tmp_path / "program").write_text("echo run; exit 3\n")
    words = ("--restart", "always", "-v", f"{tmp_path}/program:/program", image, "sh", "/program")
    output(gateway, "run", "-d", "--name", "again", *words)
    restarts = ("inspect", "--format", "{{.RestartCount}}", "again")
    wait_until(lambda: int(output(gateway, *restarts)) > 0, "a restart")
    wait_until(lambda: output(gateway, "logs", "again") == "run", "the output of the new run")
    output(gateway, "rm", "-f", "again")
