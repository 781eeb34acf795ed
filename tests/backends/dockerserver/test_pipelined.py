"""Requests that a client sends without waiting for answers, to stages that answer in the connection's own task."""

from pathlib import Path
from typing import Any

import trio

from swarmlib import Chain, NotFound, Request, Server
from swarmlib_backends import DockerServer


class Waits(Server):
    """It has no volumes, and takes some turns of the loop to list its containers."""

    async def get(self, request: Request) -> Any:
        raise NotFound(f"no such volume: {request.path[1]}")

    async def ls(self, _: Request) -> list[Any]:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        return []


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


async def test_a_call_behind_one_that_failed_is_answered(tmp_path: Path) -> None:
    address = tmp_path / "s"
    chain = Chain(DockerServer([f"unix://{address}"]), Waits())
    asked = get("/volumes/v"), get("/containers/json"), get("/volumes/w"), get("/volumes/x"), get("/containers/json")
    async with chain.open(), await trio.open_unix_socket(str(address)) as stream:
        await stream.send_all(b"".join(asked))
        answer = b""
        with trio.fail_after(5):
            while answer.count(b"HTTP/1.1 ") < len(asked) or not answer.endswith(b"[]"):
                answer += await stream.receive_some()
    assert [each[:3] for each in answer.split(b"HTTP/1.1 ")[1:]] == [b"404", b"200", b"404", b"404", b"200"]


async def test_a_connection_ends_with_a_call_that_failed_if_the_client_said_so(tmp_path: Path) -> None:
    address = tmp_path / "s"
    chain = Chain(DockerServer([f"unix://{address}"]), Waits())
    async with chain.open(), await trio.open_unix_socket(str(address)) as stream:
        await stream.send_all(get("/volumes/v").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        with trio.fail_after(5):
            assert b"".join([bytes(each) async for each in stream]).startswith(b"HTTP/1.1 404")
