"""Port-forward against a cluster in memory, in each of its dialects."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress

import pytest
import trio
import trio.testing

from swarmlib.errors import NotFound, Unavailable, Unsupported
from swarmlib_backends.kubernetes.fakecluster.streams import Served
from swarmlib_backends.kubernetes.streams.forwarding import MAX_ERROR, Forward, port_forward
from swarmlib_backends.kubernetes.streams.negotiate import Dialect, Dialects
from tests.backends.kubernetes.streams.fake_api import FakeApi, Handler, narrow_pair

DIALECTS = (Dialect.TUNNEL, Dialect.SPDY, Dialect.V4)
HALF_CLOSING = (Dialect.TUNNEL, Dialect.SPDY)
Forwarding = Callable[..., AbstractAsyncContextManager[Forward]]


@pytest.fixture(params=DIALECTS, ids=lambda dialect: dialect.name)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    found: Dialect = request.param
    return found


@pytest.fixture
def forwarding(nursery: trio.Nursery, dialect: Dialect) -> Forwarding:
    """Forward to a Pod each of whose connections is a handler's."""

    def forward(handler: Handler, **options: object) -> AbstractAsyncContextManager[Forward]:
        api = FakeApi(nursery, handler, spoken=(dialect,), **options)  # type: ignore[arg-type]
        return port_forward(api, "ns", "pod", dialects=Dialects())

    return forward


async def everything(stream: trio.abc.ReceiveStream) -> bytes:
    return b"".join([bytes(piece) async for piece in stream])


async def hang_up(served: Served) -> None:
    """End a connection as a kubelet does: the error first, if it is not over."""
    await served.end("error")
    await served.end("data")


async def next_data(served: Served) -> bytes:
    """The client's next bytes; b"" at the end."""
    while received := await served.receive():
        if received[0] == "data":
            return received[1]
    return b""


async def silent(served: Served) -> None:
    """Say nothing until the client hangs up, and hang up then."""
    while await served.receive():
        pass
    with suppress(trio.BrokenResourceError):
        await served.close()


async def double(served: Served) -> None:
    """Send everything back twice, once it is complete."""
    got = b""
    while data := await next_data(served):
        got += data
    await served.send("data", got * 2)
    await hang_up(served)


@pytest.mark.parametrize("dialect", HALF_CLOSING, indirect=True, ids=lambda dialect: dialect.name)
async def test_two_connections_at_once_and_each_direction_ends_for_itself(forwarding: Forwarding) -> None:
    async with forwarding(double) as forward:
        first, second = await forward.connect(80), await forward.connect(81)
        for stream, data in ((first, b"one"), (second, b"two" * 50_000)):
            await stream.send_all(data)
        await second.send_eof()
        assert await everything(second) == b"two" * 100_000
        await first.send_eof()
        assert await everything(first) == b"oneone"


@pytest.mark.parametrize("dialect", [Dialect.V4], indirect=True)
async def test_version_4_carries_both_directions_and_ends_both_at_once(forwarding: Forwarding) -> None:
    async def handler(served: Served) -> None:
        assert await next_data(served) == b"question"
        await served.send("data", b"answer")
        await served.close()

    async with forwarding(handler) as forward:
        stream = await forward.connect(0x5678)  # the server repeats it, which is no data
        with pytest.raises(Unsupported, match="the end of the input"):
            await stream.send_eof()
        await stream.send_all(b"question")
        assert await everything(stream) == b"answer"


async def test_bytes_are_given_in_pieces_of_a_wanted_size(forwarding: Forwarding) -> None:
    async def handler(served: Served) -> None:
        await served.send("data", b"abcdef")
        await trio.sleep_forever()

    async with forwarding(handler) as forward:
        stream = await forward.connect(80)
        assert [await stream.receive_some(4), await stream.receive_some(4)] == [b"abcd", b"ef"]


async def test_an_error_of_the_cluster_is_told_by_the_stream(forwarding: Forwarding, dialect: Dialect) -> None:
    async def handler(served: Served) -> None:
        await served.send("error", b"error forwarding port 80: connection refused")
        await (served.close() if dialect is Dialect.V4 else hang_up(served))

    async with forwarding(handler) as forward:
        stream = await forward.connect(80)
        with pytest.raises(trio.BrokenResourceError, match="connection refused"):
            await stream.receive_some()


async def test_an_endless_error_is_cut(forwarding: Forwarding) -> None:
    async def handler(served: Served) -> None:
        await served.send("error", b"x" * MAX_ERROR * 5)
        await served.close()

    async with forwarding(handler) as forward:
        stream = await forward.connect(80)
        with pytest.raises(trio.BrokenResourceError) as caught:
            await stream.receive_some()
        assert str(caught.value) == "x" * MAX_ERROR


@pytest.mark.parametrize("dialect", HALF_CLOSING, indirect=True, ids=lambda dialect: dialect.name)
async def test_a_connection_that_is_cut_is_not_taken_for_one_that_ended(forwarding: Forwarding) -> None:
    async def handler(served: Served) -> None:
        await served.send("data", b"half")

    async with forwarding(handler) as forward:
        stream = await forward.connect(80)
        assert await stream.receive_some() == b"half"
        with pytest.raises(trio.BrokenResourceError, match="broke"):
            await stream.receive_some()


async def test_a_slow_reader_holds_back_its_own_connection_only(forwarding: Forwarding) -> None:
    sent = dict.fromkeys((80, 81), 0)
    ports = iter(sent)

    async def handler(served: Served) -> None:
        port = next(ports)
        while sent[port] < 20_000:
            await served.send("data", b"x" * 1000)
            sent[port] += 1000
        await trio.sleep_forever()

    async with forwarding(handler, pair=narrow_pair) as forward:
        slow = await forward.connect(80)
        fast = await forward.connect(81)
        assert await slow.receive_some()
        got = 0
        while got < 20_000:
            got += len(await fast.receive_some())
        await trio.testing.wait_all_tasks_blocked()
        assert sent[80] < 5000


async def test_a_stream_that_is_closed_frees_its_connection(nursery: trio.Nursery, dialect: Dialect) -> None:
    api = FakeApi(nursery, silent, spoken=(dialect,))
    async with port_forward(api, "ns", "pod", dialects=Dialects()) as forward:
        stream = await forward.connect(80)
        async with stream, trio.open_nursery() as readers:
            readers.start_soon(_expect_closed, stream)
            await trio.testing.wait_all_tasks_blocked()
            assert api.open == 1
            await stream.aclose()
        assert api.open == 0
        await forward.connect(80)
    assert api.open == 0


async def _expect_closed(stream: trio.abc.ReceiveStream) -> None:
    with pytest.raises(trio.ClosedResourceError):
        await stream.receive_some()


async def test_a_connection_that_can_not_be_opened_ends_no_other(nursery: trio.Nursery) -> None:
    api = FakeApi(nursery, double)
    async with port_forward(api, "ns", "pod", dialects=Dialects()) as forward:
        stream = await forward.connect(80)
        api.errors["GET"] = NotFound("no such pod", details={"code": 404, "reason": "NotFound"})
        with pytest.raises(NotFound, match="no such pod"):
            await forward.connect(80)
        await stream.send_all(b"ab")
        await stream.send_eof()
        assert await everything(stream) == b"abab"


async def test_a_stream_that_is_refused_is_an_error_of_connecting(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = FakeApi(nursery, double, spoken=(Dialect.SPDY,))
    monkeypatch.setattr(api, "_serve", lambda dialect, stream, names, port: stream.aclose())
    async with port_forward(api, "ns", "pod", dialects=Dialects()) as forward:
        with pytest.raises(Unavailable, match="the cluster"):
            await forward.connect(80)
