"""Bearer tokens: who presents one is known by its digest, and the token itself goes no further."""

import hashlib
import os
from pathlib import Path

import pytest
import trio

from swarmlib import Request
from swarmlib_backends.dockerserver import DockerServer

TOKEN = "CANARY-7f3a"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()
OWN = f"uid:{os.getuid()}"


class Asked(trio.abc.SendChannel[Request]):
    """Keeps what it is asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def send(self, value: Request) -> None:
        self.requests.append(value)
        await value.reply.ack()
        await value.reply.aclose()

    async def aclose(self) -> None: ...


async def ask(
    folder: Path, *headers: str, target: str = "/containers/json", tokens: bool = True
) -> tuple[str, list[Request]]:
    """Send a request with these headers; return the response, and what reached the next stage."""
    asked, path = Asked(), folder / "d.sock"
    async with DockerServer([f"unix://{path}"], tokens=tokens).open(asked), await trio.open_unix_socket(path) as client:
        lines = [f"GET {target} HTTP/1.1", "Host: x", "Connection: close", *headers]
        await client.send_all("\r\n".join([*lines, "", ""]).encode("latin-1"))
        return b"".join([bytes(each) async for each in client]).decode("latin-1"), asked.requests


@pytest.mark.parametrize(
    ("header", "caller"),
    [
        (f"Authorization: Bearer {TOKEN}", f"token:{DIGEST}"),
        (f"AUTHORIZATION:bearer   {TOKEN}  ", f"token:{DIGEST}"),
        (f"Authorization: Basic {TOKEN}", OWN),
        (f"Authorization: {TOKEN}", OWN),
        (f"X-Authorization: Bearer {TOKEN}", OWN),
        ("Accept: */*", OWN),
    ],
)
@pytest.mark.parametrize("target", ["/containers/json", "/nonesuch"])
async def test_who_presents_a_token_is_known_by_its_digest(
    tmp_path: Path, header: str, caller: str, target: str
) -> None:
    _, (request,) = await ask(tmp_path, header, target=target)
    assert request.meta.caller == caller
    assert TOKEN not in repr((request, request.meta.headers, request.params))


async def test_nobody_passes_for_somebody_else_by_a_token_unless_tokens_are_wanted(tmp_path: Path) -> None:
    _, (request,) = await ask(tmp_path, f"Authorization: Bearer {TOKEN}", tokens=False)
    assert request.meta.caller == OWN


@pytest.mark.parametrize(
    "headers",
    [
        (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer other"),
        (f"Authorization: Bearer {TOKEN}", f"authorization: bearer {TOKEN}"),
        ("Authorization: Bearer ",),
    ],
)
async def test_a_request_presents_one_token(tmp_path: Path, headers: tuple[str, ...]) -> None:
    response, requests = await ask(tmp_path, *headers)
    assert response.startswith("HTTP/1.1 400 ")
    assert "must present exactly one" in response
    assert TOKEN not in response
    assert requests == []
