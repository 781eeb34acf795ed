"""What a program that attaches over a WebSocket gets, on any engine: what is compared of one with another."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit

import docker as sdk
import websocket
from docker.models.containers import Container
from websocket import WebSocket

from tests.support.engines import wait_until

SECONDS = 60
"""How long a frame, or the start of a Pod, is waited for."""

Frames = list[tuple[int, bytes]]
"""What came: the opcodes of the frames, and their data; that of frames with one opcode in a row is joined."""
_UPGRADES = [
    *(("WebSocket", "keep-alive, Upgrade"), ("tcp", "Upgrade"), ("websocket, tcp", "Upgrade"), ("", "Upgrade")),
    *(("websocket", "keep-alive"), ("websocket", "close")),
]
"""What a handshake asks the connection to become, and the connection's options; the first one alone is a handshake."""


class Attached:
    """A program's client of an engine, of which it is asked what it sees."""

    def __init__(self, host: str, image: str) -> None:
        self._address = urlsplit(host).netloc
        self._image = image
        self.client = sdk.DockerClient(base_url=host, timeout=SECONDS)

    @contextmanager
    def container(self, program: str, **body: Any) -> Iterator[Container]:
        """A container of a shell's program, which has not been started; its stdin is the first client's, if not said
        otherwise.
        """
        config = {"Image": self._image, "Entrypoint": ["sh", "-c"], "Cmd": [program], "OpenStdin": True}
        made = self.client.api.create_container_from_config({"StdinOnce": True, **config, **body})
        container = self.client.containers.get(made["Id"])
        try:
            yield container
        finally:
            container.remove(force=True)

    @contextmanager
    def attach(self, container: Container, query: str = "stream=1", version: str = "1.41") -> Iterator[WebSocket]:
        """A WebSocket to it."""
        target = f"/v{version}/containers/{container.id}/attach/ws?{query}"
        socket = websocket.create_connection(f"ws://{self._address}{target}", timeout=SECONDS)
        try:
            yield socket
        finally:
            socket.shutdown()

    def refusal(self, target: str, **options: Any) -> tuple[int, str]:
        """The status of a refused handshake, and the error's message, if there is one; 101 if it is not refused."""
        try:
            websocket.create_connection(f"ws://{self._address}{target}", timeout=SECONDS, **options).shutdown()
        except websocket.WebSocketBadStatusException as exc:
            said = exc.resp_body or b""
            return exc.status_code, json.loads(said)["message"] if said.startswith(b"{") else ""
        return 101, ""

    def status(self, target: str, upgrade: str, connection: str) -> int:
        """The status of the answer to a handshake with these two headers."""
        headers = {"Upgrade": upgrade, "Connection": connection, "Sec-WebSocket-Version": "13"}
        with closing(HTTPConnection(self._address, timeout=SECONDS)) as asking:
            asking.request("GET", target, headers=headers | {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
            return asking.getresponse().status


def frames(socket: WebSocket, until: Callable[[Frames], object] = lambda _: False) -> Frames:
    """All that comes up to the close frame, or until it is enough."""
    found: list[tuple[int, bytes]] = []
    while not (found and found[-1][0] == websocket.ABNF.OPCODE_CLOSE) and not until(joined(found)):
        frame = socket.recv_frame()
        found.append((frame.opcode, bytes(frame.data)))
    return joined(found)


def joined(found: Frames) -> Frames:
    return [(opcode, b"".join(data for _, data in each)) for opcode, each in groupby(found, lambda frame: frame[0])]


def _output(at: Attached, query: str) -> Frames:
    with at.container("echo out; sleep 0.3; echo err >&2; exit 3") as made, at.attach(made, query) as socket:
        made.start()
        return frames(socket)


def both_streams(at: Attached) -> Frames:
    """Both streams are one, without a header for each piece; a close frame ends it."""
    return _output(at, "stream=1&stdout=1&stderr=1")


def one_stream(at: Attached) -> Frames:
    """An engine of this version gives both, whichever is asked for."""
    return _output(at, "stream=1&stdout=1")


def nothing(at: Attached) -> Frames:
    """Neither the stream nor what was before is asked for."""
    with at.container("cat") as made:
        made.start()
        with at.attach(made, "") as socket:
            return frames(socket)


def end_of_input(at: Attached) -> tuple[Frames, Any]:
    """A close frame ends the input, and what the container then writes still comes."""
    with at.container("sort; sleep 0.3; echo end") as made, at.attach(made) as socket:
        made.start()
        socket.send_binary(b"b\na\n")
        socket.send_close(1000, b"bye")
        return frames(socket), made.wait(timeout=SECONDS)["StatusCode"]


def end_of_connection(at: Attached) -> Frames:
    """So does the end of the client's side of the connection."""
    with at.container("sort; sleep 0.3; echo end") as made, at.attach(made) as socket:
        made.start()
        socket.send_binary(b"b\na\n")
        socket.sock.shutdown(1)
        return frames(socket)


def fragments(at: Attached) -> Frames:
    """A message in several frames; one of text; and the answer to a ping, while the container is silent."""
    with at.container("sort") as made, at.attach(made) as socket:
        made.start()
        socket.ping(b"are you there")
        pong = frames(socket, lambda found: found)
        socket.send_frame(websocket.ABNF.create_frame(b"b\n", websocket.ABNF.OPCODE_BINARY, 0))
        socket.send_frame(websocket.ABNF.create_frame(b"a\n", websocket.ABNF.OPCODE_CONT, 1))
        socket.send("text\n")
        socket.send_close()
        return pong + frames(socket)


def old_client(at: Attached) -> Frames:
    """Clients before version 1.28 get text."""
    with at.container("cat") as made, at.attach(made, version="1.27") as socket:
        made.start()
        socket.send("grüße\n")
        return frames(socket, lambda found: found and found[0][1].endswith(b"\n"))


def much_input(at: Attached) -> Frames:
    """One frame of 3 MB."""
    with at.container("wc -c") as made, at.attach(made) as socket:
        made.start()
        socket.send_binary(b"x" * 3_000_000)
        socket.send_close()
        return frames(socket)


def detach(at: Attached) -> tuple[list[int], bool, str]:
    """The detach keys that were chosen end the attach at a terminal, and nothing else."""
    with at.container("cat", Tty=True) as made, at.attach(made, "stream=1&detachKeys=ctrl-a,x") as socket:
        made.start()
        socket.send_binary(b"typed\n")
        said = frames(socket, lambda found: found and b"typed" in found[0][1])
        socket.send_binary(b"\x01x")
        found = joined(said + frames(socket))
        made.reload()
        return [opcode for opcode, _ in found], b"typed\r\n" in found[0][1], made.status


def earlier_output(at: Attached) -> tuple[Frames, Frames]:
    """What was written before, alone and with what follows."""
    with at.container("echo before; read a; echo after", StdinOnce=False) as made:
        made.start()
        wait_until(made.logs, "the first output", seconds=SECONDS)
        with at.attach(made, "logs=1") as alone, at.attach(made, "logs=1&stream=1") as both:
            before = frames(alone)
            both.send_binary(b"\n")
            return before, frames(both)


def docker_py(at: Attached) -> tuple[list[bytes], int]:
    """docker-py's own way."""
    with at.container("cat; exit 4") as made:
        socket = at.client.api.attach_socket(str(made.id), params={"stdin": 1, "stdout": 1, "stream": 1}, ws=True)
        made.start()
        socket.send(b"hello\n")
        said = socket.recv()
        socket.close(timeout=SECONDS)
        return [said], made.wait(timeout=SECONDS)["StatusCode"]


def handshakes(at: Attached) -> list[Any]:
    """What is refused, how, and the protocol that is offered."""
    with at.container("sleep 100", StdinOnce=False) as made:
        made.rename("quiet")
        made.start()
        target = "/v1.41/containers/quiet/attach/ws"
        found = [
            at.refusal(target, header={"Sec-WebSocket-Version": "8"})[0],
            at.refusal(target, header={"Sec-WebSocket-Key": ""})[0],
            *(at.status(target, upgrade, connection) for upgrade, connection in _UPGRADES),
            at.status(target.replace("quiet", "nosuch"), "tcp", "Upgrade"),
            at.refusal(target, subprotocols=["one", "two"])[0],
            at.refusal(target, subprotocols=["one"]),
            at.refusal(f"{target}?detachKeys=ctrl-1"),
            at.refusal(target.replace("quiet", "nosuch")),
        ]
        made.pause()
        status, said = at.refusal(target.replace("quiet", str(made.id)))
        made.unpause()
        return [*found, status, said.replace(str(made.id), "ID")]


PROGRAMS: list[Callable[[Attached], Any]] = [
    *(both_streams, one_stream, nothing, end_of_input, end_of_connection, fragments, old_client, much_input),
    *(detach, earlier_output, docker_py, handshakes),
]
