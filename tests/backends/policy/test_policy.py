"""The stage `policy` over a simulated engine: who may do what, whose objects are seen, and rules that change."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import trio
from trio.testing import MockClock

from swarmlib import (
    Chain,
    Client,
    Conflict,
    Denied,
    Filter,
    Invalid,
    Meta,
    NotFound,
    Reply,
    Request,
    Server,
    SwarmError,
    Tap,
    Verb,
    connect,
    dispatch,
    open_reply,
)
from swarmlib.asking import answer, call
from swarmlib_backends.dockerapi.operations import ContainerList, NetworkList, VolumeList
from swarmlib_backends.limit import Limit
from swarmlib_backends.policy import Policy
from swarmlib_backends.simulator import Simulator

TEAM = """
[[rule]]
own = "team=NAME"
allow = [
    "ContainerList", "ContainerInspect", "ContainerCreate", "ContainerStart", "ContainerDelete", "ContainerPrune",
    "ContainerExec", "ExecInspect", "NetworkCreate", "NetworkList", "NetworkInspect", "VolumeList", "VolumeInspect",
    "VolumeCreate",
    "SystemEvents",
]
[rule.container]
images = ["busybox"]
binds = ["FOLDER/**"]
"""
SLEEPS = {"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none"}}


@asynccontextmanager
async def teams(folder: Path) -> AsyncGenerator[tuple[Client, Client, Client]]:
    """Clients of one engine: two that are confined to what is theirs, and one without rules."""
    async with Chain(Simulator()).open() as engine:
        files = {name: folder / f"{name}.toml" for name in ("red", "blue")}
        for name, file in files.items():
            file.write_text(TEAM.replace("NAME", name).replace("FOLDER", str(folder)))
        async with Policy(files["red"]).open(engine) as red, Policy(files["blue"]).open(engine) as blue:
            yield Client(red), Client(blue), Client(engine)


def named(found: list[Any]) -> list[str]:
    return [each["Names"][0] if "Names" in each else each["Name"] for each in found]


async def test_each_sees_its_own_containers_only(tmp_path: Path) -> None:
    async with teams(tmp_path) as (red, blue, _):
        one = await red.spawn(SLEEPS, name="one")
        await blue.spawn(SLEEPS | {"Labels": {"team": "red"}}, name="two")
        assert named(await red.ls(all=True)) == ["/one"]
        assert named(await blue.ls(all=True)) == ["/two"]
        assert (await red.get("containers", "one"))["Id"] == one.id
        assert (await red.get("containers", one.id[:5]))["Id"] == one.id


class Listed(Server):
    """An engine with one container, and volumes."""

    volumes: ClassVar[list[dict[str, Any]]] = []
    image: ClassVar[str] = "busybox"

    async def ls(self, request: Request) -> Any:
        mount = {"Type": "volume", "Name": "data", "Destination": "/data"}
        container = {"Id": "1", "Names": ["/one"], "Image": self.image, "Mounts": [mount], "Labels": {"team": "red"}}
        return [container] if request.path == ("containers",) else {"Volumes": self.volumes}


@pytest.mark.parametrize("granted", [False, True])
async def test_what_is_shown_of_the_same_answer_follows_what_it_depends_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, granted: bool
) -> None:
    file = tmp_path / "red.toml"
    rules = TEAM.replace("NAME", "red").replace("FOLDER", str(tmp_path))
    file.write_text(rules + ('volumes = ["data"]\n' if granted else ""))

    async def seen() -> tuple[str, int]:
        (found,) = await red.ls()
        return found["Image"], len(found["Mounts"])

    async with Chain(Listed()).open() as sender, Policy(file).open(sender) as policy:
        red = Client(policy)
        for _ in range(2):
            assert await seen() == ("busybox", int(granted))
        monkeypatch.setattr(Listed, "volumes", [{"Name": "data", "Labels": {"team": "red"}}])
        assert await seen() == ("busybox", 1)
        monkeypatch.setattr(Listed, "image", "nginx")
        assert await seen() == ("nginx", 1)


class Unfiltered(Server):
    """An engine that ignores filters, and lists something of the blue team's."""

    async def ls(self, request: Request) -> Any:
        assert type(request.params) in (ContainerList, NetworkList, VolumeList)  # what was judged is not read again
        found = [{"Id": "1", "Names": ["/one"], "Name": "one", "Labels": {"team": "blue"}}]
        return {"Volumes": found} if request.path == ("volumes",) else found


async def test_an_engine_that_ignores_filters_shows_nothing_of_others(tmp_path: Path) -> None:
    file = tmp_path / "red.toml"
    file.write_text(TEAM.replace("NAME", "red").replace("FOLDER", str(tmp_path)))
    async with Chain(Unfiltered()).open() as sender, Policy(file).open(sender) as policy:
        red = Client(policy)
        assert [await red.ls(kind) for kind in ("containers", "networks", "volumes")] == [[], [], []]


class Lists(Listed):
    """Notes when a list of containers has been answered: before or after its caller has seen it."""

    async def ls(self, request: Request) -> Any:
        await request.reply.set(await super().ls(request))
        await request.reply.ack()
        if request.path == ("containers",):
            order.append("answered")


order: list[str] = []


async def test_what_was_shown_before_is_forwarded_where_it_is_sent(tmp_path: Path) -> None:
    """Anything else is held until the call has ended: to hide something, the engine is asked, which may be busy with
    this very call.
    """
    file = tmp_path / "red.toml"
    file.write_text(TEAM.replace("NAME", "red").replace("FOLDER", str(tmp_path)))

    def see(reply: Reply) -> Reply:
        order.append("seen")
        return reply

    async def listed() -> list[str]:
        order.clear()
        reply, replies = open_reply()
        await dispatch(policy, Request(Verb.LS, ("containers",), reply=Tap(reply, see)))
        await answer(replies)
        return [*order]

    async with Chain(Limit(max_concurrent=1), Lists()).open() as sender, Policy(file).open(sender) as policy:
        with trio.fail_after(5):
            assert await listed() == ["answered", "seen", "seen"]
    file.write_text(file.read_text() + 'volumes = ["data"]\n')
    async with Chain(Lists()).open() as sender, Policy(file).open(sender) as policy:
        assert await listed() == ["answered", "seen", "seen"]
        assert await listed() == ["seen", "seen", "answered"]


async def test_what_is_anothers_is_as_if_it_did_not_exist(tmp_path: Path) -> None:
    async with teams(tmp_path) as (red, blue, engine):
        two = await blue.spawn(SLEEPS, name="two")
        for ask in (red.get, red.start, red.rm):
            errors = list[tuple[type[SwarmError], str]]()
            for name in ("two", two.id, "nosuch"):
                with pytest.raises(SwarmError) as caught:
                    await ask("containers", name)
                errors.append((type(caught.value), caught.value.message.replace(name, "NAME")))
            assert errors == [errors[0]] * 3
            assert errors[0][0] is NotFound
        assert named(await engine.ls(all=True)) == ["/two"]


async def test_an_exec_belongs_to_its_containers_owner(tmp_path: Path) -> None:
    async with teams(tmp_path) as (red, blue, _):
        web = await red.spawn(SLEEPS, name="web")
        await red.start("web")
        made = await web.spawn({"Cmd": ["true"]}, "exec")
        assert (await red.get("exec", made.id))["ContainerID"] == web.id
        with pytest.raises(NotFound):
            await blue.get("exec", made.id)
        with pytest.raises(Denied, match="privileged"):
            await web.spawn({"Cmd": ["true"], "Privileged": True}, "exec")


async def test_networks_are_ones_own(tmp_path: Path) -> None:
    async with teams(tmp_path) as (red, blue, engine):
        net = await red.spawn({"Name": "app"}, "networks")
        box = await red.spawn(SLEEPS | {"HostConfig": {"NetworkMode": "app"}}, name="box")
        assert (await engine.get("containers", box.id))["HostConfig"]["NetworkMode"] == net.id
        assert "app" in named(await engine.ls("networks"))
        assert named(await blue.ls("networks")) == []
        with pytest.raises(NotFound, match="network app not found"):
            await blue.spawn(SLEEPS | {"HostConfig": {"NetworkMode": "app"}})
        with pytest.raises(Conflict):
            await blue.spawn({"Name": "app", "CheckDuplicate": False}, "networks")


async def test_a_volume_that_a_container_makes_is_its_owners(tmp_path: Path) -> None:
    async with teams(tmp_path) as (red, blue, engine):
        data = {"HostConfig": {"NetworkMode": "none", "Binds": ["data:/data"]}}
        await red.spawn(SLEEPS | data)
        assert (await engine.get("volumes", "data"))["Labels"] == {"team": "red"}
        await red.spawn(SLEEPS | data)
        with pytest.raises(Conflict, match="the volume data is in use"):
            await blue.spawn(SLEEPS | data)


async def test_creating_a_volume_that_is_anothers_shows_nothing_of_it(tmp_path: Path) -> None:
    async with teams(tmp_path) as (red, blue, engine):
        for _ in range(2):
            await red.spawn({"Name": "data", "Labels": {"secret": "word"}}, "volumes")
        with pytest.raises(Conflict, match="the volume data is in use"):
            await blue.spawn({"Name": "data"}, "volumes")
        assert (await engine.get("volumes", "data"))["Labels"] == {"team": "red", "secret": "word"}


@pytest.mark.parametrize(
    ("rules", "request_"),
    [
        (
            '[[rule]]\nown = "team=red"\nallow = ["ContainerLogs"]\n',
            Request(Verb.CONNECT, ("containers", "web", "logs"), {"stdout": "1"}),
        ),
        ('protect = "keep"\n[[rule]]\nallow = ["ContainerStop"]\n', Request(Verb.STOP, ("containers", "web"))),
    ],
)
async def test_what_is_looked_up_has_nothing_of_the_clients_headers(
    rules: str, request_: Request, tmp_path: Path
) -> None:
    """The headers of a request may be none that the operation that looks up its object has."""
    (tmp_path / "rules.toml").write_text(rules)
    seen: list[Request] = []

    class Seeing(Filter):
        async def send(self, request: Request) -> None:
            seen.append(request)
            await self.next.send(request)

    async with Chain(Seeing(), Simulator()).open() as engine, Policy(tmp_path / "rules.toml").open(engine) as policy:
        await Client(engine).spawn(SLEEPS | {"Labels": {"team": "red"}}, name="web")
        meta = Meta("uid:7", "1.41", (("accept-encoding", "gzip"),))
        await call(policy, request_.replace(meta=meta))
    looked_up, asked = seen[-2:]
    assert (looked_up.meta, asked.meta) == (Meta("uid:7"), meta)


async def test_a_filter_that_names_anothers_object_is_denied(tmp_path: Path) -> None:
    async with teams(tmp_path) as (red, _, _):
        for params in ({"filters": {"since": ["two"]}}, {"since": "two"}):
            with pytest.raises(Denied, match="'since' would tell"):
                await red.ls(**params)


async def test_a_folder_is_judged_where_its_links_lead(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "here").symlink_to(tmp_path / "data")
    (tmp_path / "out").symlink_to("/etc")
    async with teams(tmp_path) as (red, _, engine):

        async def bound(bind: str) -> Any:
            box = await red.spawn(SLEEPS | {"HostConfig": {"NetworkMode": "none", "Binds": [bind]}})
            return (await engine.get("containers", box.id))["HostConfig"]["Binds"]

        assert await bound(f"{tmp_path}/here:/data:ro") == [f"{tmp_path}/data:/data:ro"]
        with pytest.raises(Denied, match="leads to /etc"):
            await bound(f"{tmp_path}/out:/data")
        with pytest.raises(Denied, match="asks for"):
            await bound("/etc:/data")
        with pytest.raises(Denied, match="can't be resolved here"):
            await bound(f"{tmp_path}/nosuch:/data")


async def logged(caplog: pytest.LogCaptureFixture, words: str) -> None:
    """Wait until the log has these words."""
    while words not in caplog.text:  # noqa: ASYNC110 - the log tells nobody
        await trio.sleep(1)


async def test_rules_are_read_again_and_a_bad_file_changes_nothing(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    said = partial(logged, caplog)
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nallow = ["ContainerList"]\n')
    async with connect(Policy(rules), Simulator()) as swarm:
        with pytest.raises(Denied, match="no rule allows SystemVersion"):
            await swarm.get("version")
        rules.write_text('[[rule]]\nallow = ["SystemVersion"]\n')
        await said("have been read again")
        await swarm.get("version")
        rules.write_text('[[rule]]\nalow = ["SystemInfo"]\n')
        await said(f"the rules are unchanged: {rules}:2: unknown key 'alow'")
        await swarm.get("version")
        with pytest.raises(Denied):
            await swarm.ls()


async def test_a_warning_names_what_would_allow_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('mode = "warn"\n[[rule]]\nallow = ["ContainerList"]\n')
    with caplog.at_level(logging.WARNING):
        async with connect(Policy(rules), Simulator()) as swarm:
            await swarm.get("version")
    assert "would deny SystemVersion" in caplog.text
    assert 'allowed by: allow = ["SystemVersion"]' in caplog.text


@pytest.mark.parametrize("mode", ["enforce", "warn"])
async def test_what_a_look_at_the_host_denies_is_logged_too(
    mode: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "link").symlink_to("/etc")
    rules = tmp_path / "rules.toml"
    rules.write_text(
        f'[[rule]]\nname = "run"\nmode = "{mode}"\nallow = ["ContainerCreate"]\n'
        f'[rule.container]\nimages = ["busybox"]\nbinds = ["{tmp_path}/allowed/**"]\n'
    )
    body = {"Image": "busybox", "HostConfig": {"Binds": [f"{tmp_path}/allowed/link:/x"]}}
    with caplog.at_level(logging.WARNING):
        async with connect(Policy(rules), Simulator()) as swarm:
            if mode == "warn":
                await swarm.spawn(body)
            else:
                with pytest.raises(Denied, match="leads to /etc"):
                    await swarm.spawn(body)
    assert f"{'would deny' if mode == 'warn' else 'denied'} ContainerCreate" in caplog.text
    assert "leads to /etc" in caplog.text


def test_rules_come_from_one_place() -> None:
    with pytest.raises(Invalid, match="FILE or --preset is required"):
        Policy()
    with pytest.raises(Invalid, match="FILE and --preset can't be used together"):
        Policy(file=Path("x"), preset="read-only")
    with pytest.raises(Invalid, match="did you mean 'traefik'"):
        Policy(preset="traeffik")


async def test_a_preset_serves_what_it_is_for() -> None:
    async with connect(Policy(preset="prometheus"), Simulator()) as swarm:
        await swarm.ls()
        await swarm.ls("networks")
        with pytest.raises(Denied, match="denied by prometheus"):
            await swarm.ls("images")


FOR_CLIENTS = """
[clients.it]
users = ["7"]
[[rule]]
allow = ["ContainerList", "SystemInfo", "SystemVersion", "SystemPing", "SystemEvents"]
[[rule]]
clients = ["it"]
deny = ["ContainerList"]
"""


async def test_rules_for_clients_are_refused_where_one_question_serves_all_of_them(tmp_path: Path) -> None:
    (rules := tmp_path / "rules.toml").write_text(FOR_CLIENTS)
    with pytest.raises(Invalid, match=r"rules\.toml has rules for clients, .* Put it before balance"):
        async with connect(f"balance (policy {rules} | simulator)"):
            pass
    async with connect(f"policy {rules} | balance (simulator)") as swarm:
        assert await swarm.ls() == []


async def test_rules_for_clients_that_are_written_later_are_refused_there_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    (rules := tmp_path / "rules.toml").write_text('[[rule]]\nallow = ["*"]\n')
    async with connect(f"balance (policy {rules} | simulator)"):
        rules.write_text(FOR_CLIENTS)
        await logged(caplog, f"the rules are unchanged: {rules} has rules for clients")
