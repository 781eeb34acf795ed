"""Send the same question to an engine and to a service that should behave like it, and compare the answers."""

import json
import re
import socket
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from itertools import pairwise
from typing import Any
from urllib.parse import quote

from tests.support.engines import docker, engine, swarmd, wait_until
from tests.support.odd_requests import Question

HEAD_SECONDS = 8.0
"""How long a head may be waited for."""
STREAM_SECONDS = 0.1
"""How long a body is read, if it goes on."""
LATER_SECONDS = 4.0
"""How much later than an engine's a first byte may come, on a machine that does other things too."""
_MOST = 65536
_OWN_HEADERS = {"date", "server", "content-length", "transfer-encoding", "connection"}
"""Who answers and when, and what is each connection's own: its end, and how a body's end is marked."""


@dataclass
class Answer:
    """What came back; status 0 where the connection was closed without an answer, -1 where none came in time."""

    status: int
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    first_byte: float = 0.0

    @property
    def message(self) -> str:
        """The message of an error; "" if the answer is not an error."""
        if self.status < 400:
            return ""
        try:
            return str(json.loads(self.body)["message"])
        except (ValueError, KeyError, TypeError):
            return self.body.decode("utf-8", "replace").strip()


class Place:
    """A Docker API somewhere: at the path of a unix socket, or at a port of the loopback."""

    def __init__(self, at: str | int) -> None:
        self._at = at

    def ask(self, method: str, target: str, body: bytes | None = None, type: str | None = "application/json") -> Answer:
        """Ask, and read as much as comes at once."""
        head = [f"{method} {quote(target, safe='/%?&=+:;@,!*()')} HTTP/1.1", "Host: localhost", "Connection: close"]
        if body is not None:
            head += [f"Content-Length: {len(body)}", *([f"Content-Type: {type}"] if type else [])]
        with closing(self._connected()) as sock:
            sock.sendall("".join(f"{line}\r\n" for line in [*head, ""]).encode() + (body or b""))
            return _read(sock, method)

    def value(self, method: str, target: str, body: Any = None) -> Any:
        """The JSON of an answer that must be a success; None if it has none."""
        found = self.ask(method, f"/v1.41{target}", None if body is None else json.dumps(body).encode())
        assert 200 <= found.status < 400, (method, target, found.status, found.message)
        return json.loads(found.body) if found.body else None

    def _connected(self) -> socket.socket:
        if isinstance(self._at, int):
            return socket.create_connection(("127.0.0.1", self._at), HEAD_SECONDS)
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(HEAD_SECONDS)
        sock.connect(self._at)
        return sock


def _read(sock: socket.socket, method: str) -> Answer:
    asked = time.monotonic()
    response = HTTPResponse(sock, method=method)
    try:
        response.begin()
    except TimeoutError:
        return Answer(-1)
    except (HTTPException, OSError):
        return Answer(0)
    answer = Answer(response.status, {name.lower(): value for name, value in response.getheaders()})
    answer.first_byte = time.monotonic() - asked
    sock.settimeout(STREAM_SECONDS if answer.status == 200 else HEAD_SECONDS)
    try:
        while len(answer.body) < _MOST and (piece := response.read1(_MOST)):
            answer.body += piece
    except (TimeoutError, HTTPException, OSError):
        pass  # it goes on, or was broken off: what came of it is compared
    return answer


# What is intended.

Meant = Callable[[Question, Answer, Answer], bool]
"""Whether a difference is meant: takes what was asked, the engine's answer, and the other one."""
_UNREADABLE = re.compile(
    r"strconv\.|^json: |invalid character|EOF|unexpected end of JSON|cannot unmarshal|invalid (\w+) version|"
    r"invalid value for|tail value|negative tail|error reading (labels|build args|ulimit)|illegal base64|"
    r"you must choose at least one stream|starting container with non-empty"
)
"""An engine's words for what it can't read, or misses."""
_DISAGREED_ON = re.compile(
    r"the duplicate key|more than once, in different|after top-level value|can't be used together|NUL character|"
    r"nests deeper|which is too large|too many digits|that 64 bits can hold|must map each value to true|"
    r"must be an object, not null|at the top level, but"
)


def _unreadable(_: Question, direct: Answer, through: Answer) -> bool:
    return through.status == 400 and direct.status >= 400 and bool(_UNREADABLE.search(direct.message))


def _disagreed_on(_: Question, __: Answer, through: Answer) -> bool:
    return through.status == 400 and bool(_DISAGREED_ON.search(through.message))


def _not_called_json(asked: Question, direct: Answer, through: Answer) -> bool:
    refused = through.message if asked.body else direct.message  # here, an empty body counts as none, whatever its type
    return asked.type != "application/json" and through.status == 400 and "must be 'application/json'" in refused


def _of_later_versions(asked: Question, direct: Answer, through: Answer) -> bool:
    later = re.split(r"[ \[.]", through.message)[0] in _LATER.get(asked.row, ())
    return (through.status == 400 and later) or direct.message == "page not found"


def _looked_for_first(asked: Question, direct: Answer, through: Answer) -> bool:
    time_refused = through.status == 400 and re.match(r"(since|until) must be seconds", through.message)
    return asked.row == "ContainerLogs" and direct.status in (404, 500) and bool(time_refused)


def _no_name(_: Question, direct: Answer, through: Answer) -> bool:
    return direct.status >= 400 and through.status == 400 and "invalid name " in through.message


def _not_there(_: Question, __: Answer, through: Answer) -> bool:
    return through.status == 501


def _candidates(_: Question, __: Answer, through: Answer) -> bool:
    return through.status == 409 and " fits more than one " in through.message


def _of_another_version(_: Question, direct: Answer, through: Answer) -> bool:
    same = through.status == direct.status and through.message == direct.message
    return same and "client version" in direct.message


def _no_images(asked: Question, direct: Answer, through: Answer) -> bool:
    return asked.row == "ImageInspect" and direct.status == 200 and through.message.startswith("no such image: thing: ")


def _no_plugins(asked: Question, direct: Answer, _: Answer) -> bool:
    return direct.status == -1 and asked.row in ("ContainerCreate", "NetworkCreate", "VolumeCreate")


def _no_manager(_: Question, direct: Answer, through: Answer) -> bool:
    return through.status == 400 and "This node is not a swarm manager" in direct.message


def _fits_by_chance(_: Question, direct: Answer, through: Answer) -> bool:
    missing = r"(?:No such container: |endpoint |network )[0-9a-f]{1,3}(?: not found)?"
    return any(each.status == 404 and re.fullmatch(missing, each.message) for each in (direct, through))


def _broken_off(_: Question, direct: Answer, through: Answer) -> bool:
    return direct.status == 0 and through.status >= 400


_LATER = {
    "BuildPrune": ("reserved-space", "max-used-space", "min-free-space"),
    **dict.fromkeys(("ContainerStop", "ContainerRestart"), ("Invalid",)),
    **dict.fromkeys(("ContainerExec", "ExecStart"), ("ConsoleSize",)),
    "VolumeCreate": ("ClusterVolumeSpec",),
}
"""How the refusals of parameters and fields begin that came after API 1.41."""
INTENDED: dict[Meant, str] = {
    _unreadable: "What can't be read is the client's fault: 400, in words that name the place; often 500 here.",
    _disagreed_on: "What readers disagree on is refused: a stage could be deceived by it (see strictjson).",
    _not_called_json: "A body that is not said to be JSON is refused on every row: a web page can send one unasked.",
    _of_later_versions: "A row or a parameter that this engine does not know yet is read as by those that know it.",
    _looked_for_first: "An engine looks for a container before it reads its logs' times; here they are read first.",
    _no_name: "A name by which no path could lead to its object is refused in words of its own.",
    _not_there: "The simulator and exec say of a row that they don't have it.",
    _candidates: "Balance tells what an ambiguous name may mean, and where, before an engine judges anything else.",
    _of_another_version: "An engine refuses an API version before its headers are set, an old one's as plain text.",
    _no_images: "Exec has no images, whatever name a workload's has.",
    _no_plugins: "An engine looks 15 s for a plugin that is not there, and meanwhile makes nothing for others either.",
    _no_manager: "What can't be read is refused by an engine that is no manager as by one that is.",
    _fits_by_chance: "A few digits may begin the id of an object in one world, and of none in another.",
    _broken_off: "A request at which the engine's handler crashes ends its connection; the gateway says that it did.",
}
"""Differences that are meant, each with its reason."""


def difference(asked: Question, direct: Answer, through: Answer) -> str | None:
    """How another answer differs from an engine's, in a few words; None where it doesn't, or is meant to."""
    found = _difference(direct, through)
    if found is None or any(is_meant(asked, direct, through) for is_meant in INTENDED):
        return None
    return found


def _difference(direct: Answer, through: Answer) -> str | None:
    if through.status != direct.status:
        return f"status {direct.status} is {through.status}: {direct.message!r:.200} is {through.message!r:.200}"
    if through.first_byte > direct.first_byte + LATER_SECONDS:
        return f"its first byte comes after {through.first_byte:.1f} s, not {direct.first_byte:.1f}"
    ours, theirs = (
        {name: _told(name, value) for name, value in each.headers.items() if name not in _OWN_HEADERS}
        for each in (through, direct)
    )
    if ours != theirs:
        return f"headers {theirs} are {ours}"
    if direct.status >= 400 and plain(through.message) != plain(direct.message):
        return f"{direct.message!r:.300} is {through.message!r:.300}"
    return None


def _told(name: str, value: str) -> str:
    """What a header says; of a file, without its times and its mode, which are those of each engine's image."""
    return str(json.loads(b64decode(value))["name"]) if name == "x-docker-container-path-stat" else value


def plain(text: str) -> str:
    """Text without ids, addresses and times."""
    text = re.sub(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{12}\b", "<id>", text)
    text = re.sub(r"(prefix|container): [0-9a-f]\b", r"\1: <digit>", text)
    text = re.sub(r"/\S*?/(?=image/overlay2/|overlay2/|volumes/)", "<root>/", text)
    text = re.sub(r"dial tcp: lookup .*", "dial tcp: <no network>", text)
    text = re.sub(r"127\.0\.0\.1:\d+|\d+\.\d+\.\d+\.\d+:\d+", "<address>", text)
    text = re.sub(r"(?<=Invalid filter )'[^']*'|(?<=invalid option: )\"[^\"]*\"", "<the first of a map>", text)
    text = re.sub(r"from 0.01 to \d+.00, as there are only \d+ CPUs", "<as many CPUs as there are>", text)
    return re.sub(r"[\d.]+(ms|µs|s)\b", "<time>", text)


# The objects that are asked for.

_ENDS_AT_ONCE = {"Image": "busybox", "Cmd": ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"]}
_MANY = 20
"""Containers among which two have ids that begin with the same digit."""


class World:
    """The objects of an engine that questions are about: made once, and again after a question changed them.

    kinds: of objects that it can have besides containers.
    """

    def __init__(self, place: Place, kinds: Sequence[str] = ("networks", "volumes", "images")) -> None:
        self.place = place
        self._kinds = kinds
        self._base = {"thing": "running", "stopped": "created"}
        self._known: dict[str, str] = {}
        self._image = ""

    def filled(self, text: str) -> str:
        """A target with the ids that only this engine knows."""
        for name, id in (("{id}", self._known["thing"]), ("{ambiguous}", self._ambiguous() or "")):
            text = text.replace(name, id).replace(quote(name), id)
        return text

    def _ambiguous(self) -> str | None:
        first = sorted(id[:1] for id in self._known.values())
        return next((digit for digit, same in pairwise(first) if digit == same), None)

    def restore(self) -> bool:
        """Make what is missing, remove what is too much; gives whether anything had to be done."""
        changed = any(
            [self._restore_names(), self._restore_containers(), *(self._restore(kind) for kind in self._kinds)]
        )
        while self._ambiguous() is None and len(self._base) < _MANY:
            self._base[f"other{len(self._base)}"] = "created"
            self._restore_containers()
        return changed

    def _restore_names(self) -> bool:
        """Give the image that containers are made of its names back, which a question may have given to another one."""
        if "images" not in self._kinds:
            return False
        named = {tag: each["Id"] for each in self.place.value("GET", "/images/json") for tag in each["RepoTags"] or []}
        self._image = self._image or named["busybox:latest"]
        moved = [tag for tag in ("busybox:latest", "thing:latest") if named.get(tag, self._image) != self._image]
        for tag in moved:
            self.place.value("POST", f"/images/{self._image}/tag?repo={tag.partition(':')[0]}")
        return bool(moved)

    def _restore_containers(self) -> bool:
        found = {str(each["Names"][0])[1:]: each for each in self.place.value("GET", "/containers/json?all=1")}
        wrong = [name for name, each in found.items() if each["State"] != self._base.get(name) or self._moved(each)]
        for name in wrong:
            self.place.ask("DELETE", f"/v1.41/containers/{found.pop(name)['Id']}?force=1&v=1")
        for name in self._base.keys() - found.keys():
            made = self.place.value("POST", f"/containers/create?name={name}", _ENDS_AT_ONCE)
            found[name] = made
            if self._base[name] == "running":
                self.place.value("POST", f"/containers/{name}/start")
        changed = self._known != (known := {name: each["Id"] for name, each in found.items()})
        self._known = known
        return changed or bool(wrong)

    def _moved(self, container: dict[str, Any]) -> bool:
        """Whether it was connected to a network that it was not made in, or disconnected from its own."""
        return "networks" in self._kinds and set(container["NetworkSettings"]["Networks"]) != {"bridge"}

    def _restore(self, kind: str) -> bool:
        listed, name_of, base, remove, make = _KINDS[kind]
        there = sorted(name for each in listed(self.place) for name in name_of(each))
        if there == base:
            return False
        for each in listed(self.place):
            if any(name not in base for name in name_of(each)) or (kind == "networks" and there != base):
                remove(self.place, each)
        there = [name for each in listed(self.place) for name in name_of(each)]
        for name in base:
            if there.count(name) < base.count(name):
                make(self.place, name)
                there.append(name)
        return True


_PREDEFINED = {"bridge", "host", "none"}
_KINDS: dict[str, tuple[Any, Any, list[str], Any, Any]] = {
    "networks": (
        lambda place: [each for each in place.value("GET", "/networks") if each["Name"] not in _PREDEFINED],
        lambda each: [each["Name"]],
        ["thing", "twice", "twice"],
        lambda place, each: place.ask("DELETE", f"/v1.41/networks/{each['Id']}"),
        lambda place, name: place.value("POST", "/networks/create", {"Name": name}),
    ),
    "volumes": (
        lambda place: place.value("GET", "/volumes")["Volumes"] or [],
        lambda each: [each["Name"]],
        ["thing"],
        lambda place, each: place.ask("DELETE", f"/v1.41/volumes/{quote(each['Name'])}"),
        lambda place, name: place.value("POST", "/volumes/create", {"Name": name}),
    ),
    "images": (
        lambda place: place.value("GET", "/images/json"),
        lambda each: each["RepoTags"] or ["<none>:<none>"],
        ["busybox:latest", "thing:latest"],
        lambda place, each: [
            place.ask("DELETE", f"/v1.41/images/{tag if tag != '<none>:<none>' else each['Id']}")
            for tag in each["RepoTags"] or ["<none>:<none>"]
            if tag not in ("busybox:latest", "thing:latest")
        ],
        lambda place, name: place.value("POST", "/images/busybox/tag?repo=thing"),
    ),
}
"""How each kind is listed, named, removed and made, and the names that there should be."""


class Comparison:
    """Asks an engine and others that show the same objects, or the same kinds of objects."""

    def __init__(self, world: World, through: dict[str, Place], others: dict[str, World]) -> None:
        self._world = world
        self._through = through
        self._others = others

    def prepare(self) -> None:
        """Make the objects."""
        for world in (self._world, *self._others.values()):
            world.restore()
        self._follow()

    def ask(self, asked: Question) -> dict[str, str]:
        """Ask everybody; gives how each answer differs from the engine's, where it does."""
        direct = self._answer(asked, self._world, self._world.place)
        answers = {name: self._answer(asked, self._world, place) for name, place in self._through.items()}
        answers |= {name: self._answer(asked, world, world.place) for name, world in self._others.items()}
        found = {name: difference(asked, direct, answer) for name, answer in answers.items()}
        return {name: each for name, each in found.items() if each is not None}

    def _answer(self, asked: Question, world: World, place: Place) -> Answer:
        answer = place.ask(asked.method, world.filled(asked.target), asked.body, asked.type)
        if asked.method not in ("GET", "HEAD") and world.restore() and world is self._world:
            self._follow()
        return answer

    def _follow(self) -> None:
        """Wait until every balance has the new object in its index."""
        wanted = self._ids(self._world.place)
        for name, place in self._through.items():
            wait_until(lambda place=place: wanted <= self._ids(place), f"{name} knows what was made")

    @staticmethod
    def _ids(place: Place) -> set[str]:
        return {each["Id"] for kind in ("containers/json?all=1", "networks") for each in place.value("GET", f"/{kind}")}


@contextmanager
def comparison(*, balance: bool = True, simulated: bool = True) -> Iterator[Comparison]:
    """Real engines, with a gateway, balances of one and of two, the simulator and `exec` to compare with."""
    with ExitStack() as stack:
        first = stack.enter_context(engine())
        chains = {"docker": f"docker {first.host}"}
        if balance:
            second = stack.enter_context(engine())
            docker(second.host, "rmi", "busybox", check=True)
            docker(second.host, "load", input=docker(first.host, "save", "busybox", check=True).stdout, check=True)
            chains["balance of one"] = f"balance (docker {first.host})"
            chains["balance of two"] = f"balance (docker {first.host}) (docker {second.host})"
        through = {name: Place(stack.enter_context(swarmd(chain)).port) for name, chain in chains.items()}
        others: dict[str, World] = {}
        if simulated:
            others["simulator"] = World(Place(stack.enter_context(swarmd("simulator --offline")).port))
            others["exec"] = World(Place(stack.enter_context(swarmd("exec")).port), ())
        made = Comparison(World(Place(str(first.socket))), through, others)
        made.prepare()
        yield made
