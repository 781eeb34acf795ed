"""The live page and the figures: no web page of another origin, no stranger and no text from outside gets anything."""

import json
import re
import socket
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from swarmlib import Chain, Denied, Invalid, Json, Meta, Request, Sender, Verb
from swarmlib.asking import call
from swarmlib_backends import control
from swarmlib_backends.observe.observation import MAX_FED, Observation
from swarmlib_backends.web import Web
from swarmlib_backends.web.pages import MAX_VIEWERS, page
from tests.support.chromium import chromium
from tests.support.engines import docker, free_port
from tests.support.processes import Swarmd

TOKEN = "a-token-of-this-test"
ON_THE_PAGE = {"Sec-Fetch-Site": "same-origin"}


def written(file: Path, content: str, mode: int) -> Path:
    file.touch(mode=0o600)
    file.write_text(content)
    file.chmod(mode)
    return file


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    return written(tmp_path / "token", f"{TOKEN}\n", 0o600)


@asynccontextmanager
async def watched(*stages: str, port: int, options: str = "") -> AsyncGenerator[Sender]:
    with control.desk():
        chain = Chain(f"web tcp://127.0.0.1:{port} {options}", *stages)
        async with chain.open(observer=Observation().root) as sender:
            yield sender


def ask(port: int, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> tuple[int, Any]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as client:
        client.request(method, path, body, headers)
        answer = client.getresponse()
        text = answer.read().decode()
        return answer.status, json.loads(text) if text.startswith(("{", "[")) else text


async def asked(port: int, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> Any:
    return await trio.to_thread.run_sync(ask, port, method, path, headers, body)


# Web pages.


@pytest.mark.parametrize("path", ["/", "/events", "/containers", "/calls/1", "/held/a/approve"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
async def test_a_page_of_another_origin_and_a_name_that_was_moved_here_get_nothing(
    path: str, headers: dict[str, str]
) -> None:
    port = free_port()
    async with watched("simulator", port=port):
        for method in ("GET", "POST"):
            status, told = await asked(port, method, path, {"Content-Type": "application/json", **headers})
            assert (status, list(told)) == (403, ["error"])


async def test_the_page_runs_its_own_script_only_and_asks_nobody_else() -> None:
    _, policy = page()
    rules = dict(each.strip().split(" ", 1) for each in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert "unsafe" not in policy
    text = page()[0].decode()
    assert "innerHTML" not in text
    assert "http://localhost" in text  # of the command for curl
    assert text.replace("http://localhost", "").count("://") == 0
    assert " on" + "click=" not in text


async def test_every_answer_says_how_it_may_be_used() -> None:
    port = free_port()
    async with watched("simulator", port=port):
        for path in ("/", "/containers", "/nothing"):

            def heads(path: str = path) -> dict[str, str]:
                with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as client:
                    client.request("GET", path)
                    return dict(client.getresponse().headers)

            found = await trio.to_thread.run_sync(heads)
            assert found["X-Content-Type-Options"] == "nosniff"
            assert found["X-Frame-Options"] == "DENY"
            assert found["Cross-Origin-Resource-Policy"] == "same-origin"
            assert found["Cache-Control"] == "no-store"
            assert "default-src 'none'" in found["Content-Security-Policy"]
            assert "Access-Control-Allow-Origin" not in found


@pytest.mark.parametrize(
    "path", ["/../../etc/passwd", "/%2e%2e/page.html", "/containers/..%2f..%2finfo/logs", "/calls/x", "/metrics"]
)
async def test_there_are_no_other_pages(path: str) -> None:
    port = free_port()
    async with watched("simulator", port=port):
        assert (await asked(port, "GET", path, ON_THE_PAGE))[0] == 404


# Strangers.


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("tcp://0.0.0.0:0", Denied),
        ("tcp://0.0.0.0:0 --insecure", Invalid),
        ("tcp://127.0.0.1:0 --approve", Invalid),
        ("tls://127.0.0.1:0", Invalid),
        ("tcp://0.0.0.0:0 --token-file TOKEN", Denied),
        ("tcp://127.0.0.1:0 --token-file /nonexistent", Invalid),
    ],
)
async def test_it_is_not_opened_to_strangers(options: str, error: type[Exception], token_file: Path) -> None:
    with pytest.raises(error):
        async with Chain(f"web {options.replace('TOKEN', str(token_file))}", "simulator").open(
            observer=Observation().root
        ):
            pass


@pytest.mark.parametrize(("content", "mode"), [("short", 0o600), (TOKEN, 0o644), (f"{TOKEN} x", 0o600), ("", 0o600)])
async def test_a_token_that_others_know_or_guess_is_refused(content: str, mode: int, tmp_path: Path) -> None:
    stage = Web("tcp://127.0.0.1:0", token_file=str(written(tmp_path / "token", content, mode)))
    with pytest.raises(Invalid, match=r"expected mode 0600|must contain a token"):
        async with Chain(stage, "simulator").open(observer=Observation().root):
            pass


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Cookie": f"token={TOKEN}"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/events", "/containers", "/calls/1", f"/containers?token={TOKEN}", "/?x=1"])
async def test_without_the_token_there_is_only_the_empty_page(
    path: str, headers: dict[str, str], token_file: Path
) -> None:
    port = free_port()
    async with watched("simulator", port=port, options=f"--token-file {token_file}"):
        assert (await asked(port, "GET", path, headers))[0] in (400, 403)
        assert (await asked(port, "GET", "/", {}))[0] == 200
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert (await asked(port, "GET", "/containers", right)) == (200, [])


async def test_a_page_that_is_read_only_decides_nothing(token_file: Path) -> None:
    for options in ("", f"--token-file {token_file}"):
        port = free_port()
        async with watched("simulator", port=port, options=options):
            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
            status, told = await asked(port, "POST", "/held/a/approve", headers, b"{}")
            assert (status, "read-only" in told["error"]) == (403, True)


async def test_a_decision_comes_from_the_page(token_file: Path) -> None:
    port = free_port()
    async with watched("simulator", port=port, options=f"--token-file {token_file} --approve"):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        for kind in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}):
            assert (await asked(port, "POST", "/held/a/approve", headers | kind, b"{}"))[0] == 415
        assert (await asked(port, "DELETE", "/held/a", headers))[0] == 405


async def test_a_policy_behind_the_page_judges_its_viewers(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nallow = ["SystemPing"]\n')
    port = free_port()
    async with watched(f"policy {rules}", "simulator --containers 1", port=port):
        status, told = await asked(port, "GET", "/containers", ON_THE_PAGE)
        assert (status, "denied" in told["error"]) == (502, True)


# Texts from outside.


async def test_no_secret_is_shown() -> None:
    port = free_port()
    async with watched("simulator", port=port) as sender, viewer(port) as read:
        await read("event: state")
        body = {"Image": "busybox", "Env": ["PASSWORD=hunter2"], "Cmd": ["--key", "hunter2"]}
        meta = Meta("uid:1", headers=(("x-registry-auth", "hunter2"),))
        await call(sender, Request(Verb.SPAWN, ("containers",), body=Json.from_data(body), meta=meta))
        told = await read("event: calls")
        (number,) = re.findall(r'"number":(\d+),"at"', told)
        whole = json.dumps(await asked(port, "GET", f"/calls/{number}", ON_THE_PAGE))
    assert "PASSWORD=***" in whole
    assert "hunter2" not in whole + told


@asynccontextmanager
async def viewer(port: int) -> AsyncGenerator[Callable[[str], Awaitable[str]]]:
    """Connect as a viewer; give what reads its events up to one of a kind."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")

        async def read(event: str) -> str:
            told = ""
            with trio.fail_after(20):
                while event not in told or not told.endswith("\n\n\r\n"):  # the end of an event, and of its chunk
                    told += bytes(await stream.receive_some()).decode()
            return told

        yield read


# Viewers that are slow, or many.


async def test_a_viewer_that_does_not_read_costs_nothing_but_what_it_misses() -> None:
    port = free_port()
    observation = Observation()
    with control.desk():
        async with Chain(f"web tcp://127.0.0.1:{port}", "simulator").open(observer=observation.root) as sender:
            with socket.create_connection(("127.0.0.1", port)) as lazy:
                lazy.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                with observation.feeding() as feed:
                    for _ in range(MAX_FED + 200):
                        await call(sender, Request(Verb.GET, ("ping",)))
                    calls, dropped = feed.take()
            assert (len(calls), dropped) == (MAX_FED, 200)


async def test_there_are_not_too_many_viewers() -> None:
    port = free_port()
    async with watched("simulator", port=port):
        async with AsyncExitStack() as stack:
            for _ in range(MAX_VIEWERS):
                read = await stack.enter_async_context(viewer(port))
                await read("event: state")
            assert (await asked(port, "GET", "/events", {}))[0] == 503
        await wait_all_tasks_blocked(0.05)
        async with viewer(port) as read:
            await read("event: state")


# A browser.


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Path, int]]:
    with tempfile.TemporaryDirectory(prefix="page-", dir="/tmp") as name:
        port = free_port()
        chain = [f"dockerserver unix://{name}/d.sock", f"web tcp://127.0.0.1:{port}", "simulator --containers 2"]
        with Swarmd("run", "--control", f"{name}/control", *chain, errors=Path(name) / "log"):
            yield Path(name), port


@pytest.mark.engine
def test_what_clients_call_things_is_text_in_a_real_browser(running: tuple[Path, int]) -> None:
    folder, port = running
    evil = "<img src=x onerror=document.title='evil'><script>document.title='evil'</script>"
    with chromium(folder) as browser:
        browser.go(f"http://127.0.0.1:{port}/#calls")
        browser.wait("document.getElementById('link').textContent === 'live'")
        docker(f"unix://{folder}/d.sock", "inspect", evil)
        docker(f"unix://{folder}/d.sock", "run", "-d", "--name", "evil", "busybox", "sh", "-c", f'echo "{evil}"')
        browser.wait("document.querySelectorAll('#ended tbody tr').length >= 3")
        browser.wait("document.getElementById('ended').textContent.includes('<img')")
        browser.do("show('containers')")
        browser.wait("document.getElementById('container-table').textContent.includes('evil')")
        browser.do(
            "[...document.querySelectorAll('#container-table tr')].find(e => e.textContent.includes('evil')).click()"
        )
        browser.wait("document.getElementById('log').textContent.includes('—')")
        assert browser.do("document.title") == "swarmd"
        assert browser.do("document.querySelectorAll('img').length") == 0
        assert [each for each in browser.problems if "favicon" not in each] == []
