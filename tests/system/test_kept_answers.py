"""What balance keeps of real engines' answers, against the engines: never older than an event that the reader has seen,
however busy those are that change the engines behind its back; and the engines' own answers, once it is quiet.
"""

import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from threading import Event
from typing import Any, cast

import pytest

from tests.support.engines import Engine, Swarmd, docker, swarmd

pytestmark = pytest.mark.engine

SETTLED_SECONDS = 1.1
"""After this, what is asked for is kept."""
ROUNDS = 12
RESTARTED = 4
"""Every such round ends with a restart."""


class Api(HTTPConnection):
    """A connection to a Docker API: at the path of a unix socket, or at a port of the loopback."""

    def __init__(self, at: str | int) -> None:
        super().__init__("127.0.0.1", at if isinstance(at, int) else 1, timeout=30)
        self._path = at if isinstance(at, str) else ""

    def connect(self) -> None:
        if not self._path:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)

    def ask(self, target: str, method: str = "GET", body: object = None) -> bytes:
        """Return the body of an answer, which must be a success."""
        sent = None if body is None else json.dumps(body)
        self.request(method, target, sent, {"Content-Type": "application/json"} if sent else {})
        response = self.getresponse()
        raw = response.read()
        assert response.status < 400, (method, target, raw)
        return raw

    def read(self, target: str) -> Any:
        """Return the decoded body of an answer."""
        return json.loads(self.ask(target))


@pytest.fixture(scope="module")
def over(engines: tuple[Engine, Engine]) -> Iterator[Swarmd]:
    """The two engines as one."""
    first, second = engines
    with swarmd(f"balance (a=docker {first.host}) (b=docker {second.host})") as gateway:
        yield gateway


@pytest.fixture
def boxes(engines: tuple[Engine, Engine]) -> Iterator[list[str]]:
    """The ids of containers that run, one on each engine, each in a network of its own."""
    made: list[str] = []
    for number, each in enumerate(engines):
        docker(each.host, "network", "create", f"net{number}", check=True)
        docker(each.host, "volume", "create", f"volume{number}", check=True)
        run = ("run", "-d", "--name", f"box{number}-0", "--network", f"net{number}")
        made.append(docker(each.host, *run, "busybox", "sleep", "600", check=True).stdout.decode().strip())
    yield made
    for number, (each, id) in enumerate(zip(engines, made, strict=True)):
        docker(each.host, "rm", "-f", id, check=True)
        docker(each.host, "network", "rm", f"net{number}", check=True)
        docker(each.host, "volume", "rm", f"volume{number}", check=True)
        tags = docker(each.host, "images", f"kept{number}", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
        docker(each.host, "rmi", *(tag.decode() for tag in tags))


def _change(at: Engine, number: int, id: str) -> None:
    """Change a container, its network and an image on an engine; changes count, so that an older answer shows."""
    with closing(Api(str(at.socket))) as api:
        for turn in range(1, ROUNDS + 1):
            api.ask(f"/containers/{id}/update", "POST", {"CpuShares": 1000 + turn})
            api.ask(f"/containers/{id}/rename?name=box{number}-{turn}", "POST")
            api.ask(f"/images/busybox/tag?repo=kept{number}&tag=t-{turn}", "POST")
            api.ask(f"/networks/net{number}/disconnect", "POST", {"Container": id})
            aliases = {"Aliases": [f"alias-{turn}"]}
            api.ask(f"/networks/net{number}/connect", "POST", {"Container": id, "EndpointConfig": aliases})
            if turn % RESTARTED == 0:
                api.ask(f"/containers/{id}/restart?t=0", "POST")
        api.ask(f"/images/busybox/tag?repo=kept{number}&tag=end-{ROUNDS}", "POST")


@dataclass
class Reader:
    """Reads through the gateway what each event says to be different, as soon as it has the event."""

    api: Api
    seen: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    died: dict[str, int] = field(default_factory=dict[str, int])
    old: list[str] = field(default_factory=list[str])
    checked: int = 0

    def take(self, event: dict[str, Any]) -> None:
        """Check what an event is about."""
        id, action, about = event["Actor"]["ID"], event["Action"], event["Actor"]["Attributes"]
        self.seen[id, action] += 1
        check: Callable[..., bool] | None = getattr(self, f"_{event['Type']}_{action}", None)
        if check is not None:
            self.checked += 1
            if not check(id, about["name"], event):
                self.old.append(f"after {action} {about}")

    def _container_update(self, id: str, name: str, event: dict[str, Any]) -> bool:
        shares = self.api.read(f"/containers/{id}/json")["HostConfig"]["CpuShares"]
        return bool(shares >= 1000 + self.seen[id, "update"])

    def _container_rename(self, id: str, name: str, event: dict[str, Any]) -> bool:
        shown = [self.api.read(f"/containers/{id}/json")["Name"]]
        shown += next(each["Names"] for each in self.api.read("/containers/json?all=1") if each["Id"] == id)
        ends = self.api.read(f"/networks/net{name[3]}")["Containers"]
        shown += [ends[id]["Name"]] if id in ends else []
        return all(_turn(each) >= _turn(name) for each in shown)

    def _container_start(self, id: str, name: str, event: dict[str, Any]) -> bool:
        return self._started(id) > self.died.get(id, 0)

    def _container_die(self, id: str, name: str, event: dict[str, Any]) -> bool:
        self.died[id] = event["timeNano"]
        running = self.api.read(f"/containers/{id}/json")["State"]["Running"]
        return not running or self._started(id) > event["timeNano"]

    def _started(self, id: str) -> int:
        return _nanoseconds(self.api.read(f"/containers/{id}/json")["State"]["StartedAt"])

    def _network_connect(self, id: str, name: str, event: dict[str, Any]) -> bool:
        container = self.api.read(f"/containers/{event['Actor']['Attributes']['container']}/json")
        ends: dict[str, Any] = container["NetworkSettings"]["Networks"].get(name) or {}
        known: list[str] = ends.get("Aliases") or []
        turns = [_turn(alias) for alias in known if alias.startswith("alias-")]
        connects = self.seen[id, "connect"]
        return not turns or max(turns) >= connects - connects // (RESTARTED + 1)  # a restart connects it once more

    def _image_tag(self, id: str, name: str, event: dict[str, Any]) -> bool:
        shown: list[str] = self.api.read(f"/images/{id}/json")["RepoTags"]
        listed: list[str] = next(each["RepoTags"] for each in self.api.read("/images/json") if each["Id"] == id)
        return name in shown and name in listed and name in self.api.read(f"/images/{name}/json")["RepoTags"]


def _image(at: Engine) -> str:
    return docker(at.host, "images", "-q", "--no-trunc", "busybox").stdout.decode().strip()


def _turn(name: str) -> int:
    return int(name.rpartition("-")[2])


def _nanoseconds(stamp: str) -> int:
    seconds, _, fraction = stamp.rstrip("Z").partition(".")
    return int(datetime.fromisoformat(f"{seconds}+00:00").timestamp()) * 10**9 + int(f"{fraction:0<9}")


def _poll(gateway: Swarmd, targets: Sequence[str], ended: Event) -> None:
    """Read the same again and again, so that there is always something that could be too old."""
    with closing(Api(gateway.port)) as api:
        while not ended.is_set():
            for target in targets:
                api.ask(target)


def _events(api: Api) -> Iterator[dict[str, Any]]:
    """What the gateway tells, to the last change on both engines."""
    response = api.getresponse()
    last = {f"kept{number}:end-{ROUNDS}" for number in range(2)}
    while last:
        event = json.loads(response.readline())
        last.discard(event["Actor"]["Attributes"].get("name", ""))
        yield event


def test_no_read_is_older_than_an_event_that_its_reader_has_seen(
    engines: tuple[Engine, Engine], over: Swarmd, boxes: list[str]
) -> None:
    targets = [f"/containers/{id}/json" for id in boxes] + [f"/images/{_image(each)}/json" for each in engines]
    ended = Event()
    with closing(Api(over.port)) as events, closing(Api(over.port)) as api, ThreadPoolExecutor() as pool:
        reader = Reader(api)
        try:
            polls = [pool.submit(_poll, over, [*targets, "/networks/net0"], ended) for _ in range(2)]
            events.request("GET", "/events")
            api.ask("/containers/json")
            changes = [pool.submit(_change, *each) for each in zip(engines, range(2), boxes, strict=True)]
            for event in _events(events):
                reader.take(event)
        finally:
            ended.set()
        for each in (*changes, *polls):
            each.result()
    assert not reader.old
    assert reader.checked > 2 * 4 * ROUNDS


def _bare(found: Any) -> Any:
    """An answer without what balance adds to it: the engine that it is of."""
    if isinstance(found, list):
        return sorted(map(_bare, cast("list[Any]", found)), key=json.dumps)
    return {name: value for name, value in found.items() if name != "Node"}


ASKED = (
    *("/containers/{box}/json", "/v1.24/containers/{box}/json", "/containers/{box}/json?size=1"),
    *("/networks/{net}", "/networks/{net}?verbose=1", "/volumes/{volume}", "/images/{image}/json"),
)


def test_when_it_is_quiet_each_answer_is_the_engine_s(
    engines: tuple[Engine, Engine], over: Swarmd, boxes: list[str]
) -> None:
    with closing(Api(over.port)) as api:
        for turn in range(2):
            for number, (each, id) in enumerate(zip(engines, boxes, strict=True)):
                with closing(Api(str(each.socket))) as direct:
                    for target in ASKED:
                        target = target.format(box=id, net=f"net{number}", volume=f"volume{number}", image=_image(each))
                        told = _bare(api.read(target))
                        assert json.dumps(told) == json.dumps(_bare(direct.read(target))), target
            if turn == 0:
                time.sleep(SETTLED_SECONDS)
                for target in ("/_ping", "/version", "/networks", "/images/json", "/volumes"):
                    once = api.ask(target)
                    assert api.ask(target) == once
                    assert api.ask(target) == once


def test_lists_hold_what_the_engines_list(engines: tuple[Engine, Engine], over: Swarmd, boxes: list[str]) -> None:
    with closing(Api(over.port)) as api:
        for target in ("/networks", "/v1.24/networks"):
            lists: list[Any] = []
            for each in engines:
                with closing(Api(str(each.socket))) as direct:
                    lists += direct.read(target)
            for _ in range(3):
                assert _bare(api.read(target)) == sorted(lists, key=json.dumps)


@pytest.mark.parametrize("buildkit", ["0", "1"])
def test_an_image_that_is_built_without_a_tag_has_no_event_and_is_listed(
    engines: tuple[Engine, Engine], over: Swarmd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buildkit: str
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY Dockerfile /\n")
    monkeypatch.setenv("DOCKER_BUILDKIT", buildkit)
    with closing(Api(over.port)) as api, closing(Api(str(engines[0].socket))) as direct:
        time.sleep(SETTLED_SECONDS)
        api.read("/images/json")
        since = time.time()
        build = docker(engines[0].host, "build", "-q", str(tmp_path), check=True, cli="/usr/bin/docker")  # Debian's
        built = build.stdout.decode().strip()
        listed = {each["Id"] for each in api.read("/images/json")}
        told = direct.ask(f"/events?since={since:.9f}&until={time.time():.9f}")
        docker(engines[0].host, "rmi", built, check=True)
    assert not told
    assert built in listed


def test_what_is_written_into_a_volume_has_no_event_and_is_listed(
    engines: tuple[Engine, Engine], over: Swarmd, boxes: list[str]
) -> None:
    def created(at: Api) -> str:
        return next(str(each["CreatedAt"]) for each in at.read("/volumes")["Volumes"] if each["Name"] == "volume0")

    with closing(Api(over.port)) as api, closing(Api(str(engines[0].socket))) as direct:
        time.sleep(SETTLED_SECONDS)
        before, since = created(api), time.time()
        (engines[0].folder / "data/volumes/volume0/_data/file").touch()  # as any program does that has it mounted
        after = created(api)
        told = direct.ask(f"/events?since={since:.9f}&until={time.time():.9f}")
        assert not told
        assert before != after == created(direct)


def test_what_a_client_changes_it_sees_at_once(over: Swarmd, boxes: list[str]) -> None:
    id = boxes[0]
    with closing(Api(over.port)) as api:
        for turn in range(20):
            api.read(f"/containers/{id}/json")
            api.ask(f"/containers/{id}/update", "POST", {"CpuShares": 2000 + turn})
            assert api.read(f"/containers/{id}/json")["HostConfig"]["CpuShares"] == 2000 + turn
            api.ask(f"/containers/{id}/rename?name=mine-{turn}", "POST")
            assert api.read("/networks/net0")["Containers"][id]["Name"] == f"mine-{turn}"


def test_many_may_ask_for_the_disk_usage_at_once_and_it_says_its_age(engines: tuple[Engine, Engine]) -> None:
    def ages(gateway: Swarmd) -> tuple[str | None, str | None]:
        with closing(Api(gateway.port)) as api:
            api.request("GET", "/system/df")
            response = api.getresponse()
            assert response.status == 200, response.read()  # an engine refuses a second one while it computes
            return response.getheader("Age"), response.getheader("Api-Version")

    with swarmd(f"balance --max-age 60s (docker {engines[0].host})") as aged, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ages, [aged] * 16))
    assert {version for _, version in found} == {"1.41"}
    assert all(age is not None and 0 <= int(age) < 60 for age, _ in found)
