"""Run the same script of calls on two engines, and compare the answers, apart from ids, times and paths.

A script is a list of steps; each is one call, written as its message: a verb, a path, args, and a body. Objects have
the names that the script gives them, so that they are the same on both sides.
"""

from __future__ import annotations

import difflib
import io
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import orjson
import trio

from swarmlib import BytesStream, Client, Json, Set, SwarmError, Verb
from swarmlib.client.multiplexed import lines as lines_of
from swarmlib_backends.dockerapi.ages import since
from swarmlib_backends.dockerapi.status import status_of

PATIENCE = 20
"""Seconds that a step may take on either side."""
_ID = re.compile(r"\b[0-9a-f]{64}\b")
_SHORT = re.compile(r"\b[0-9a-f]{12,63}\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_AGE = re.compile(r"(Less than a second|\d+ seconds?)")
_POOL = re.compile(
    r"\b(172\.(1[89]|2\d|3[01])|192\.168|02:42:ac:1[2-9a-f]|02:42:c0:a8)[.:][0-9a-f]+([.:][0-9a-f]+)(/\d+)?"
)
"""An engine gives networks the pools in turn: which one depends on those that were."""
_ROOT = re.compile(r"/(tmp/engine-\w+/data|var/lib/docker)/")
_UNORDERED_TEXT = re.compile(r"(?<=network endpoints: ).*")
"""Fields that an engine lists in the random order of a Go map."""
_OWN = {
    # What an engine says of its machine, or of how it keeps things.
    *("GraphDriver", "Driver", "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "SandboxID", "SandboxKey"),
    *("Size", "VirtualSize", "SizeRootFs", "SizeRw", "SharedSize", "LayersSize", "DockerVersion", "Metadata", "RootFS"),
    *("Pid", "Created", "CreatedAt", "time", "timeNano", "Mountpoint", "execID", "Start", "End"),
    *("memory_stats", "cpu_stats", "precpu_stats", "blkio_stats", "networks", "read", "preread"),
    *("LastTagTime", "CgroupnsMode", "propagation", "Runtime"),
}
_UNORDERED = {
    *("Mounts", "Ports", "RepoTags", "Volumes", "Names", "ContainersDeleted", "NetworksDeleted", "VolumesDeleted"),
    *("Aliases", "Env", "Links", "Tags"),
}


@dataclass(frozen=True)
class Step:
    """One call. `kind` is what is read of its answer: a value, a stream's lines, or a tar's names."""

    verb: Verb
    path: tuple[str, ...]
    args: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Any = None
    kind: str = "value"
    upload: bool = False
    """Whether a tar with a file goes with it."""

    def __repr__(self) -> str:
        shown = [f"Verb.{self.verb.name}", repr(self.path)]
        for name in ("args", "body", "kind", "upload"):
            value = getattr(self, name)
            if value not in ({}, None, "value", False):
                shown.append(f"{name}={value!r}")
        return f"Step({', '.join(shown)})"


class Side:
    """One engine: it runs steps, and says what is comparable of the answers."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._known: dict[str, str] = {}

    async def learn(self) -> None:
        """Know the ids of what has a name."""
        for image in await self.client.ls("images"):
            for tag in image["RepoTags"] or []:
                self._known.setdefault(image["Id"].removeprefix("sha256:"), f"<{tag}>")
        for network in await self.client.ls("networks"):
            self._known.setdefault(network["Id"], f"<network {network['Name']}>")

    async def run(self, step: Step) -> Any:
        """What the answer says, with nothing in it that is this side's own."""
        try:
            with trio.fail_after(PATIENCE):
                return self.plain(await self._answer(step))
        except SwarmError as exc:
            if step.verb is Verb.GET and step.path[-1] == "archive":
                return type(exc).__name__, status_of(exc)  # the answer to a HEAD has no words
            return type(exc).__name__, status_of(exc), self.plain(_UNORDERED_TEXT.sub("...", exc.message.strip()))

    async def _answer(self, step: Step) -> Any:
        body = step.body
        if isinstance(body, dict) and "Image" in body:
            body = body | {"Image": self._substituted(body["Image"])}
        value = Json.from_data(body) if body is not None else None
        path = tuple(self._substituted(part) for part in step.path)
        if step.kind == "wait":
            async with self.client.request(step.verb, path, params=step.args, body=value) as replies:
                return [reply.json async for reply in replies if isinstance(reply, Set)]
        att = BytesStream(tar_of("file", b"data")) if step.upload else None
        answer = await self.client.call(step.verb, path, params=step.args, body=value, upload=att)
        if step.kind in ("lines", "raw") and answer.ack.stream is not None:
            async with answer.ack.stream as stream:
                lines = [(line.stream, line.data) async for line in lines_of(stream, tty=step.kind == "raw")]
            # Two streams are two pipes: only within each is there an order.
            return sorted(
                (name, b"\n".join(line for each, line in lines if each == name).decode()) for name, _ in lines
            )
        if step.kind == "tar" and answer.ack.stream is not None:
            async with answer.ack.stream as stream:
                return _members(b"".join([bytes(piece) async for piece in stream]))
        self._note(step, answer.value)
        return _READ.get(step.kind, _same)(answer.value), answer.ack.details.get("status")

    async def settle(self) -> None:
        """Wait for the end of what ends by itself."""
        with trio.fail_after(PATIENCE):
            while await self._unsettled():  # noqa: ASYNC110 - an engine can only be asked
                await trio.sleep(0.01)

    async def _unsettled(self) -> bool:
        return any([await self._goes_on(each) for each in await self.client.ls(all="1")])

    async def _goes_on(self, listed: dict[str, Any]) -> bool:
        try:
            found = await self.client.get("containers", listed["Id"])
        except SwarmError:
            return False
        if not found["State"]["Running"]:
            return bool(found["HostConfig"]["AutoRemove"] and not found["State"]["StartedAt"].startswith("0001"))
        ends = found["State"]["Restarting"] or listed["Command"] != LONG
        execs = [await self.client.get("exec", id) for id in found["ExecIDs"] or []]
        return bool((ends or any(each["Running"] for each in execs)) and not found["State"]["Paused"])

    async def skips(self, step: Step) -> bool:
        """Whether a step would wait for what doesn't end; or kills what is paused, which an engine does by and by."""
        if step.kind != "wait" and step.path[-1] != "kill":
            return False
        try:
            found = (await self.client.get(*(self._substituted(part) for part in step.path[:2])))["State"]
        except SwarmError:
            return False
        return bool(found["Running"] if step.kind == "wait" else found["Paused"])

    def _substituted(self, part: str) -> str:
        """`@name` stands for the id of what the script named so, `@name:6` for that many digits of it."""
        if not part.startswith("@"):
            return part
        found = re.fullmatch(r"@(.+?)(?::(\d+))?", part)
        assert found is not None
        id = next((id for id, known in self._known.items() if known == f"<{found[1]}>"), "0" * 64)
        return id[: int(found[2] or 64)]

    def _note(self, step: Step, value: Any) -> None:
        if step.verb is Verb.SPAWN and isinstance(value, dict):
            named = step.args.get("name") or (step.body or {}).get("Name") or "exec"
            self._known[str(value.get("Id", ""))] = f"<network {named}>" if step.path == ("networks",) else f"<{named}>"

    def tells(self, event: dict[str, Any]) -> bool:
        """Whether an event is comparable."""
        return True

    def plain(self, value: Any, key: str = "") -> Any:
        """A value with nothing in it that is this side's own."""
        if isinstance(value, dict):
            return {self._text(k): self.plain(v, k) for k, v in _steady(value).items() if k not in _OWN}
        if isinstance(value, list | tuple):
            found = [self.plain(each) for each in value]
            return sorted(found, key=_encoded) if key in _UNORDERED else found
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text: str) -> str:
        text = _ID.sub(lambda found: self._known.get(found[0], "<id>"), text)
        text = _SHORT.sub(lambda found: self._short(found[0]), text)
        text = _POOL.sub(r"<pool>\g<3>", text)
        text = _TIME.sub(lambda found: found[0] if found[0].startswith("0001") else "<time>", text)
        text = text.replace("Imported from -", "")  # where the tests' busybox comes from
        return _ROOT.sub("/root/", _AGE.sub("<age>", text))

    def _short(self, text: str) -> str:
        return next((f"{known}:{len(text)}" for id, known in self._known.items() if id.startswith(text)), "<short id>")


def _members(data: bytes) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = [(each.name, archive.extractfile(each) if each.isfile() else None) for each in archive]
        return [(name, content.read().decode() if content and "/" not in name else "") for name, content in found]


def _encoded(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _steady(value: dict[str, Any]) -> dict[str, Any]:
    """An object without what an engine says now so, now so."""
    if "Names" in value and value["State"] in ("created", "exited"):
        # Its lists may keep the addresses that a container had during an attempt to start it.
        return value | {"NetworkSettings": sorted(value["NetworkSettings"]["Networks"])}
    if value.get("Type") == "volume" and "Destination" in value:
        return {name: each for name, each in value.items() if name != "Source"}
    return value


def _same(value: Any) -> Any:
    return value


def _sorted_by_name(value: list[Any]) -> list[Any]:
    return sorted(value, key=lambda each: str(each["Name"]))


def _top(value: Any) -> Any:
    return value["Titles"], sorted([row[0], row[-1]] for row in value["Processes"])


def _image(value: Any) -> Any:
    return {name: each for name, each in value.items() if name not in ("Comment", "ContainerConfig")}


_READ = {"unordered": _sorted_by_name, "top": _top, "image": _image}
"""What is comparable of some values."""


def tar_of(name: str, data: bytes) -> bytes:
    """A tar with one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


LONG = "sleep 1000"
"""The command that doesn't end by itself."""
BROKEN = ("nosuch", "/nosuch", "/etc")
"""Programs that aren't there."""
LS = Step(Verb.LS, ("containers",), {"all": "1"})


async def compare(script: list[Step], first: Side, second: Side, *, events: bool = True) -> None:
    """Run a script on both sides; fail at the first step whose answers, or what is left behind, differ."""
    done: list[Step] = []
    begun = [await _now(side) for side in (first, second)]
    for side in (first, second):
        await side.learn()
    for step in script:
        if await first.skips(step):
            continue
        done.append(step)
        for each in (step, LS, *_looks(step)):
            answers: list[Any] = [None, None]
            async with trio.open_nursery() as nursery:
                for number, side in enumerate((first, second)):
                    nursery.start_soon(_into, answers, number, side, each, each is step)
            assert answers[1] == answers[0], _difference(done, each, answers)
    if events:
        told = [await _events(side, at) for side, at in zip((first, second), begun, strict=True)]
        assert told[1] == told[0], _difference(done, "events", told)


async def _into(answers: list[Any], number: int, side: Side, step: Step, settle: bool) -> None:
    answers[number] = await side.run(step)
    if settle:
        await side.settle()


def _looks(step: Step) -> list[Step]:
    """What to look at after a step."""
    match step.path:
        case ("containers", ref, *_):
            return [Step(Verb.GET, ("containers", ref))]
        case ("containers",) if step.args.get("name"):
            return [Step(Verb.GET, ("containers", step.args["name"]))]
        case ("networks", ref, *_):
            return [Step(Verb.GET, ("networks", ref))]
        case ("images", *_):
            return [Step(Verb.LS, ("images",))]
        case ("volumes", *_):
            return [Step(Verb.LS, ("volumes",))]
        case _:
            return []


def _difference(done: list[Step], at: Any, answers: list[Any]) -> str:
    shown = "\n".join(f"    {step!r}," for step in done)
    pairs = _unequal(answers[0], answers[1], "")
    return f"\n[\n{shown}\n]\nat {at!r}:\n" + "\n".join(pairs[:20])


def _unequal(one: Any, other: Any, where: str) -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        missing = object()
        return [
            line
            for key in {**one, **other}
            for line in _unequal(one.get(key, missing), other.get(key, missing), f"{where}.{key}")
        ]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return [
            line for n, pair in enumerate(zip(one, other, strict=True)) for line in _unequal(*pair, f"{where}[{n}]")
        ]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return list(
            difflib.unified_diff(
                [_encoded(each).decode() for each in one],
                [_encoded(each).decode() for each in other],
                "engine",
                "simulator",
                lineterm="",
                n=1,
            )
        )
    return [] if one == other else [f"{where}: engine {one!r}, simulator {other!r}"]


async def _now(side: Side) -> str:
    info = await side.client.get()
    return str(info["SystemTime"])


async def _events(side: Side, begun: str) -> list[Any]:
    until = await _now(side)
    async with side.client.watch(since=_seconds(begun), until=_seconds(until)) as events:
        told = [side.plain(event) async for event in events if side.tells(event)]
    # An engine mounts the volumes of a container in no order.
    groups = [list(group) for _, group in groupby(told, lambda event: event["Type"] == "volume")]
    return [
        event for group in groups for event in (sorted(group, key=_encoded) if group[0]["Type"] == "volume" else group)
    ]


def _seconds(stamp: str) -> str:
    fraction = re.search(r"\.(\d+)Z", stamp)
    return f"{int(since(stamp))}.{(fraction[1] if fraction else '0').ljust(9, '0')}"


async def clean(side: Side) -> None:
    """Remove what a script left."""
    client = side.client
    for each in await client.ls(all="1"):
        await client.rm("containers", each["Id"], force="1", v="1")
    for each in await client.ls("networks"):
        if each["Name"] not in ("bridge", "host", "none"):
            await client.rm("networks", each["Id"])
    for each in (await client.call(Verb.LS, ("volumes",))).value["Volumes"]:
        await client.rm("volumes", each["Name"], force="1")
    for each in await client.ls("images"):
        tags = [tag for tag in each["RepoTags"] or [] if tag not in ("busybox:latest", "<none>:<none>")]
        for ref in tags or ([each["Id"]] if "busybox:latest" not in (each["RepoTags"] or []) else []):
            await client.rm("images", ref, force="1")
