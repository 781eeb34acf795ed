"""balance over real engines, with the real docker CLI: placement, images that move, and engines that fail and heal."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import docker as sdk
import pytest

from tests.support.engines import Engine, Swarmd, docker, engine, events_from_now, swarmd, wait_until
from tests.system.test_compose import composer

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Engine, Engine]]:
    """Two engines of this file's own: its tests kill them."""
    with engine(["--label", "region=north"]) as a, engine(["--label", "region=south"]) as b:
        yield a, b


@pytest.fixture
def both(pair: tuple[Engine, Engine]) -> Iterator[Swarmd]:
    """A gateway over the two, named a and b, with a short deadline."""
    a, b = pair
    with swarmd(f"balance --deadline 2 --reschedule-after 3 (a=docker {a.host}) (b=docker {b.host})") as gateway:
        yield gateway
    for each in pair:
        each.thaw()
        if ids := docker(each.host, "ps", "-aq").stdout.split():
            docker(each.host, "rm", "-f", *(id.decode() for id in ids), check=True)


def out(host: str, *args: str) -> str:
    done = docker(host, *args)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def request(gateway: Swarmd, method: str, target: str, sent: bytes = b"") -> tuple[bytes, bytes]:
    """The head and the body of the answer to one raw request to the gateway."""
    return exchange(socket.create_connection(("127.0.0.1", gateway.port), 20), method, target, sent)


def exchange(sock: socket.socket, method: str, target: str, sent: bytes = b"") -> tuple[bytes, bytes]:
    """The head and the body of the answer to one raw request. HTTP/1.0, so that no body comes in chunks."""
    about = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(sent)}\r\n"
    with closing(sock):
        sock.sendall(f"{method} {target} HTTP/1.0\r\n{about}\r\n".encode() + sent)
        answer = b""
        while data := sock.recv(65536):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


def names(gateway: Swarmd, *filters: str) -> set[str]:
    return set(out(gateway.host, "ps", "-a", "--format", "{{.Names}}", *filters).split())


def test_rules_place_containers_and_lists_are_filtered_by_engine(both: Swarmd) -> None:
    host = both.host
    for name, rule in (
        ("one", "constraint:region==north"),
        ("two", "constraint:node==b"),
        ("three", "affinity:container==two"),
    ):
        out(host, "create", "--name", name, "-e", rule, "busybox", "true")
    assert names(both) == {"one", "two", "three"}
    assert names(both, "--filter", "node=a") == {"one"}
    assert names(both, "--filter", "label=swarmlib.node=b") == {"two", "three"}
    assert out(host, "inspect", "-f", "{{.Node.Name}} {{.Node.Labels.region}}", "two") == "b south"
    assert out(host, "inspect", "-f", "{{.Config.Env}} {{.Config.Labels}}", "one") == (
        '[] map[com.docker.swarm.constraints:["region==north"]]'
    )
    assert out(host, "inspect", "-f", "{{.Name}}", "b/two") == "/two"
    refused = docker(host, "create", "-e", "constraint:region==west", "busybox", "true").stderr
    assert (
        b"a: constraint region==west: its region is north; b: constraint region==west: its region is south" in refused
    )
    assert {line.split()[0] for line in out(host, "system", "df", "-v", "--format", "{{json .Containers}}").split("\n")}


def test_a_port_goes_to_the_engine_that_has_it_free(both: Swarmd) -> None:
    for name in ("first", "second"):
        out(both.host, "run", "-d", "--name", name, "-p", "18080:80", "busybox", "sleep", "1000")
    homes = [out(both.host, "inspect", "-f", "{{.Node.Name}}", name) for name in ("first", "second")]
    assert sorted(homes) == ["a", "b"]
    third = docker(both.host, "run", "-d", "-p", "18080:80", "busybox", "true").stderr
    assert b"a: its port 18080/tcp is taken; b: its port 18080/tcp is taken" in third


def test_an_image_is_streamed_to_the_engine_that_needs_it(both: Swarmd, pair: tuple[Engine, Engine]) -> None:
    out(pair[0].host, "tag", "busybox", "only-on-a:1")
    assert out(both.host, "run", "--rm", "-e", "constraint:node==b", "only-on-a:1", "echo", "here") == "here"
    assert "only-on-a" in out(pair[1].host, "images", "--format", "{{.Repository}}")
    listed = [
        line for line in out(both.host, "images", "--format", "{{.Repository}}:{{.Tag}}").split() if "only" in line
    ]
    assert listed == ["only-on-a:1"]
    out(both.host, "rmi", "only-on-a:1")
    assert "only-on-a" not in "".join(out(each.host, "images", "--format", "{{.Repository}}") for each in pair)


def test_a_list_right_after_a_change_shows_it(both: Swarmd, pair: tuple[Engine, Engine]) -> None:
    for number in range(20):
        name = f"quick{number}"
        out(both.host, "create", "--name", name, "busybox", "true")
        assert f"/{name}".encode() in request(both, "GET", "/containers/json?all=1")[1]
        request(both, "POST", f"/containers/{name}/start")
        request(both, "POST", f"/containers/{name}/wait")
        found = {each["Names"][0]: each for each in json.loads(request(both, "GET", "/containers/json?all=1")[1])}
        assert found[f"/{name}"]["Status"].startswith("Exited (0) ")
        direct = [
            json.loads(out(each.host, "inspect", name))[0]
            for each in pair
            if docker(each.host, "inspect", name).returncode == 0
        ]
        assert found[f"/{name}"]["Id"] == direct[0]["Id"]
        assert request(both, "DELETE", f"/containers/{name}")[0].startswith(b"HTTP/1.1 204")
        assert json.loads(request(both, "GET", "/containers/json?all=1")[1]) == []


def test_lists_are_bounded_and_ordered_within_one_second(both: Swarmd) -> None:
    made = [f"s{number}" for number in range(8)]
    for name in made:
        request(both, "POST", f"/containers/create?name={name}", b'{"Image": "busybox"}')

    def listed(query: str) -> list[str]:
        return [each["Names"][0][1:] for each in json.loads(request(both, "GET", f"/containers/json?{query}")[1])]

    for number, name in enumerate(made):
        assert listed(f"limit={number + 1}") == made[::-1][: number + 1]
        assert listed(f'all=1&filters={{"since":["{name}"]}}') == made[number + 1 :][::-1]
        assert listed(f'limit=2&filters={{"before":["{name}"]}}') == made[:number][::-1][:2]
    assert {each["Node"] for each in json.loads(request(both, "GET", "/containers/json?all=1")[1])} == {"a", "b"}
    assert out(both.host, "ps", "-lq", "--no-trunc") == json.loads(out(both.host, "inspect", "s7"))[0]["Id"]


def test_the_index_says_what_the_engines_say(both: Swarmd, pair: tuple[Engine, Engine]) -> None:
    for number in range(4):
        out(both.host, "run", "-d", "--name", f"c{number}", "--label", "x=y", "busybox", "sleep", "1000")
    docker(both.host, "stop", "-t", "0", "c1")
    out(both.host, "pause", "c2")
    for target in ("/containers/json?all=1", "/containers/json"):
        merged = json.loads(request(both, "GET", target)[1])
        for each in merged:
            assert each["Labels"].pop("swarmlib.node") == each.pop("Node")
            del each["Status"]
        direct = [entry for each in pair for entry in _direct(each, target)]
        for each in direct:
            del each["Status"]
        assert {each["Id"]: each for each in merged} == {each["Id"]: each for each in direct}
    shown = out(both.host, "ps", "-a", "--format", "{{.Names}} {{.Status}}")
    assert "c2 Up " in shown
    assert "(Paused)" in shown


def _direct(each: Engine, target: str) -> list[dict[str, object]]:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(each.socket))
    found: list[dict[str, object]] = json.loads(exchange(sock, "GET", target)[1])
    return found


def test_two_compose_projects_each_come_up_whole_on_an_engine_of_their_own(
    both: Swarmd, pair: tuple[Engine, Engine], tmp_path: Path
) -> None:
    projects = {name: composer(both.host, tmp_path / name, name) for name in ("one", "two")}
    homes: dict[str, set[str]] = {}
    for name, compose in projects.items():
        compose("up", "-d")
        label = f"label=com.docker.compose.project={name}"
        nodes = out(both.host, "ps", "--filter", label, "--format", '{{.Label "swarmlib.node"}}').split()
        assert len(nodes) == 3
        homes[name] = set(nodes)
    assert sorted(map(sorted, homes.values())) == [["a"], ["b"]]
    for compose in projects.values():
        assert compose("ps", "-q").count("\n") == 3
        assert "worker is up" in compose("logs", "--no-color", "worker")
        compose("down", "-v", "-t", "0")
    left = "".join(out(each.host, kind, "ls") for each in pair for kind in ("network", "volume"))
    assert "one_" not in left
    assert "two_" not in left


def test_a_container_that_is_updated_stays_with_its_files(both: Swarmd, tmp_path: Path) -> None:
    """As Watchtower does it: the body of the create is the inspection, whose container has been removed."""
    for number in range(3):
        out(both.host, "create", "--name", f"other{number}", "-e", "constraint:node==b", "busybox", "true")
    out(
        both.host,
        "run",
        "-d",
        "--name",
        "web",
        "-e",
        "constraint:node==~b",
        "-v",
        f"{tmp_path}:/d",
        "busybox",
        "sleep",
        "9",
    )
    with closing(sdk.APIClient(base_url=both.host)) as client:
        for _ in range(2):
            seen = client.inspect_container("web")
            client.stop("web", timeout=0)
            client.remove_container("web")
            body = {**seen["Config"], "HostConfig": seen["HostConfig"]}
            body["NetworkingConfig"] = {"EndpointsConfig": seen["NetworkSettings"]["Networks"]}
            client.start(client.create_container_from_config(body, "web"))
            again = client.inspect_container("web")
            assert again["Node"]["Name"] == "b"
            assert again["Config"]["Labels"] == seen["Config"]["Labels"]


def test_a_compose_project_that_is_changed_stays_with_its_files(both: Swarmd, tmp_path: Path) -> None:
    compose = composer(both.host, tmp_path / "project", "files")
    file = tmp_path / "project/docker-compose.yml"
    service = '{image: busybox, command: sleep %d, volumes: ["./data:/data"], stop_grace_period: 0s}'
    changes = [["up", "-d"], ["up", "-d"], ["down"], ["up", "-d"]]
    for number, command in enumerate(changes):
        file.write_text(f'version: "3"\nservices: {{web: {service % (1000 + number)}}}\n')
        compose(*command)
        out(both.host, "create", "--name", f"other{number}", "-e", "constraint:node==a", "busybox", "true")
    assert "files_web_1" in names(both, "--filter", "node=a")
    assert out(both.host, "inspect", "-f", "{{.Config.Cmd}}", "files_web_1") == "[sleep 1003]"
    compose("down")


def test_events_of_both_engines_come_in_order_and_say_their_engine(both: Swarmd) -> None:
    with events_from_now(both.host, "--format", "{{json .}}", "--filter", "event=create") as events:
        for number in range(6):
            out(both.host, "create", "--name", f"e{number}", "busybox", "true")
        seen = [json.loads(events.readline()) for _ in range(6)]
    assert [each["Actor"]["Attributes"]["name"] for each in seen] == [f"e{number}" for number in range(6)]
    assert {each["Actor"]["Attributes"]["swarmlib.node"] for each in seen} == {"a", "b"}
    until = str(seen[-1]["time"] + 1)
    past = out(
        both.host,
        "events",
        "--since",
        str(seen[0]["time"]),
        "--until",
        until,
        "--format",
        "{{json .}}",
        "--filter",
        "event=create",
    )
    again = [json.loads(line) for line in past.split("\n")]
    assert [each["timeNano"] for each in again if each in seen] == [each["timeNano"] for each in seen]


def test_events_that_an_engine_has_forgotten_are_told_still(both: Swarmd, pair: tuple[Engine, Engine]) -> None:
    made = out(both.host, "create", "--name", "old", "-e", "constraint:node==a", "busybox", "true")
    since = str(json.loads(out(both.host, "inspect", made))[0]["Created"])
    for number in range(300):
        request(both, "POST", f"/containers/{made}/rename?name=old{number}")

    def told(host: str, *filters: str) -> list[dict[str, Any]]:
        bounds = ["--since", since, "--until", str(int(time.time()) + 1), "--format", "{{json .}}"]
        lines = out(host, "events", *bounds, *(f"--filter={each}" for each in filters)).splitlines()
        return [each for line in lines if (each := json.loads(line))["Actor"]["ID"] == made]

    forgotten = told(pair[0].host)
    assert {each["Action"] for each in forgotten} == {"rename"}
    known = told(both.host)
    assert [each["Action"] for each in known] == ["create"] + ["rename"] * 300
    assert [each["timeNano"] for each in known][-len(forgotten) :] == [each["timeNano"] for each in forgotten]
    assert [each["Action"] for each in told(both.host, "event=create", "container=old", "type=container")] == ["create"]
    assert told(both.host, "event=create", "container=other") == []


@pytest.mark.parametrize("how", ["freeze", "kill"])
def test_an_engine_that_fails_is_missed_and_heals(how: str, both: Swarmd, pair: tuple[Engine, Engine]) -> None:
    a, _ = pair
    for node in ("a", "b"):
        out(
            both.host, "run", "-d", "--name", f"on-{node}", "-e", f"constraint:node=={node}", "busybox", "sleep", "1000"
        )
    getattr(a, how)()
    wait_until(lambda: names(both) == {"on-b"}, "a is missed")
    head, _ = request(both, "GET", "/containers/json")
    assert b'Warning: 199 swarmlib "a is missing: ' in head
    refused = docker(both.host, "stop", "on-a", timeout=1)
    assert b"a is down (" in refused.stderr
    assert request(both, "GET", "/containers/on-a/json")[0].startswith(b"HTTP/1.1 503")
    assert "a is missing" in docker(both.host, "info").stderr.decode()
    assert out(both.host, "run", "--rm", "busybox", "echo", "still") == "still"
    if how == "kill":
        a.start()
    else:
        a.thaw()
    wait_until(lambda: "on-a" in names(both), "a is back")
    out(both.host, "rm", "-f", "on-a")
    assert names(both) == {"on-b"}


def test_what_may_be_rescheduled_moves_when_its_engine_is_killed(both: Swarmd, pair: tuple[Engine, Engine]) -> None:
    a, b = pair
    out(
        both.host,
        "run",
        "-d",
        "--name",
        "mover",
        "-e",
        "reschedule:on-node-failure",
        "-e",
        "constraint:node==~a",
        "busybox",
        "sleep",
        "1000",
    )
    assert "mover" in out(a.host, "ps", "--format", "{{.Names}}")
    a.kill()
    wait_until(lambda: "mover" in out(b.host, "ps", "--format", "{{.Names}}"), "it is made anew on b")
    a.start()
    wait_until(lambda: "a is missing" not in docker(both.host, "info").stderr.decode(), "a is back")
    assert out(both.host, "ps", "-a", "--format", '{{.Names}} {{.Label "swarmlib.node"}}') == "mover b"
    assert out(a.host, "ps", "-aq") == ""


def test_an_engine_that_goes_while_events_are_watched_is_told_of(pair: tuple[Engine, Engine], both: Swarmd) -> None:
    a, _ = pair
    with events_from_now(both.host, "--format", "{{.Type}} {{.Action}} {{.Actor.ID}}") as events:
        out(both.host, "create", "--name", "before", "-e", "constraint:node==b", "busybox", "true")
        assert events.readline().startswith(b"container create ")
        a.kill()
        assert events.readline() == b"daemon engine_disconnect a\n"
        a.start()
        assert events.readline() == b"daemon engine_connect a\n"
        out(both.host, "create", "--name", "after", "-e", "constraint:node==a", "busybox", "true")
        assert events.readline().startswith(b"container create ")


def test_processes_and_containers_stand_in_one_list_and_members_come_and_go(
    pair: tuple[Engine, Engine], tmp_path: Path
) -> None:
    members = tmp_path / "members"
    members.write_text(f"# the engines\na=docker {pair[0].host}\n")
    with swarmd(f"balance (local=debug | exec) --watch-file {members}") as gateway:
        out(gateway.host, "run", "-d", "--name", "process", "-e", "constraint:node==local", "any", "sleep", "1000")
        out(gateway.host, "run", "-d", "--name", "box", "busybox", "sleep", "1000")
        assert out(gateway.host, "ps", "--format", '{{.Names}} {{.Label "swarmlib.node"}}').split("\n") == [
            "box a",
            "process local",
        ]
        assert out(gateway.host, "exec", "box", "echo", "hi") == "hi"
        assert out(gateway.host, "exec", "process", "echo", "hi") == "hi"
        members.write_text(f"a=docker {pair[0].host}\nb=docker {pair[1].host}\n")
        wait_until(lambda: "Node b" in out(gateway.host, "info"), "b joins")
        members.write_text(f"b=docker {pair[1].host}\noops=\n")
        wait_until(lambda: b"line 2" in gateway.log.read_bytes(), "the error is told")
        assert "box" in names(gateway)
        members.write_text(f"b=docker {pair[1].host}\n")
        wait_until(lambda: names(gateway) == {"process"}, "a leaves")
    docker(pair[0].host, "rm", "-f", "box")


@contextmanager
def linked(to: Engine) -> Iterator[str]:
    """A network link into an engine's namespace; gives the name of our end. The engine has 198.51.100.2."""
    inside = ["nsenter", "-t", str(to.pid), "-n"]
    commands = [
        ["ip", "link", "add", "swarmlib0", "type", "veth", "peer", "name", "swarmlib1", "netns", str(to.pid)],
        ["ip", "address", "add", "198.51.100.1/30", "dev", "swarmlib0"],
        ["ip", "link", "set", "swarmlib0", "up"],
        [*inside, "ip", "address", "add", "198.51.100.2/30", "dev", "swarmlib1"],
        [*inside, "ip", "link", "set", "swarmlib1", "up"],
    ]
    try:
        for command in commands:
            subprocess.run(command, check=True)
        yield "swarmlib0"
    finally:
        subprocess.run(["ip", "link", "del", "swarmlib0"], check=True)


def test_an_engine_that_is_cut_off_is_missed_and_heals(pair: tuple[Engine, Engine]) -> None:
    _, b = pair
    with (
        engine(["-H", "tcp://0.0.0.0:2375", "--tls=false"]) as far,
        linked(far) as link,
        swarmd(f"balance --deadline 1 (far=docker tcp://198.51.100.2:2375) (b=docker {b.host})") as gateway,
    ):
        out(gateway.host, "run", "-d", "--name", "away", "-e", "constraint:node==far", "busybox", "sleep", "1000")
        out(gateway.host, "run", "-d", "--name", "near", "-e", "constraint:node==b", "busybox", "sleep", "1000")
        subprocess.run(["ip", "link", "set", link, "down"], check=True)
        wait_until(lambda: names(gateway) == {"near"}, "it is missed")
        assert b"far is down (" in docker(gateway.host, "stop", "away").stderr
        subprocess.run(["ip", "link", "set", link, "up"], check=True)
        wait_until(lambda: names(gateway) == {"near", "away"}, "it is back")
        out(gateway.host, "rm", "-f", "away", "near")


def test_what_answers_garbage_is_missed_and_harms_nothing(pair: tuple[Engine, Engine], tmp_path: Path) -> None:
    path = tmp_path / "garbage.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        answers = Thread(target=_answer_garbage, args=(listener,), daemon=True)
        answers.start()
        with swarmd(f"balance --deadline 2 (bad=docker unix://{path}) (b=docker {pair[1].host})") as gateway:
            assert out(gateway.host, "run", "--rm", "busybox", "echo", "fine") == "fine"
            assert "bad is missing" in docker(gateway.host, "info").stderr.decode()
        listener.shutdown(socket.SHUT_RDWR)
        answers.join(10)


def _answer_garbage(listener: socket.socket) -> None:
    with suppress(OSError):  # the listener is shut down
        while True:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"\x16\x03\x01 what is this\r\n\r\n")
