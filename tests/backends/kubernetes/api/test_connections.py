"""Connections: how servers are verified, certificates that are replaced, and proxies."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from swarmlib import UNSENT, Invalid, Unavailable, Unsupported
from swarmlib.net.tls import server_context
from swarmlib_backends import certificates
from swarmlib_backends.kubernetes.api.access import Access
from swarmlib_backends.kubernetes.api.client import Api
from swarmlib_backends.kubernetes.api.credentials import Shown
from swarmlib_backends.kubernetes.api.tls import Pem, Tls
from tests.support.cancelled_calls import cancelled_once_connected
from tests.support.scripted_http import Answer, Asked, Served, served

AUTHORITY = certificates.authority()
OTHER = certificates.authority("another authority")
CA = Pem("the authority", data=AUTHORITY.pem)


@pytest.fixture
def autojump_clock(autojump_clock: MockClock) -> MockClock:
    """Skips the waiting, but not while the loopback carries something."""
    autojump_clock.autojump_threshold = 0.02
    return autojump_clock


def saved(folder: Path, name: str, issued: certificates.Issued) -> tuple[Path, Path]:
    """Write a certificate and its key into files."""
    pem, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    pem.write_bytes(issued.pem)
    key.write_bytes(issued.key_pem)
    return pem, key


def context(folder: Path, host: str = "127.0.0.1", *, clients: bool = False) -> ssl.SSLContext:
    """The context of a server with this name; with `clients`, it wants a client's certificate."""
    pem, key = saved(folder, "server", certificates.server(AUTHORITY, [host]))
    ca, _ = saved(folder, "ca", AUTHORITY)
    return server_context(str(pem), str(key), str(ca) if clients else "")


async def subject(asked: Asked, answer: Answer) -> None:
    """Answer with the name in the client's certificate."""
    assert isinstance(answer.stream, trio.SSLStream)
    found: Any = answer.stream.getpeercert()
    await answer.json(found["subject"][0][0][1] if found else None)


@asynccontextmanager
async def secure(tls: ssl.SSLContext) -> AsyncIterator[Served]:
    async with served(subject, tls) as server:
        yield server


async def test_a_server_with_the_authority_s_certificate_is_trusted(tmp_path: Path) -> None:
    async with secure(context(tmp_path)) as server, Api.open(Access(server.url, tls=Tls(CA))) as api:
        assert await api.get("/x") is None


@pytest.mark.parametrize("tls", [Tls(), Tls(Pem("another", data=OTHER.pem)), Tls(CA, server_name="another.name")])
async def test_any_other_server_is_not_and_is_sent_nothing(tls: Tls, tmp_path: Path, autojump_clock: MockClock) -> None:
    async with secure(context(tmp_path)) as server, Api.open(Access(server.url, tls=tls)) as api:
        with pytest.raises(Unavailable, match=r"can't connect to .*certificate") as raised:
            await api.get("/x")
    assert raised.value.details[UNSENT]
    assert server.asked == []


async def test_a_call_that_is_cancelled_once_it_is_connected_holds_up_no_later_one(tmp_path: Path) -> None:
    async with secure(context(tmp_path)) as server, Api.open(Access(server.url, tls=Tls(CA))) as api:
        with cancelled_once_connected():
            await api.get("/x")
        with trio.fail_after(5):
            assert await api.get("/x") is None


async def test_a_connection_whose_handshake_is_cancelled_is_closed() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    url = f"https://127.0.0.1:{listener.socket.getsockname()[1]}"
    async with listener, Api.open(Access(url, tls=Tls(CA))) as api:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(api.get, "/x")
            stream = await listener.accept()
            hello = await stream.receive_some()
            nursery.cancel_scope.cancel()
        assert hello
        with trio.fail_after(5):
            async with stream:
                assert await stream.receive_some() == b""


async def test_unless_any_server_is_trusted(tmp_path: Path) -> None:
    async with (
        secure(context(tmp_path, "another.name")) as server,
        Api.open(Access(server.url, tls=Tls(verify=False))) as api,
    ):
        assert await api.get("/x") is None


async def test_a_server_may_have_another_name(tmp_path: Path) -> None:
    tls = Tls(CA, server_name="kubernetes.default")
    async with (
        secure(context(tmp_path, "kubernetes.default")) as server,
        Api.open(Access(server.url, tls=tls)) as api,
    ):
        assert await api.get("/x") is None


async def test_a_certificate_in_memory_is_shown_and_left_in_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    own = certificates.client(AUTHORITY, "me")
    tls = Tls(CA, Pem("the certificate", data=own.pem), Pem("the key", data=own.key_pem))
    assert "PRIVATE" not in repr(tls)
    async with secure(context(tmp_path, clients=True)) as server, Api.open(Access(server.url, tls=tls)) as api:
        assert await api.get("/x") == "me"
    assert list(folder.iterdir()) == []


async def test_a_certificate_that_is_replaced_is_shown_from_then_on(tmp_path: Path) -> None:
    pem, key = saved(tmp_path, "client", certificates.client(AUTHORITY, "old"))
    tls = Tls(CA, Pem("the certificate", pem), Pem("the key", key))

    async def script(asked: Asked, answer: Answer) -> None:
        if asked.path != "/watch":
            await subject(asked, answer)
            return
        await answer.begin(200)
        await answer.send(b"first")
        await replaced.wait()
        await answer.send(b"second")
        await answer.end()

    replaced = trio.Event()
    async with served(script, context(tmp_path, clients=True)) as server, Api.open(Access(server.url, tls=tls)) as api:
        assert await api.get("/x") == "old"
        async with api.stream("/watch") as stream:
            assert await stream.receive_some() == b"first"
            saved(tmp_path, "client", certificates.client(AUTHORITY, "new"))
            assert await api.get("/x") == "new"
            replaced.set()
            assert await stream.receive_some() == b"second"  # a stream that is open goes on
            assert len(server.connections) == 2
        await api.get("/x")
        while len(server.connections) > 1:  # what has the old certificate was closed
            await trio.lowlevel.checkpoint()


async def test_a_plug_in_s_certificate_is_shown_instead_of_the_access_s(tmp_path: Path) -> None:
    names = iter(["one", "two"])

    class Changing:
        async def shown(self) -> Shown:
            own = certificates.client(AUTHORITY, next(names))
            return Shown((), Pem("the certificate", data=own.pem), Pem("the key", data=own.key_pem))

        def refused(self, shown: Shown) -> bool:
            return False

    async with secure(context(tmp_path, clients=True)) as server:
        access = Access(server.url, tls=Tls(CA), credentials=Changing())
        async with Api.open(access) as api:
            assert [await api.get("/x"), await api.get("/x")] == ["one", "two"]


OWN = certificates.client(AUTHORITY)
KEY = Pem("the key of 'u'", data=OWN.key_pem)


@pytest.mark.parametrize(
    ("tls", "message"),
    [
        (Tls(Pem("the CA", Path("/missing/ca"))), "can't read the TLS file /missing/ca"),
        (Tls(Pem("the CA of 'c'", data=b"s3cret")), "the authority's certificate the CA of 'c' is not valid PEM"),
        (Tls(CA, Pem("the certificate of 'u'", data=OTHER.pem), KEY), "the key the key of 'u' does not belong to"),
        (Tls(CA, Pem("that of 'u'", data=OWN.pem), Pem("k", data=b"s3cret")), "that of 'u' or its key k is not valid"),
    ],
)
async def test_what_can_t_be_used_is_named(tls: Tls, message: str) -> None:
    async with Api.open(Access("https://127.0.0.1:1", tls=tls)) as api:
        with pytest.raises(Invalid, match=message) as raised:
            await api.get("/x")
    assert "s3cret" not in raised.value.message
    assert "/tmp/" not in raised.value.message


# Proxies.


class Proxy:
    """An HTTP proxy that only connects."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.status = 200

    async def __call__(self, asked: Asked, answer: Answer) -> None:
        self.asked.append(asked)
        if self.status != 200:
            await answer.whole(b"", self.status)
            return
        _, _, port = asked.target.rpartition(":")
        async with await trio.open_tcp_stream("127.0.0.1", int(port)) as there, trio.open_nursery() as nursery:
            await answer.begin(200)
            nursery.start_soon(_copy, there, answer.stream, nursery.cancel_scope)
            await _copy(answer.stream, there, nursery.cancel_scope)


async def _copy(source: trio.abc.ReceiveStream, target: trio.abc.SendStream, scope: trio.CancelScope) -> None:
    async for data in source:
        await target.send_all(data)
    scope.cancel()


async def test_a_server_is_reached_by_a_proxy_which_sees_only_its_address(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    proxy = Proxy()
    tls = Tls(CA, server_name="kubernetes.default")
    async with secure(context(tmp_path, "kubernetes.default")) as server, served(proxy) as between:
        access = Access(server.url, tls=tls, proxy=between.url.replace("//", "//me:pass@"))
        async with Api.open(access) as api:
            assert await api.get("/x") is None
            assert await api.get("/y") is None
        assert [asked.target for asked in proxy.asked] == [f"127.0.0.1:{server.port}"]
        assert proxy.asked[0].header("Proxy-Authorization") == "Basic bWU6cGFzcw=="
        assert server.asked[0].header("Proxy-Authorization") is None
        proxy.status = 403
        async with Api.open(replace(access)) as api:
            with pytest.raises(Unavailable, match=r"can't connect to .*: 403") as raised:
                await api.post("/x", {})
        assert raised.value.details[UNSENT]


async def test_a_socks_proxy_needs_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "socksio", None)
    async with Api.open(Access("https://127.0.0.1:1", proxy="socks5://p:1")) as api:
        with pytest.raises(Unsupported, match="requires the package socksio"):
            await api.get("/x")


UPGRADE = (("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1"))


async def test_an_upgraded_connection_gives_all_records_that_are_there_and_then_what_is_wrong(tmp_path: Path) -> None:
    written = trio.Event()

    async def script(asked: Asked, answer: Answer) -> None:
        assert isinstance(answer.stream, trio.SSLStream)
        await answer.switch("SPDY/3.1")
        await answer.stream.receive_some()
        for letter in (b"a", b"b", b"c"):
            await answer.stream.send_all(letter * 1000)
        await answer.stream.transport_stream.send_all(b"no record of TLS")
        written.set()

    async with (
        served(script, context(tmp_path)) as server,
        Api.open(Access(server.url, tls=Tls(CA))) as api,
        api.upgrade("POST", "/api", (), UPGRADE) as upgraded,
    ):
        await upgraded.stream.send_all(b"go")
        await written.wait()
        assert await upgraded.stream.receive_some(1500) == b"a" * 1000 + b"b" * 500
        assert await upgraded.stream.receive_some() == b"b" * 500 + b"c" * 1000
        with pytest.raises(trio.BrokenResourceError):
            await upgraded.stream.receive_some()
