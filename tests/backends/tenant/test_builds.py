"""The classic builder for tenants, over a simulated engine: what it may use, and what it makes."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from swarmlib import BytesStream, Chain, Client, Denied, NotFound, Request, SwarmError, Verb, ask
from swarmlib.asking import next_reply
from swarmlib.reply import Ack
from swarmlib_backends.simulator import Simulator
from swarmlib_backends.tenant import removal
from tests.support.builds import Content, context
from tests.support.tenants import FILE, tenants

FROM = "FROM busybox\n"


@asynccontextmanager
async def world(folder: Path, text: str = FILE) -> AsyncGenerator[tuple[Client, Client, Client]]:
    """Clients of alice, of bob, and of the engine behind them."""
    async with Chain(Simulator()).open() as engine, tenants(engine, folder, text) as (alice, bob):
        yield alice, bob, Client(engine)


async def build_of(client: Client, tar: bytes, **params: Any) -> str:
    """Build a context, and return the text of the progress; the error at its end is raised by its message."""
    text = ""
    request = Request(Verb.SPAWN, ("build",), params, upload=BytesStream(tar))
    async with await ask(client.sender, request) as replies:
        while not isinstance(reply := await next_reply(replies), Ack):
            line = reply.json
            if "error" in line:
                raise SwarmError(line["error"])
            text += line.get("stream", "")
    return text


async def build(client: Client, dockerfile: str, files: dict[str, Content] | None = None, **params: Any) -> str:
    return await build_of(client, context({**(files or {}), "Dockerfile": dockerfile}), **params)


async def test_two_tenants_build_the_same_tag(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, engine):
        for tenant, name in ((alice, "alice"), (bob, "bob")):
            said = await build(tenant, f"FROM busybox\nLABEL mine={name}\n", t=["app"])
            assert said.endswith("Successfully tagged app:latest\n")
            found = await tenant.get("images", "app")
            assert (found["RepoTags"], found["Config"]["Labels"]) == (["app:latest"], {"mine": name})
            real = await engine.get("images", f"tenant.invalid/{name}/app")
            assert real["Config"]["Labels"] == {"mine": name, "swarmlib.tenant": name}
        assert not [tag for each in await bob.ls("images") for tag in each["RepoTags"] if "alice" in tag]


async def test_only_the_steps_that_a_tenant_wrote_are_shown(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, _, _):
        text = "ARG V=latest\nFROM busybox:$V AS one\nENV a=b\nFROM one\nLABEL c=d\n"
        said = await build(alice, text, t=["app"], labels='{"e": "f", "swarmlib.tenant": "bob"}')
        steps = [line for line in said.splitlines() if line.startswith("Step ")]
        assert steps == [
            "Step 1/6 : ARG V=latest",
            "Step 2/6 : FROM busybox:$V AS one",
            "Step 3/6 : ENV a=b",
            "Step 4/6 : FROM one",
            "Step 5/6 : LABEL c=d",
            "Step 6/6 : LABEL e=f",
        ]
        assert "swarmlib" not in said
        again = await build(alice, text, t=["app"], labels='{"e": "f"}')
        assert again.count("Using cache") == 3
        found = await alice.get("images", "app")
        assert found["Config"]["Labels"] == {"c": "d", "e": "f"}
        history = await alice.get("images", "app", "history")
        assert "swarmlib" not in str(history)
        await build(alice, FROM, t=["app"])
        assert "swarmlib" not in str(await alice.get("images", "app"))


async def test_a_dockerfile_names_the_tenants_own_images(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, _, engine):
        await build(alice, FROM + "ENV own=1\n", t=["base:1"])
        base = (await engine.get("images", "tenant.invalid/alice/base:1"))["Id"]
        for ref in ("base:1", base, base.removeprefix("sha256:")[:12]):
            await build(alice, f"FROM {ref}\n", t=["app"])
            assert "own=1" in (await alice.get("images", "app"))["Config"]["Env"]
        await build(alice, "FROM busybox AS base\nFROM scratch\nCOPY --from=base:1 /bin/busybox /\n", t=["app"])
        await build(alice, "FROM busybox AS x\nFROM scratch\nCOPY --from=0 /bin/busybox /\n", t=["app"])


async def test_a_build_without_a_name_is_found_by_its_id(tmp_path: Path) -> None:
    async with world(tmp_path, FILE.replace('"busybox"', '"**"')) as (alice, bob, _):
        said = await build(alice, FROM + "ENV a=b\n")
        *_, last = said.splitlines()
        id = last.removeprefix("Successfully built ")
        assert "a=b" in (await alice.get("images", id))["Config"]["Env"]
        with pytest.raises(NotFound):
            await bob.get("images", id)


async def test_what_lost_its_name_goes_with_the_tenant(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, engine):
        for number in range(2):
            await build(alice, FROM + f"ENV number={number}\n", t=["app"])
            await build(bob, FROM + f"ENV number={number}\n", t=["app"])
        await removal.remove_all(engine.sender, "alice")
        left = [each["Labels"] for each in await engine.ls("images", all=True) if each["Labels"]]
        assert {each["swarmlib.tenant"] for each in left} == {"bob"}


REFUSED = {
    "another's": "FROM tenant.invalid/bob/app\n",
    "another's as its owner calls it": "FROM app\n",
    "the operator's": "FROM operators\n",
    "one that is not shared": "FROM debian\n",
    "in a later stage": FROM + "FROM operators\n",
    "behind an argument": "ARG A=operators\nFROM $A\n",
    "behind arguments": "ARG A=oper\nARG B=${A}ators\nFROM ${B:-busybox}\n",
    "of a copy": FROM + "COPY --from=operators /bin/busybox /\n",
    "of an ADD": FROM + "ADD --from=operators /bin/busybox /\n",
    "a stage that is not there yet": FROM + "COPY --from=operators /x /\nFROM busybox AS operators\n",
    "the stage itself": "FROM busybox AS operators\nCOPY --from=operators /x /\n",
    "by an odd number": FROM + "FROM scratch\nCOPY --from=+0 /x /\n",
    "in other letters": "from operators\n",
    "on several lines": "FRO\\\nM oper\\\n# comment\nators\n",
    "with another escape": "# escape=`\nFROM oper`\nators\n",
    "a frontend's": "# syntax=evil\n" + FROM + "RUN --mount=type=bind,from=operators,target=/m true\n",
    "a URL": FROM + "ADD http://169.254.169.254/ /x\n",
    "a URL behind a variable": FROM + "ARG A=http\nENV B=${A}://x/\nADD $B /x\n",
    "a label of another's": FROM + "LABEL swarmlib.tenant=bob\n",
    "a label in quotes": FROM + 'LABEL "swarmlib.te"nant=bob\n',
    "a label behind a variable": FROM + "ENV A=swarmlib\nLABEL $A.tenant=bob\n",
    "lines that others may read together": FROM + "RUN true \\\\\nCOPY --from=x a b\n",
    "a here-document": FROM + "RUN <<EOF\nFROM busybox AS x\nEOF\n",
    "not UTF-8": b"FROM busybox\nENV a=\xff\n",
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_a_dockerfile_may_not_name(what: str, tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, engine):
        await build(bob, FROM, t=["app"])
        await build(engine, FROM, t=["operators"])
        before = [each["Id"] for each in await engine.ls("images", all=True)]
        with pytest.raises(SwarmError):
            await build_of(alice, context({"Dockerfile": REFUSED[what]}), t=["mine"])
        after = await engine.ls("images", all=True)
        assert not [tag for each in after for tag in each["RepoTags"] if "alice" in tag], before


TRIGGERS = {
    "ONBUILD COPY --from=operators /bin/busybox /": False,
    "ONBUILD COPY --from=tenant.invalid/bob/app /bin/busybox /": False,
    "ONBUILD ADD http://169.254.169.254/ /x": False,
    "ONBUILD ADD $A /x": False,
    "ONBUILD RUN true": False,
    "ONBUILD COPY --from=busybox /bin/busybox /x": True,
    "ONBUILD COPY --from=first /bin/busybox /x": True,
    "ONBUILD ENV a=b": True,
}


@pytest.mark.parametrize("trigger", TRIGGERS)
async def test_what_an_image_wants_to_be_done_is_judged(trigger: str, tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, engine):
        await build(bob, FROM, t=["app"])
        await build(engine, FROM, t=["operators"])
        made = await alice.spawn({"Image": "busybox"}, name="box")
        await alice.spawn({}, "commit", container=made.id, repo="base", changes=trigger)
        text = "FROM busybox AS first\nFROM base\n"
        if TRIGGERS[trigger]:
            await build(alice, text, t=["mine"])
            return
        with pytest.raises(SwarmError, match=r"ONBUILD|onbuild"):
            await build(alice, text, t=["mine"])


async def test_the_context_has_one_dockerfile_for_every_reader(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, _, engine):
        await build(engine, FROM, t=["operators"])
        evil, good = "FROM operators\n", FROM + "ENV good=1\n"
        for files in (
            {"Dockerfile": good, "./Dockerfile": evil},
            {"Dockerfile": good, "a/../Dockerfile": evil},
            {"evil": evil, "Dockerfile": "->evil"},
            {"Dockerfile": None, "Dockerfile/x": evil},
            {"dockerfile": evil},
            {"x": evil},
        ):
            with pytest.raises(SwarmError):
                await build_of(alice, context(files), t=["mine"])
        await build_of(alice, context({"d/Dockerfile": good}), t=["mine"], dockerfile="d/Dockerfile")
        await build_of(alice, context({"dockerfile": good}), t=["mine"])
        await build_of(alice, gzip.compress(context({"./Dockerfile": good}, tarfile.GNU_FORMAT)), t=["mine"])
        assert "good=1" in (await alice.get("images", "mine"))["Config"]["Env"]


@pytest.mark.parametrize(
    "params",
    [
        {"version": "2"},
        {"session": "x"},
        {"remote": "https://example.com/x.git"},
        {"outputs": '[{"Type": "local", "Attrs": {"dest": "/"}}]'},
        {"networkmode": "host"},
        {"networkmode": "container:theirs"},
        {"networkmode": "theirs"},
        {"securityopt": ["seccomp=unconfined"]},
        {"cgroupparent": "/x"},
    ],
)
async def test_what_a_build_may_not_ask_for(params: dict[str, Any], tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, _):
        await bob.spawn({"Image": "busybox"}, name="theirs")
        await bob.spawn({"Name": "theirs"}, "networks")
        with pytest.raises(SwarmError):
            await build(alice, FROM, t=["mine"], **params)


async def test_a_build_is_in_the_tenants_network_and_within_its_limits(tmp_path: Path) -> None:
    text = """
[clients.a]
users = [1]
[tenant.alice]
clients = ["a"]
images = ["busybox"]
[tenant.alice.quota]
images = 2
[tenant.alice.defaults]
memory = "64MiB"
"""
    async with Chain(Simulator()).open() as engine, tenants(engine, tmp_path, text) as (alice, _):
        await build(alice, FROM, t=["one", "two", "two:latest"])
        assert [each["Name"] for each in await Client(engine).ls("networks") if "." in each["Name"]] == ["alice.bridge"]
        with pytest.raises(Denied, match="quota of tenant alice is exceeded: images: 2 in use, 1 more requested"):
            await build(alice, FROM, t=["three"])
        await build(alice, FROM, t=["two"])
