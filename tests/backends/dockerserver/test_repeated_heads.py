"""A head that a client repeats is judged once: for whom that holds, and for whom it does not."""

import os
from pathlib import Path
from typing import Any

import pytest
import trio

from swarmlib import Chain, Request, Server
from swarmlib_backends import DockerServer
from swarmlib_backends.dockerserver import asked
from swarmlib_backends.http.head import Head
from tests.support.engines import free_port


class Tells(Server):
    """It tells who asks, and what for."""

    async def ls(self, request: Request) -> Any:
        return [request.meta.caller, *request.path, dict(request.params)]


def head(*headers: str, target: str = "/containers/json?all=yes", host: str = "localhost") -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", f"Host: {host}", *headers, "", ""]).encode()


async def answer(stream: trio.abc.Stream, request: bytes) -> bytes:
    await stream.send_all(request)
    with trio.fail_after(5):
        return bytes(await stream.receive_some())


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The targets of the heads that were judged."""
    targets, check = list[str](), asked.check_head

    def counted(head: Head, hosts: Any) -> None:
        targets.append(head.target)
        check(head, hosts)

    monkeypatch.setattr(asked, "check_head", counted)
    return targets


async def test_a_head_is_judged_once_for_all_connections(tmp_path: Path, judged: list[str]) -> None:
    address = f"unix://{tmp_path / 's'}"
    answers = set[bytes]()
    async with Chain(DockerServer([address]), Tells()).open():
        for _ in range(2):
            async with await trio.open_unix_socket(address.removeprefix("unix://")) as stream:
                answers |= {await answer(stream, head()), await answer(stream, head())}
    assert len(judged) == 1
    assert [each.partition(b"\r\n\r\n")[2] for each in answers] == [
        b'["uid:%d","containers",{"all":"1"}]' % os.getuid()
    ]


@pytest.mark.parametrize(
    "request_head",
    [head(f"{name}: e30=") for name in ("Authorization", "X-Registry-Auth", "Cookie", "Traceparent", "X-Any")],
)
async def test_a_head_that_may_hold_a_secret_is_judged_each_time(
    tmp_path: Path, judged: list[str], request_head: bytes
) -> None:
    address = f"unix://{tmp_path / 's'}"
    chain = Chain(DockerServer([address]), Tells())
    async with chain.open(), await trio.open_unix_socket(address.removeprefix("unix://")) as stream:
        for _ in range(3):
            assert (await answer(stream, request_head)).startswith(b"HTTP/1.1 200")
    assert len(judged) == 3


async def test_a_wrong_request_is_refused_each_time(tmp_path: Path) -> None:
    address = f"unix://{tmp_path / 's'}"
    chain = Chain(DockerServer([address]), Tells())
    async with chain.open(), await trio.open_unix_socket(address.removeprefix("unix://")) as stream:
        for _ in range(3):
            assert b"400" in (await answer(stream, head(target="/containers/json?limit=x")))[:20]
        assert b"200" in (await answer(stream, head()))[:20]


async def test_what_one_listener_admits_another_still_judges(tmp_path: Path) -> None:
    """Any name may be used on a unix socket, but on plain TCP only the server's own."""
    port, path = free_port(), str(tmp_path / "s")
    elsewhere = head(host="rebound.example")
    async with Chain(DockerServer([f"unix://{path}", f"tcp://127.0.0.1:{port}"]), Tells()).open():
        async with await trio.open_unix_socket(path) as stream:
            for _ in range(2):
                assert (await answer(stream, elsewhere)).startswith(b"HTTP/1.1 200")
        async with await trio.open_tcp_stream("127.0.0.1", port) as tcp:
            assert (await answer(tcp, elsewhere)).startswith(b"HTTP/1.1 403")
        async with await trio.open_tcp_stream("127.0.0.1", port) as tcp:
            assert b'"ip:127.0.0.1"' in await answer(tcp, head())
