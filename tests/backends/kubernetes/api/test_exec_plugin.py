"""Credential plug-ins: what they are told, what they print, how long that is kept, and how they fail."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from swarmlib import Denied, TooLarge
from swarmlib_backends.kubernetes.api.access import Access
from swarmlib_backends.kubernetes.api.client import Api
from swarmlib_backends.kubernetes.api.exec_plugin import VERSIONS, Plugin, PluginCredentials
from swarmlib_backends.kubernetes.api.kubeconfig import read_access
from tests.support.scripted_http import Answer, Asked, served

SECRET = "hunter2-s3cret"
BETA = VERSIONS[1]


def program(folder: Path, text: str, name: str = "plugin") -> Path:
    """Write a program in Python."""
    file = folder / name
    file.write_text(f"#!{sys.executable} -IS\nimport json, os, sys\n{text}\n")
    file.chmod(0o755)
    return file


def printing(status: Any, version: str = VERSIONS[0], kind: str = "ExecCredential") -> str:
    """The text of a program that prints a status, and notes that it ran."""
    printed = json.dumps({"kind": kind, "apiVersion": version, "status": status})
    return f"open({'{0!r}'}, 'a').write('x')\nprint({printed!r})"


def plugin(folder: Path, text: str, **options: Any) -> PluginCredentials:
    file = program(folder, text.replace("{0!r}", repr(str(folder / "runs"))))
    return PluginCredentials(Plugin("the user 'u' in k", str(file), **options))


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text())


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(time.time() + seconds, UTC).isoformat().replace("+00:00", "Z")


async def test_a_token_is_kept_while_the_program_says_nothing_else(tmp_path: Path) -> None:
    credentials = plugin(tmp_path, printing({"token": SECRET}))
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(credentials.shown)
    shown = await credentials.shown()
    assert shown.headers == (("Authorization", f"Bearer {SECRET}"),)
    assert SECRET not in repr(shown)
    assert runs(tmp_path) == 1


@pytest.mark.parametrize(("seconds", "ran"), [(3600, 1), (-1, 2)])
async def test_a_token_is_kept_until_it_expires(seconds: float, ran: int, tmp_path: Path) -> None:
    credentials = plugin(tmp_path, printing({"token": "t", "expirationTimestamp": stamp(seconds)}))
    await credentials.shown()
    await credentials.shown()
    assert runs(tmp_path) == ran


async def test_a_refused_token_is_replaced_but_not_that_which_replaced_it(tmp_path: Path) -> None:
    credentials = plugin(tmp_path, printing({"token": "t"}))
    old = await credentials.shown()
    assert credentials.refused(old)
    await credentials.shown()
    assert credentials.refused(old)  # an answer that came late
    await credentials.shown()
    assert runs(tmp_path) == 2


async def test_of_many_calls_at_once_one_runs_a_program_that_fails(tmp_path: Path) -> None:
    credentials = plugin(tmp_path, "open({0!r}, 'a').write('x')\nsys.exit(1)")
    denied: list[str] = []

    async def call() -> None:
        with pytest.raises(Denied) as raised:
            await credentials.shown()
        denied.append(raised.value.message)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(call)
    assert len(denied) == 5
    assert len(set(denied)) == 1
    assert runs(tmp_path) == 1
    await call()
    assert runs(tmp_path) == 2


async def test_a_certificate_is_shown(tmp_path: Path) -> None:
    shown = await plugin(tmp_path, printing({"clientCertificateData": "CERT", "clientKeyData": SECRET})).shown()
    assert shown.certificate is not None
    assert shown.key is not None
    assert (shown.certificate.data, shown.key.data, shown.headers) == (b"CERT", SECRET.encode(), ())
    assert SECRET not in repr(shown)


async def test_what_the_program_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_OUTSIDE", "1")
    (tmp_path / "ca").write_bytes(b"PEM")
    program(
        tmp_path,
        "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "told = [info, sys.argv[1:], os.environ['A'], os.environ['FROM_OUTSIDE'], sys.stdin.read()]\n"
        f"open({str(tmp_path / 'told')!r}, 'w').write(json.dumps(told))\n"
        f"print(json.dumps({{'kind': 'ExecCredential', 'apiVersion': {BETA!r}, 'status': {{'token': 't'}}}}))",
    )
    cluster = {
        "server": "https://k:6443",
        "certificate-authority": "ca",
        "tls-server-name": "name",
        "proxy-url": "http://p",
        "extensions": [
            {"name": "other", "extension": 1},
            {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}},
        ],
    }
    user = {
        "exec": {
            "apiVersion": BETA,
            "command": "./plugin",
            "args": ["get", "a b"],
            "env": [{"name": "A", "value": "b"}],
            "provideClusterInfo": True,
        }
    }
    file = tmp_path / "k"
    file.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": cluster}],
                "users": [{"name": "u", "user": user}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    await read_access(str(file)).credentials.shown()
    info, args, a, outside, stdin = json.loads((tmp_path / "told").read_text())
    assert (args, a, outside, stdin) == (["get", "a b"], "b", "1", "")
    assert info == {
        "kind": "ExecCredential",
        "apiVersion": BETA,
        "spec": {
            "interactive": False,
            "cluster": {
                "server": "https://k:6443",
                "tls-server-name": "name",
                "certificate-authority-data": "UEVN",
                "proxy-url": "http://p",
                "config": {"audience": "x"},
            },
        },
    }


async def test_a_program_is_found_in_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, printing({"token": "t"}).replace("{0!r}", repr("/dev/null")), "kube-login")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert (await PluginCredentials(Plugin("u", "kube-login")).shown()).headers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sys.stderr.write('log in first\\n'); sys.exit(3)", r"it ended with the exit status 3: log in first$"),
        ("pass", "it printed no valid ExecCredential"),
        (f"print('[{SECRET}')", "it printed no valid ExecCredential"),
        (f"print(json.dumps({{'kind': 'ExecCredential', 'status': '{SECRET}'}}))", "Expected `object | null`"),
        (printing({"token": SECRET}, kind="Pod"), "another kind or version"),
        (printing({"token": SECRET}, version=BETA), "another kind or version"),
        (printing(None), "it printed no status"),
        (printing({}), "neither a token nor a certificate"),
        (printing({"token": "", "clientKeyData": SECRET}), "only one of clientCertificateData and clientKeyData"),
        (printing({"token": 5}), "Expected `str | null`, got `int`"),
        (printing({"token": SECRET, "expirationTimestamp": "soon"}), "Invalid RFC3339"),
    ],
)
async def test_a_program_that_gives_nothing_usable(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(Denied, match=message) as raised:
        await plugin(tmp_path, text).shown()
    assert raised.value.message.startswith(f"the user 'u' in k: no credentials from {tmp_path}/plugin: ")
    assert SECRET not in raised.value.message


async def test_a_program_that_is_missing_says_how_it_is_installed(tmp_path: Path) -> None:
    missing = Plugin("u", str(tmp_path / "missing"), hint="apt install it")
    with pytest.raises(Denied, match=r"it can't be run: No such file or directory; apt install it"):
        await PluginCredentials(missing).shown()


async def test_a_program_that_prints_without_end(tmp_path: Path) -> None:
    for where in ("stdout", "stderr"):
        with pytest.raises(TooLarge, match="printed more than"):
            await plugin(tmp_path, f"while True: sys.{where}.write('x' * 100000)").shown()


async def test_a_program_that_does_not_end(tmp_path: Path, autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 1.0  # the program's start is waited for
    credentials = plugin(
        tmp_path, "import time\nsys.stderr.write('open https://log.in')\nsys.stderr.flush()\ntime.sleep(1000)"
    )
    with pytest.raises(Denied, match=r"it took longer than 60 s: open https://log.in"):
        await credentials.shown()


async def test_a_refused_call_is_repeated_with_new_credentials(tmp_path: Path) -> None:
    text = f"runs = open({str(tmp_path / 'runs')!r}, 'a+'); runs.write('x'); runs.seek(0)\n" + (
        "print(json.dumps({'kind': 'ExecCredential', 'apiVersion': 'client.authentication.k8s.io/v1',"
        " 'status': {'token': f'token-{len(runs.read())}'}}))"
    )

    async def script(asked: Asked, answer: Answer) -> None:
        if asked.header("Authorization") == "Bearer token-2":
            await answer.json({"ok": True})
        else:
            await answer.json({"kind": "Status", "reason": "Unauthorized", "message": "Unauthorized"}, 401)

    async with served(script) as server:
        access = Access(server.url, credentials=plugin(tmp_path, text))
        async with Api.open(access) as api:
            assert await api.post("/x", {}) == {"ok": True}
            async with api.stream("/y") as stream:
                assert await stream.receive_some()
        assert len(server.asked) == 3
        async with Api.open(Access(server.url, credentials=plugin(tmp_path, text))) as api:
            with pytest.raises(Denied, match="Unauthorized"):
                await api.get("/x")
        assert len(server.asked) == 5
