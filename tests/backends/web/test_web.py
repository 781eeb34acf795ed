"""`web`: the live page, used as its viewers use it, and what it asks for."""

import json
import re
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import trio

from swarmlib import Chain, Client, Denied, Invalid, Meta, NotFound, Request, Sender, Verb
from swarmlib.asking import call
from swarmlib_backends import control
from swarmlib_backends.observe.observation import Observation
from swarmlib_backends.web import containers, filters
from swarmlib_backends.web.calls import verdict
from swarmlib_backends.web.containers import Containers
from tests.support.chromium import Page, chromium
from tests.support.engines import docker, free_port, wait_until
from tests.support.processes import Swarmd

TOKEN = "a-token-of-this-test"


@asynccontextmanager
async def observed(*stages: str) -> AsyncGenerator[tuple[Observation, Sender]]:
    seen = Observation()
    with control.desk():
        async with Chain(*stages).open(observer=seen.root) as sender:
            yield seen, sender


# The language of filters.


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["ContainerList", "ContainerInspect", "ImageList"]),
        ("op:Container*", ["ContainerList", "ContainerInspect"]),
        ("op:container*  -outcome:ok", ["ContainerInspect"]),
        ("outcome:error", ["ContainerInspect"]),
        ("outcome:not_found", ["ContainerInspect"]),
        ("images", ["ImageList"]),
        ("IMAGES", ["ImageList"]),
        ("-images -nosuch", ["ContainerList"]),
        ("caller:uid:2", ["ImageList"]),
        ("engine:simulator path:containers/*", ["ContainerInspect"]),
        ("ms<10000 out>10", ["ContainerList", "ImageList"]),
        ("ms>10000", []),
        ("verb:ls caller:uid:1", ["ContainerList"]),
        ("stage:simul*", ["ContainerInspect"]),
    ],
)
async def test_a_filter_chooses_calls(text: str, found: list[str]) -> None:
    async with observed("simulator --containers 1") as (seen, sender):
        fits = filters.read(text, seen)
        with seen.feeding() as feed:
            for caller, verb, path in (
                ("uid:1", Verb.LS, ("containers",)),
                ("uid:1", Verb.GET, ("containers", "nosuch")),
                ("uid:2", Verb.LS, ("images",)),
            ):
                try:
                    reply = await call(sender, Request(verb, path, meta=Meta(caller)))
                    assert reply.before[0].value.raw  # type: ignore[union-attr]  # a server would encode it
                except NotFound:
                    assert path[1:] == ("nosuch",)
            calls, _ = feed.take()
        for each in calls:
            each.sent = each.sent or (0 if each.error else 100)
        assert [filters.operation_of(each) for each in calls if fits(each)] == found


@pytest.mark.parametrize(
    "stages",
    ["web tcp://127.0.0.1:0 | audit log | policy rules.toml", "audit log | policy rules.toml | web tcp://127.0.0.1:0"],
)
async def test_verdicts_are_seen_while_somebody_looks(
    stages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.toml").write_text('[[rule]]\nname = "looks"\nallow = ["ContainerList"]\n')
    async with observed(f"{stages} | simulator") as (seen, sender):
        with seen.feeding() as feed:
            await call(sender, Request(Verb.LS, ("containers",), meta=Meta("uid:1")))
            with pytest.raises(Denied):
                await call(sender, Request(Verb.LS, ("images",), meta=Meta("uid:1")))
            calls, _ = feed.take()
        await call(sender, Request(Verb.LS, ("containers",), meta=Meta("uid:1")))
    assert [verdict(each) for each in calls] == ["allowed", "denied"]
    assert [filters.read("verdict:allow*", seen)(each) for each in calls] == [True, False]
    audited = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [each["verdict"] for each in audited if "operation" in each] == ["allowed", "denied", "allowed"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("color:red", "no field 'color'"),
        ("ops:x", "did you mean 'op'"),
        ("ms>fast", "invalid number 'fast' after ms>"),
        ("op>3", "no field 'op' with a number"),
        ("x" * 501, "500 characters at most"),
    ],
)
def test_a_filter_that_is_wrong_is_refused(text: str, problem: str) -> None:
    with pytest.raises(Invalid, match=re.escape(problem)):
        filters.read(text, Observation())


# Containers.


async def test_running_containers_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MAX_MEASURED", 2)
    async with observed("balance 'a=simulator --containers 2' 'b=simulator --containers 1'") as (_, sender):
        await Client(sender).spawn({"Image": "busybox"}, name="made")
        listed = Containers(sender)
        await listed.list("uid:1")
        rows = await listed.list("uid:1")
        assert sorted(row["engine"] for row in rows if row["state"] == "running") == ["a", "a", "b"]
        assert [row["name"] for row in rows if row["state"] == "created"] == ["made"]
        assert len([row for row in rows if row["memory"]]) == 2
        assert all(row["memory"] is None for row in rows if row["state"] != "running")


async def test_a_log_is_followed() -> None:
    async with observed("exec") as (_, sender):
        client = Client(sender)
        words = {"Image": "any", "Cmd": ["sh", "-c", "echo one; echo two >&2"]}
        made = await client.spawn(words, name="web")
        await made.start()
        async with Containers(sender).log("web", "uid:1") as lines:
            found = [each async for each in lines]
        assert sorted((each["stream"], each["line"]) for each in found) == [("stderr", "two"), ("stdout", "one")]
        with pytest.raises(NotFound):
            async with Containers(sender).log("nosuch", "uid:1"):
                pass


# The page.

RULES = """
[[rule]]
name = "of the page"
allow = ["Container*", "System*", "Image*"]
unjudged = ["**"]
hold = ["ContainerDelete"]
[rule.container]
images = ["**"]
"""


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Path, int]]:
    """The folder of a swarmd with a page that may decide, and the page's port."""
    with tempfile.TemporaryDirectory(prefix="page-", dir="/tmp") as name:
        folder, port = Path(name), free_port()
        (folder / "rules.toml").write_text(RULES)
        (folder / "token").touch(mode=0o600)
        (folder / "token").write_text(TOKEN)
        chain = [
            f"dockerserver unix://{name}/d.sock",
            f"web tcp://127.0.0.1:{port} --token-file {name}/token --approve",
            f"policy {name}/rules.toml",
            f"balance 'a=exec' 'b=docker unix://{name}/nobody.sock'",
        ]
        with Swarmd("run", "--control", f"{name}/control", *chain, errors=folder / "log"):
            yield folder, port


@pytest.fixture(scope="module")
def page(running: tuple[Path, int]) -> Iterator[Page]:
    """The page, once the viewer has presented the token."""
    folder, port = running
    with chromium(folder) as browser:
        browser.size(1280, 800)
        browser.go(f"http://127.0.0.1:{port}/")
        browser.wait("document.querySelector('#detail input')")
        browser.do("document.querySelector('#detail input').focus()")
        browser.type(TOKEN)
        browser.press("Enter")
        browser.wait("document.getElementById('link').textContent === 'live' && state !== null")
        browser.problems.clear()  # the first answer was 403, and there is no icon
        yield browser
        assert browser.problems == []


def at(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    return docker(f"unix://{folder}/d.sock", *words)


@pytest.mark.engine
def test_the_chain_is_drawn_with_its_engines(page: Page, running: tuple[Path, int]) -> None:
    at(running[0], "ps")
    page.press("1")
    page.wait("document.querySelectorAll('#drawing .stage').length === 6")
    drawn = page.do("[...document.querySelectorAll('#drawing .stage')].map(each => each.firstChild.textContent)")
    assert drawn == ["dockerserver", "web", "policy", "balance", "exec", "docker"]
    assert page.do("document.querySelectorAll('#drawing .stage.up').length") == 1
    assert page.do("document.querySelectorAll('#drawing .stage.down').length") == 1
    page.press("3")
    page.wait("document.getElementById('engine-table').textContent.includes('No such file')")


@pytest.mark.engine
def test_calls_are_seen_filtered_and_opened(page: Page, running: tuple[Path, int]) -> None:
    folder, _ = running
    page.press("/")
    page.wait("document.activeElement.id === 'filter'")
    page.do("var before = events; null")
    page.type("op:ContainerCreate")
    page.wait("document.getElementById('filter').value === 'op:ContainerCreate'")
    page.wait("events !== before")  # a new filter begins a new stream, and a new list

    def seen() -> Any:
        at(folder, "run", "--rm", "-e", "PASSWORD=hunter2", "any", "true")
        return page.do("document.querySelectorAll('#ended tbody tr').length")

    wait_until(seen, "a call")
    page.press("Escape")
    page.press("j")
    page.press("Enter")
    page.wait("document.getElementById('detail').open")
    text = page.do("document.getElementById('detail').textContent")
    assert "balance after" in text
    assert "a: exec after" in text
    assert "PASSWORD=***" in text
    assert "verdictallowed" in text
    assert "ruleof the page" in text
    assert "hunter2" not in text
    curl = page.do("(async () => curl(await (await ask('/calls/' + calls[0].number)).json()))()")
    assert curl.startswith("curl --unix-socket /var/run/docker.sock -X POST -H 'Content-Type: application/json' -d '{")
    assert curl.endswith("/containers/create'")
    operations = page.do("calls.map(each => each.operation)")
    assert set(operations) == {"ContainerCreate"}
    page.do("document.getElementById('close').click()")
    page.do("document.getElementById('filter').value = 'nosuch:x'; void connect()")
    page.wait("document.getElementById('said').textContent.includes('no field')")
    page.problems.clear()  # that answer was 400
    page.do("document.getElementById('filter').value = ''; void connect()")


@pytest.mark.engine
def test_a_log_is_followed_in_the_page(page: Page, running: tuple[Path, int]) -> None:
    at(running[0], "run", "-d", "--name", "talker", "any", "sh", "-c", "echo first; sleep 1000")
    page.press("4")
    page.wait("document.getElementById('container-table').textContent.includes('talker')")
    page.do("[...document.querySelectorAll('#container-table tr')].find(e => /talker/.test(e.textContent)).click()")
    page.wait("document.getElementById('log')?.textContent.includes('first')")
    page.do("document.getElementById('close').click()")


@pytest.mark.engine
def test_a_held_call_is_approved_on_the_page(page: Page, running: tuple[Path, int]) -> None:
    folder, _ = running
    at(folder, "create", "--name", "old", "any", "true")
    with subprocess.Popen(["docker", "-H", f"unix://{folder}/d.sock", "rm", "old"], stdout=subprocess.PIPE) as removal:
        try:
            page.press("7")
            page.wait("document.getElementById('held-table').textContent.includes('ContainerDelete')")
            page.do("document.querySelector('#held-table button.plain').click()")
            assert removal.wait(30) == 0
            page.press("2")
            page.wait("document.getElementById('ended').textContent.includes('held, approved')")
        finally:
            removal.kill()
    assert b"old" not in at(folder, "ps", "-a", "--format", "{{.Names}}").stdout.split()


@pytest.mark.engine
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_window(page: Page, width: int) -> None:
    page.size(width, 800, dark=width == 390)
    for view in ("chain", "calls", "engines", "containers", "clients", "tenants", "held"):
        page.do(f"show('{view}')")
        assert page.do("document.documentElement.scrollWidth <= window.innerWidth"), view
    dark = page.do("getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(16, 20, 24)") == (width == 390)


@pytest.mark.engine
def test_the_views_are_reached_by_keys(page: Page) -> None:
    page.size(1280, 800)
    for number, view in enumerate(("chain", "calls", "engines"), 1):
        page.press(str(number))
        assert page.do(
            "[...document.querySelectorAll('section')].filter(each => !each.hidden).map(each => each.id)"
        ) == [view]
    page.do("document.querySelector('[data-view=engines]').focus()")
    page.press("ArrowRight")
    assert page.do("document.activeElement.dataset.view") == "containers"
    assert page.do("document.querySelector('[data-view=containers]').ariaSelected") == "true"


def test_the_page_is_there_and_small() -> None:
    from swarmlib_backends.web.pages import page as found

    text, policy = found()
    assert len(text) < 64 * 1024
    assert policy.count("sha256-") == 2
    assert text.startswith(b"<!doctype html>")
    json.dumps(policy)


def test_a_viewer_is_told_what_is_wrong(running: tuple[Path, int]) -> None:
    with closing(HTTPConnection("127.0.0.1", running[1], timeout=20)) as client:
        client.request("GET", "/events?filter=color:red", headers={"Authorization": f"Bearer {TOKEN}"})
        answer = client.getresponse()
        assert (answer.status, "no field 'color'" in answer.read().decode()) == (400, True)


async def test_it_needs_a_chain_that_is_observed() -> None:
    with pytest.raises(Invalid, match="web requires a chain that is observed"):
        async with Chain("web tcp://127.0.0.1:0", "simulator").open():
            await trio.lowlevel.checkpoint()
