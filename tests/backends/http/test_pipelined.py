"""Requests that arrive together are read as those that arrive one by one, wherever the reads are cut."""

from collections.abc import Sequence

import trio
from hypothesis import given
from hypothesis import strategies as st

from swarmlib_backends.http.incoming import Incoming
from swarmlib_backends.http.whole_body import whole_body
from tests.support.streams import Given

LINES = b"%s HTTP/1.1\r\nHost: x\r\n"
BODY = b'{"Container": "web"}'
REQUESTS = (
    LINES % b"GET /_ping" + b"\r\n",
    LINES % b"HEAD /_ping" + b"\r\n",
    LINES % b"POST /counted" + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY,
    LINES % b"POST /empty" + b"Content-Length: 0\r\n\r\n",
    LINES % b"POST /chunked" + b"Transfer-Encoding: chunked\r\n\r\n14\r\n" + BODY + b"\r\n0\r\n\r\n",
    LINES % b"PUT /trailed" + b"Transfer-Encoding: chunked\r\n\r\n14;a=b\r\n" + BODY + b"\r\n0\r\nA: b\r\n\r\n",
    LINES % b"PUT /long" + b"Content-Length: 70000\r\n\r\n" + bytes(70_000),
    LINES % b"POST /session" + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    LINES % b"POST /attach" + b"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 20\r\n\r\n" + BODY,
    LINES % b"POST /exec" + b"Connection: Upgrade\r\nUpgrade: tcp\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
)


async def read(reads: Sequence[bytes]) -> list[tuple[str, str, bytes]]:
    """The requests that a server which refuses upgrades reads."""
    incoming, found = Incoming(Given(reads)), list[tuple[str, str, bytes]]()
    while (head := await incoming.next_head()) is not None:
        incoming.stay()
        found.append((head.method, head.target, await whole_body(incoming, 100_000)))
    return found


def cut(data: bytes, places: Sequence[float]) -> list[bytes]:
    ends = sorted({int(place * len(data)) for place in places} - {0, len(data)})
    return [data[begin:end] for begin, end in zip([0, *ends], [*ends, len(data)], strict=True)]


@given(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=6), st.lists(st.floats(0, 1), max_size=4))
def test_requests_that_come_together_are_read_as_one_by_one(requests: list[bytes], places: list[float]) -> None:
    async def compare() -> None:
        expected = [one for request in requests for one in await read([request])]
        assert len(expected) == len(requests)
        assert await read(cut(b"".join(requests), places)) == expected

    trio.run(compare)
