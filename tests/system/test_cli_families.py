"""Every family of the Engine API by real docker CLIs: what they show through the gateway is what they show directly.

The same commands run against one new engine directly and against another through `dockerserver | docker`, and those of
containers through `dockerserver | balance` over two as well; what they print is compared, but for ids, times and sizes
on disk.
"""

import io
import re
import socket
import tarfile
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.support.engines import CLIS, Engine, Swarmd, docker, engine, swarmd

pytestmark = pytest.mark.engine

CONTAINERS = """
run --rm -i busybox cat
run --rm busybox sh -c "echo out; echo err >&2; exit 3"
run -d --name web -p 127.0.0.1::80 -l tier=web busybox sh -c "echo one; echo two >&2; touch /made; exec sleep 1000"
run --name ended busybox echo ended
ps -a --format "{{.Names}} {{.Image}} {{.Command}} {{.State}}"
ps -q --filter label=tier=web
ps -a --filter name=ended --format {{.Names}}
inspect web -f "{{.Name}} {{.Config.Cmd}} {{.Config.Labels}} {{.HostConfig.NetworkMode}} {{.State.Status}}"
inspect web ended --format {{.Config.Image}}
inspect --size ended -f {{.SizeRw}}
logs web
logs --tail 1 ended
attach ended
port ended
exec web echo there
exec -i web cat
exec -e A=b web sh -c "echo $A; exit 4"
exec nosuch true
top nosuch
stats --no-stream --format {{.Name}} web
diff web
cp web:/made SCRATCH/copied
cp SCRATCH/garbage web:/tmp
exec web cat /tmp/garbage
export web -o SCRATCH/exported.tar
update --restart no web
rename web site
pause site
unpause site
restart -t 0 site
start -a ended
wait ended
kill site
wait site
start nosuch
port nosuch
logs nosuch
commit site site:1
rm ended
rm -f site
rmi site:1
inspect site
"""
VOLUMES = """
volume create data
volume ls
volume inspect data -f {{.Name}}
run --rm -v data:/d busybox sh -c "echo hi >/d/x"
run --rm -v data:/d busybox cat /d/x
volume rm data
volume rm nosuch
volume prune -f
"""
NETWORKS = """
network create one
network ls --format {{.Name}}
run -d --name joined --network one busybox sleep 1000
network inspect one -f {{len .Containers}}
network create two
network connect two joined
network connect nosuch joined
network disconnect two joined
network rm one
rm -f joined
network rm one two
network prune -f
"""
IMAGES = """
create --name made busybox touch /x
start -a made
diff made
commit made made:1
history made:1 --format {{.CreatedBy}}
tag made:1 made:2
images made --format {{.Tag}}
save made:1 made:2 -o SCRATCH/saved.tar
rm made
rmi -f made:1 made:2
load -i SCRATCH/saved.tar
load -i SCRATCH/garbage
rmi -f made:1 made:2
export nosuch -o SCRATCH/exported.tar
image inspect nosuch
image prune -f
pull nosuch/nosuch
push busybox
search busybox
"""
BUILD = """
build -q -t built SCRATCH
run --rm built
build -f SCRATCH/Failing SCRATCH
build -f SCRATCH/Wrong SCRATCH
build --build-arg WHO=there -t built SCRATCH
run --rm built
rmi -f built
builder prune -f
"""
SWARM = """
node ls
swarm init --advertise-addr 127.0.0.1
node ls --format {{.Status}}
service create -d --name web busybox sleep 1000
service ls --format {{.Name}}
service inspect web -f {{.Spec.Name}}
service update -d --label-add a=b web
service ps web --format {{.Name}}
config create settings SCRATCH/garbage
config ls --format {{.Name}}
config inspect settings --pretty
config rm settings
secret create key SCRATCH/garbage
secret ls --format {{.Name}}
secret rm key nosuch
service rm web
stack deploy -c SCRATCH/stack.yml pile
stack ls --format {{.Name}}
stack services pile --format {{.Name}}
stack rm pile
swarm update --task-history-limit 3
swarm join-token -q worker
swarm unlock-key -q
swarm leave
swarm leave --force
"""
SYSTEM = """
version -f {{.Server.Version}}
info -f {{.ServerVersion}}
plugin ls
plugin install nosuch/nosuch --grant-all-permissions
plugin rm nosuch
login -u me -p no 127.0.0.1:1
system prune -f --filter until=1h
"""


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[str, str]]:
    """An engine as it is, and another behind the gateway."""
    with engine() as direct, engine() as behind, swarmd("debug", f"docker {behind.host}") as gateway:
        yield direct.host, gateway.host


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nARG WHO=here\nRUN echo $WHO >/built\nCMD cat /built\n")
    (tmp_path / "Failing").write_text("FROM busybox\nRUN exit 3\n")
    (tmp_path / "Wrong").write_text("NOSUCH instruction\n")
    (tmp_path / "stack.yml").write_text('version: "3.8"\nservices: {one: {image: busybox, command: sleep 1000}}\n')
    (tmp_path / "garbage").write_text("this is no tar\n")
    return tmp_path


def shown(host: str, commands: str, scratch: Path, cli: str) -> list[str]:
    """What each command prints and how it ends, without what is never the same twice."""
    found: list[str] = []
    for line in commands.strip().splitlines():
        words = [quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', line)]
        done = docker(host, *(word.replace("SCRATCH", str(scratch)) for word in words), input=b"typed\n", cli=cli)
        text = f"{done.stdout.decode()}{done.stderr.decode()}"
        found.append(f"$ {line}\n{_steady(text)}= {done.returncode}")
    return found


def _steady(text: str) -> str:
    # A CLI that detaches may say that its own wait was cancelled, if it gets that far before it ends.
    text = re.sub(r'(?m)^time=\S+ level=error msg="error waiting for container: context canceled"\n', "", text)
    text = re.sub(r"SWMTKN\S+|\b[0-9a-f]{12}\b|\b[0-9a-f]{64}\b|\b[0-9a-z]{25}\b", "ID", text)
    text = re.sub(r"(?m)^.*(DEPRECATED: The legacy builder|Loading layer).*$", "", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S* .*", "TIME", text)
    return re.sub(r"\d+(\.\d+)?[kMG]?B\b", "SIZE", text)


with_each_cli = pytest.mark.parametrize("cli", CLIS)


@with_each_cli
@pytest.mark.parametrize("family", ["CONTAINERS", "VOLUMES", "NETWORKS", "IMAGES", "BUILD", "SWARM", "SYSTEM"])
def test_a_family_looks_the_same_through_the_gateway(
    family: str, cli: str, hosts: tuple[str, str], scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    direct, through = (shown(host, globals()[family], scratch, cli) for host in hosts)
    assert through == direct
    assert any(each.endswith("= 0") for each in direct)


@with_each_cli
@pytest.mark.parametrize("family", ["CONTAINERS", "VOLUMES"])
def test_a_family_looks_the_same_through_a_balance(
    family: str, cli: str, engines: tuple[Engine, Engine], gateway: Swarmd, scratch: Path
) -> None:
    direct, through = (shown(host, globals()[family], scratch, cli) for host in (engines[1].host, gateway.host))
    assert through == direct


def test_a_saved_image_is_a_whole_tar(hosts: tuple[str, str]) -> None:
    for host in hosts:
        saved = docker(host, "save", "busybox", check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(saved)) as tar:
            assert "manifest.json" in tar.getnames()


@pytest.mark.parametrize(
    ("path", "opening"),
    [("/session", b"PRI * HTTP/2.0"), ("/grpc", bytes([0, 0, 30, 4]))],  # there a client's preface, here SETTINGS
)
def test_buildkits_sessions_become_streams_to_the_engine(path: str, opening: bytes, hosts: tuple[str, str]) -> None:
    port = int(hosts[1].rpartition(":")[2])
    headers = ["Host: localhost", "Connection: Upgrade", "Upgrade: h2c", "X-Docker-Expose-Session-Uuid: one"]
    with closing(socket.create_connection(("127.0.0.1", port), 20)) as client:
        client.sendall("\r\n".join([f"POST {path} HTTP/1.1", *headers, "", ""]).encode())
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        answer = client.recv(4096)
        while len(answer.partition(b"\r\n\r\n")[2]) < len(opening):
            answer += client.recv(4096)
    head, _, frames = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101")
    assert b"h2c" in head
    assert frames[: len(opening)] == opening


def test_a_path_that_nobody_knows_is_the_engines_own_not_found(hosts: tuple[str, str]) -> None:
    port = int(hosts[1].rpartition(":")[2])
    with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as client:
        client.request("POST", "/v1.41/nosuch/thing?a=b", body=b"{}")
        response = client.getresponse()
        assert (response.status, response.read()) == (404, b'{"message":"page not found"}\n')
