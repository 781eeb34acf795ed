"""Named volumes in a real cluster, by the real docker CLI."""

from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster
from tests.support.engines import Swarmd, docker, swarmd, wait_until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def gateway(stage: str, cluster: Cluster) -> Iterator[Swarmd]:
    """A swarmd whose volumes have disks."""
    with cluster.disks(3) as storage_class, swarmd(f"{stage} --storage-class {storage_class}") as running:
        yield running


def output(gateway: Swarmd, *command: str) -> str:
    return docker(gateway.host, *command, check=True).stdout.decode().strip()


def test_a_volume_outlives_the_containers_that_mount_it(gateway: Swarmd, image: str) -> None:
    output(gateway, "volume", "create", "--label", "a=b", "--opt", "size=10m", "data")
    assert output(gateway, "volume", "ls", "--format", "{{.Driver}} {{.Name}}") == "local data"
    mount = ("--rm", "-v", "data:/data")
    output(gateway, "run", *mount, image, "sh", "-c", "echo kept >/data/f; chown 7:8 /data/f")
    found = output(gateway, "run", *mount, image, "sh", "-c", "cat /data/f; stat -c %u:%g /data/f")
    assert found == "kept\n7:8"
    refused = docker(gateway.host, "run", "--rm", "-v", "data:/data:ro", image, "touch", "/data/g")
    assert b"Read-only file system" in refused.stderr
    output(gateway, "volume", "rm", "data")
    assert output(gateway, "volume", "ls", "-q") == ""


def test_a_new_volume_gets_what_the_image_has_there(gateway: Swarmd, image: str) -> None:
    run = ("run", "--rm", "--mount", "type=volume,source=bin,target=/bin")
    assert output(gateway, *run, image, "sh", "-c", "echo mine >/bin/mine; ls /bin | grep -c .") != "1"
    assert output(gateway, "run", "--rm", "-v", "bin:/other", image, "cat", "/other/mine") == "mine"
    output(gateway, "volume", "rm", "bin")


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
