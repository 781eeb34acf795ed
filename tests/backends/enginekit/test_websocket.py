"""The far end of a client's WebSocket, frame by frame; tests/system/test_websockets.py compares it with an engine's."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked
from wsproto.frame_protocol import Frame, FrameProtocol, Opcode

from swarmlib import BytesStream, Client, Invalid, Meta, Request, Verb, connect
from swarmlib.asking import call
from swarmlib_backends.enginekit.websocket import WebSocketStdio
from swarmlib_backends.simulator import Simulator

KEY = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
VERSION = ("sec-websocket-version", "13")
UPGRADE = ("upgrade", "websocket")


class Workload(trio.abc.HalfCloseableStream):
    """Writes what a test has it write, and keeps what it reads."""

    def __init__(self) -> None:
        self.write, self._output = trio.open_memory_channel[bytes](10)
        self.read: list[bytes] = []

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            return await self._output.receive()
        except trio.EndOfChannel:
            return b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.read.append(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        self.read.append(b"<end>")

    async def aclose(self) -> None:
        self.read.append(b"<closed>")


class Peer:
    """A client of a workload."""

    def __init__(self, *, text: bool = False) -> None:
        self.workload = Workload()
        self.stream = WebSocketStdio(self.workload, text=text)
        self.frames = FrameProtocol(client=True, extensions=[])

    async def next(self) -> Frame:
        self.frames.receive_bytes(await self.stream.receive_some())
        [frame] = self.frames.received_frames()
        return frame


async def test_pings_are_answered_while_the_workload_is_silent_and_nothing_of_it_is_lost() -> None:
    peer = Peer()
    found: list[Frame] = []

    async def read() -> None:
        while not found or found[-1].opcode is not Opcode.CLOSE:
            found.append(await peer.next())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        await peer.stream.send_all(peer.frames.ping(b"one"))
        await wait_all_tasks_blocked()
        for number in range(1000):
            await peer.stream.send_all(peer.frames.ping(b"%d" % number))
        await peer.workload.write.send(b"output")
        peer.workload.write.close()
    assert [(frame.opcode, frame.payload) for frame in found] == [
        (Opcode.PONG, b"one"),
        (Opcode.PONG, b"999"),
        (Opcode.BINARY, b"output"),
        (Opcode.CLOSE, (1000, "")),
    ]
    assert await peer.stream.receive_some() == b""


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (b"\x82\x01x", 1002),  # without a mask
        (b"\x83\x80\0\0\0\0", 1002),  # no such opcode
        (b"\xf2\x80\0\0\0\0", 1002),  # reserved bits
        (b"\x80\x80\0\0\0\0", 1002),  # a continuation of nothing
        (b"\x89\xfe\x01\0\0\0\0\0", 1002),  # a ping of 256 bytes
        (b"\x81\x81\0\0\0\0\xff", 1007),  # text that is none
    ],
)
async def test_what_is_no_frame_ends_the_conversation_and_the_input(wrong: bytes, code: int) -> None:
    peer = Peer()
    await peer.stream.send_all(peer.frames.send_data(b"before") + wrong + peer.frames.send_data(b"after"))
    await peer.stream.send_all(peer.frames.send_data(b"later"))
    assert (await peer.next()).payload == (code, "")
    assert await peer.stream.receive_some() == b""
    assert peer.workload.read == [b"before", b"<end>"]


async def test_a_message_without_end_is_handed_on_as_it_comes() -> None:
    peer = Peer()
    frame = bytes(peer.frames.send_data(b"x" * 70_000))
    head, rest = frame[:2] + (2**62).to_bytes(8) + frame[10:14], frame[14:]
    await peer.stream.send_all(head)
    for start in range(0, len(rest), 1000):
        await peer.stream.send_all(rest[start : start + 1000])
    assert {len(each) for each in peer.workload.read} == {1000}
    assert b"".join(peer.workload.read) == b"x" * 70_000


async def test_text_is_cut_between_characters() -> None:
    peer = Peer(text=True)
    for piece in (b"gr\xc3", b"\xbc\xc3\x9fe\xff"):
        await peer.workload.write.send(piece)
    found = [await peer.next() for _ in range(2)]
    assert [(frame.opcode, frame.payload) for frame in found] == [(Opcode.TEXT, "gr"), (Opcode.TEXT, "üße�")]


@pytest.fixture
async def client() -> AsyncGenerator[Client]:
    async with connect(Simulator()) as found:
        await found.spawn({"Image": "busybox", "Cmd": ["cat"]}, name="box")
        yield found


async def attach(client: Client, *headers: tuple[str, str], **params: str) -> Any:
    meta = Meta(headers=headers)
    answer = await call(client.sender, Request(Verb.CONNECT, ("containers", "box", "ws"), params, meta=meta))
    assert not isinstance(answer.ack.stream, BytesStream | None)
    await answer.ack.stream.aclose()
    return answer.ack.details["headers"]


async def test_the_handshake_is_answered_as_an_engine_does(client: Client) -> None:
    accepted = (b"Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")  # the example of RFC 6455
    assert await attach(client, UPGRADE, KEY, VERSION) == [accepted]
    offered = await attach(client, ("upgrade", "WebSocket"), KEY, VERSION, ("sec-websocket-protocol", "chat"))
    assert offered == [accepted, (b"Sec-WebSocket-Protocol", b"chat")]


@pytest.mark.parametrize(
    ("headers", "wrong"),
    [
        ([KEY, VERSION], "not websocket protocol"),
        ([("upgrade", "tcp"), UPGRADE, KEY, VERSION], "not websocket protocol"),
        ([UPGRADE], "missing or bad WebSocket Version"),
        ([UPGRADE, KEY, ("sec-websocket-version", "8")], "missing or bad WebSocket Version"),
        ([UPGRADE, KEY, VERSION, VERSION], "missing or bad WebSocket Version"),
        ([UPGRADE, VERSION], "mismatch challenge/response"),
        (
            [UPGRADE, KEY, VERSION, *[("sec-websocket-protocol", each) for each in "ab"]],
            "can't speak several protocols: a, b",
        ),
    ],
)
async def test_what_is_no_handshake_is_refused(client: Client, headers: list[tuple[str, str]], wrong: str) -> None:
    with pytest.raises(Invalid, match=wrong):
        await attach(client, *headers, stream="1")
