"""The transports below the wire: addresses, and who is at the other end."""

import os
import socket
from contextlib import closing
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from swarmlib import UNSENT, Invalid, Unavailable
from swarmlib.net import callers
from swarmlib.net.address import Address, DialAddress, ListenAddress
from swarmlib.net.dialling import CONNECT_SECONDS, dial, open_unix, reaching
from tests.support.engines import free_port


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("tcp://127.0.0.1:1", ("127.0.0.1", 1, "", "")),
        ("tls://[::1]:65535", ("::1", 65_535, "", "")),
        ("unix:///run/a b.sock", ("", 0, "", "/run/a b.sock")),
        ("ssh://b", ("b", 0, "", "")),
        ("ssh://me@b:22/run/x.sock", ("b", 22, "me", "/run/x.sock")),
        ("fd://", ("", 0, "", "")),
    ],
)
def test_an_address_is_taken_apart(text: str, parts: tuple[str, int, str, str]) -> None:
    found = Address.read(text)
    assert (found.host, found.port, found.user, found.path) == parts
    assert str(found) == text
    assert Address.read(found) == found


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("tcp://b", "tcp://HOST:PORT"),
        ("tcp://b:1/path", "tcp://HOST:PORT"),
        ("tls://me@b:1", "tls://HOST:PORT"),
        ("tcp://b:x", "tcp://HOST:PORT"),
        ("tcp://b:65536", "expected a port up to 65535"),
        ("tcp://a..b:1", "'a..b' is not a host name"),
        ("unix://run/x", "unix:///PATH"),
        ("ssh://-oProxyCommand=x", "ssh://[USER@]HOST[:PORT][/SOCKET]"),
        ("ssh://me:secret@b", "ssh://[USER@]HOST[:PORT][/SOCKET]"),
        ("fd://a/b", "fd://[NAME]"),
        ("b:1", "tcp://HOST:PORT, tls://HOST:PORT, unix:///PATH, ssh://[USER@]HOST[:PORT][/SOCKET] or fd://[NAME]"),
    ],
)
def test_what_is_no_address_is_told_what_would_be_one(text: str, right: str) -> None:
    with pytest.raises(Invalid) as raised:
        Address.read(text)
    assert raised.value.message.endswith(right)


def test_each_side_has_its_own_forms() -> None:
    with pytest.raises(Invalid, match="unix:///PATH or fd://"):
        ListenAddress.read("ssh://b")
    with pytest.raises(Invalid, match="unix:///PATH or ssh://"):
        DialAddress.read("fd://")


async def test_who_cannot_be_reached_is_named_and_nothing_was_sent(tmp_path: Path) -> None:
    for text in (f"tcp://127.0.0.1:{free_port()}", f"unix://{tmp_path}/nobody.sock"):
        with pytest.raises(Unavailable, match=f"can't connect to {text}: ") as raised:
            await dial(DialAddress.read(text), tls=None, program=()).__aenter__()
        assert raised.value.details[UNSENT]


async def test_a_server_that_lets_no_more_connections_wait_is_waited_for(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as waits:
        server.bind(path)
        server.listen(0)
        waits.connect(path)
        async with trio.open_nursery() as nursery:
            opened = list[trio.abc.Stream]()

            async def open_one() -> None:
                opened.append(await open_unix(path))

            nursery.start_soon(open_one)
            await trio.sleep(1)
            assert not opened
            server.accept()[0].close()
        accepted = server.accept()[0]
        async with opened[0] as stream:
            await stream.send_all(b"it is connected")
        assert accepted.recv(100) == b"it is connected"
        accepted.close()


async def test_the_caller_is_the_user_behind_a_unix_socket_or_a_tcp_address() -> None:
    for ends in (socket.socketpair(), loopback_pair()):
        with closing(ends[0]), closing(ends[1]):
            with closing(trio.socket.from_stdlib_socket(ends[0].dup())) as sock:
                who = callers.by_socket(sock)
            assert who == (f"uid:{os.getuid()}" if ends[0].family == socket.AF_UNIX else "ip:127.0.0.1")


def loopback_pair() -> tuple[socket.socket, socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        near = socket.create_connection(server.getsockname())
        return near, server.accept()[0]


async def test_an_attempt_to_connect_ends_after_a_set_time(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    with pytest.raises(Unavailable, match=r"^can't connect to far: timed out after 10 s$") as caught, reaching("far"):
        await trio.sleep_forever()
    assert trio.current_time() - began == CONNECT_SECONDS
    assert caught.value.details == {UNSENT: True}
