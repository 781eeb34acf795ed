"""A connection with channels: what waits for what, and what is bounded."""

import pytest
import trio
import trio.testing

from swarmlib.errors import BadAnswer, TimedOut, Unavailable
from swarmlib.pieces import PIECE
from swarmlib_backends.http.websocket import Owed
from swarmlib_backends.kubernetes.streams.carrier import (
    GATHER_SECONDS,
    KEEPALIVE_SECONDS,
    OPEN_SECONDS,
    Carrier,
    carrying,
)
from swarmlib_backends.kubernetes.streams.channels import Channels
from swarmlib_backends.kubernetes.streams.events import Data
from swarmlib_backends.kubernetes.streams.spdy import Spdy

HEADERS = {"streamtype": "data"}


def channels(*, client: bool) -> Channels:
    return Channels(client=client, count=5, version=5)


async def test_who_receives_does_not_wait_for_who_sends() -> None:
    """A ping must be answered, but the answer waits behind a frame that the peer doesn't take."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    server = channels(client=False)
    async with carrying(ours, channels(client=True)) as carrier, trio.open_nursery() as nursery:
        nursery.start_soon(carrier.send, 0, b"nobody takes this")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(theirs.send_all, server.ping() + server.data(1, b"output"))
        assert await carrier.receive() == Data(1, b"output")
        nursery.cancel_scope.cancel()


async def test_a_peer_that_pings_but_takes_no_answers_is_given_up() -> None:
    ours, theirs = trio.testing.lockstep_stream_pair()
    server = channels(client=False)
    async with carrying(ours, channels(client=True)) as carrier, trio.open_nursery() as nursery:
        nursery.start_soon(carrier.send, 0, b"nobody takes this")
        nursery.start_soon(theirs.send_all, server.ping() * 10_000)
        with pytest.raises(BadAnswer, match="sends pings faster"):
            await carrier.receive()
        nursery.cancel_scope.cancel()


async def test_pings_are_answered() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    server = Spdy(client=False)
    async with carrying(ours, Spdy(client=True)) as carrier, trio.open_nursery() as nursery:
        ping = server.ping()
        await theirs.send_all(ping)
        nursery.start_soon(carrier.receive)
        assert await theirs.receive_some() == ping
        nursery.cancel_scope.cancel()


async def test_pings_are_sent_into_silence_only(autojump_clock: trio.testing.MockClock) -> None:
    """What a peer has not read when it closes the connection makes its kernel throw away what it has sent."""
    ours, theirs = trio.testing.memory_stream_pair()
    server = Spdy(client=False)
    async with carrying(ours, Spdy(client=True)) as carrier, trio.open_nursery() as nursery:
        await trio.sleep(KEEPALIVE_SECONDS * 5)  # nobody reads: perhaps the peer is sending
        nursery.start_soon(carrier.receive)
        for _ in range(5):  # the peer does send
            await trio.sleep(KEEPALIVE_SECONDS * 0.7)
            await theirs.send_all(server.close())
        with trio.move_on_after(KEEPALIVE_SECONDS * 0.5) as silence:
            await theirs.receive_some()
        assert silence.cancelled_caught
        assert server.receive(bytes(await theirs.receive_some())) == [Owed(server.ping()[:-4] + b"\0\0\0\1")]
        nursery.cancel_scope.cancel()


async def test_what_comes_before_a_channel_is_accepted_is_kept_in_order() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    spdy, server = Spdy(client=True), Spdy(client=False)
    async with carrying(ours, spdy) as carrier:
        early = server.data(1, b"early") + server.data(3, b"other") + server.data(1, b"bird")
        await theirs.send_all(server.accept(1) + early + server.accept(3))
        assert await carrier.open(spdy, HEADERS, HEADERS) == [1, 3]
        received = [await carrier.receive() for _ in range(3)]
        assert received == [Data(1, b"early"), Data(3, b"other"), Data(1, b"bird")]


async def test_what_has_arrived_of_a_channel_comes_in_one_piece() -> None:
    """Kubelets send frames of a few KiB, and each piece costs a write to the client."""
    ours, theirs = trio.testing.memory_stream_pair()
    server = channels(client=False)
    async with carrying(ours, channels(client=True)) as carrier:
        stdout = [server.data(1, bytes((number,)) * 1000) for number in range(40)]
        await theirs.send_all(b"".join([*stdout, server.data(2, b"stderr"), server.ping(), server.data(1, b"more")]))
        whole = b"".join(bytes((number,)) * 1000 for number in range(40))
        received = [await carrier.receive() for _ in range(3)]
        assert received == [Data(1, whole), Data(2, b"stderr"), Data(1, b"more")]


@pytest.mark.parametrize(("size", "gathered"), [(8 * 1024, True), (8, False)])
async def test_only_of_a_busy_stream_more_is_let_come_before_a_read(
    size: int, gathered: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """A client and a server that talk with each other through a forwarded port would wait each time."""
    ours, theirs = trio.testing.memory_stream_pair()
    server = channels(client=False)

    async def send() -> None:
        for _ in range(200):
            await theirs.send_all(server.data(1, bytes(size)))
            await trio.sleep(GATHER_SECONDS / 4)
        await theirs.aclose()

    async with carrying(ours, channels(client=True)) as carrier, trio.open_nursery() as nursery:
        nursery.start_soon(send)
        pieces = 0
        while isinstance(await carrier.receive(), Data):
            pieces += 1
    assert (pieces < 100) is gathered


async def test_a_peer_that_never_accepts_a_channel(autojump_clock: trio.testing.MockClock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    spdy, server = Spdy(client=True), Spdy(client=False)
    async with carrying(ours, spdy) as carrier:
        with pytest.raises(TimedOut, match="did not accept a stream within 30 s"):
            await carrier.open(spdy, HEADERS)
        assert trio.current_time() == OPEN_SECONDS
        await theirs.send_all((server.data(1, b"x") + server.data(3, b"y")) * 50)
        with pytest.raises(BadAnswer, match="before it has accepted"):
            await carrier.open(spdy, HEADERS)  # it is 3


@pytest.mark.parametrize("refusal", ["reset", "end"])
async def test_a_peer_that_refuses_a_channel(refusal: str) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    spdy, server = Spdy(client=True), Spdy(client=False)
    async with carrying(ours, spdy) as carrier:
        if refusal == "reset":
            await theirs.send_all(server.accept(1) + server.reset(3))
        else:
            await theirs.send_eof()
        with pytest.raises(Unavailable, match="refused a stream"):
            await carrier.open(spdy, HEADERS, HEADERS)


async def test_a_connection_that_is_closed_here_says_so_to_who_receives() -> None:
    ours, _ = trio.testing.memory_stream_pair()
    carrier = Carrier(ours, channels(client=True))
    await ours.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await carrier.receive()


async def test_large_input_goes_in_few_frames() -> None:
    """Each frame costs a system call, and all of this process's work but the copies."""
    ours, theirs = trio.testing.memory_stream_pair()
    async with carrying(ours, Spdy(client=True)) as carrier:
        await carrier.send(0, b"x" * PIECE)
        assert await theirs.receive_some() == Spdy(client=True).data(0, b"x" * PIECE)
