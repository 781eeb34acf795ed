"""exec, attach, port-forward and logs of the Pods of the fake cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

import trio
from trio.testing import memory_stream_pair

from swarmlib import Unsupported

from ...enginekit.pipe import Pipe
from ...http.serving import Answer, Body, Request
from ..api.resources import PODS
from ..streams.negotiate import Dialect
from .containers import CannotRun, Container
from .errors import StatusError, bad_request
from .kinds import Release
from .kubelet import Kubelets
from .logs import log
from .objects import Objects
from .pod import Pod
from .rights import Act
from .streams import Served, handshake, serving

Listener: TypeAlias = Callable[[trio.abc.HalfCloseableStream], Awaitable[None]]
"""Serves a connection to a port of a Pod; the stream is closed when it returns."""
_PIECE: Final = 64 * 1024
_SUCCESS: Final[Body] = {"metadata": {}, "status": "Success"}
_OLD: Final = frozenset({Dialect.SPDY, Dialect.V4})
_NEW: Final = frozenset(Dialect)
_CANNOT_EXEC: Final = 126


class PodStreams:
    """What is asked of running Pods. `listeners` are what serves the ports of all Pods."""

    def __init__(self, objects: Objects, kubelets: Kubelets, release: Release) -> None:
        self._objects, self._kubelets, self._release = objects, kubelets, release
        self.listeners: dict[int, Listener] = {}

    def answer(self, act: Act, request: Request) -> Answer:
        """Answer a request for a subresource of a Pod.

        Raises:
            StatusError: the Pod doesn't exist, or nothing of it runs.
        """
        object = self._objects.find(PODS, (act.namespace, act.name))
        pod = self._kubelets.pods.get(object["metadata"]["uid"])
        if pod is None:
            raise bad_request(f"pod {act.name} does not have a host assigned")
        if act.subresource == "log":
            return log(pod, request.query, self._objects.clock, split=self._release.split_logs)
        return self._upgraded(pod, act.subresource, request)

    def _upgraded(self, pod: Pod, kind: str, request: Request) -> Answer:
        if kind == "portforward":
            serve = partial(self._forward, pod, int(request.query.get("ports") or 0))
            names = ["data", "error"]
        else:
            names = _names(request.query)
            container = pod.find(request.query.get("container", ""))
            if container is None or not container.alive:
                name = container.name if container else request.query.get("container", "")
                raise StatusError(500, "InternalError", f'container not found ("{name}")', {})
            words = [value for name, value in request.pairs if name == "command"]
            serve = (
                partial(_exec, container, words, request.query.get("tty") == "true")
                if kind == "exec"
                else partial(_attach, container)
            )
        if not request.upgrade:
            raise bad_request("Upgrade request required")
        shaken = handshake(request.headers, kind=kind, spoken=_NEW if self._release.modern_streams else _OLD)
        if shaken.dialect is None:
            return Answer(shaken.status, b"", shaken.headers)
        port = int(request.query.get("ports") or 0)
        return Answer(101, headers=shaken.headers, upgraded=partial(_served, serve, shaken.dialect, names, port))

    async def _forward(self, pod: Pod, port: int, served: Served) -> None:
        listener = self.listeners.get(served.port or port)
        if listener is None or not pod.processes:
            refused = f"E connect(5, AF=2 127.0.0.1:{served.port or port}, 16): Connection refused"
            where = f"error forwarding port {served.port or port} to pod {pod.object['metadata']['uid']}, uid "
            await served.send("error", f"{where}: exit status 1: socat {refused}\n".encode())
            await served.close()
            return
        ours, theirs = memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_listen, listener, theirs)
            nursery.start_soon(_receive_data, served, ours)
            while data := await ours.receive_some(_PIECE):
                await served.send("data", bytes(data))
            try:
                await served.end("data")
                await served.end("error")
            except Unsupported:  # by WebSocket v4, a connection ends as a whole
                await served.close()
                nursery.cancel_scope.cancel()


def _names(query: Mapping[str, str]) -> list[str]:
    """Return the channels that a request asks for."""
    tty = query.get("tty") in ("1", "true")
    asked = [name for name in ("stdin", "stdout", "stderr") if query.get(name) in ("1", "true")]
    if not asked:
        raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
    return [*(name for name in asked if name != "stderr" or not tty), "error", *(["resize"] if tty else [])]


async def _served(
    serve: Callable[[Served], Awaitable[None]],
    dialect: Dialect,
    names: Sequence[str],
    port: int,
    stream: trio.abc.Stream,
) -> None:
    async with serving(dialect, stream, names, port=port) as served:
        await serve(served)


async def _listen(listener: Listener, stream: trio.abc.HalfCloseableStream) -> None:
    async with stream:
        await listener(stream)


async def _receive_data(served: Served, stream: trio.abc.HalfCloseableStream) -> None:
    while (found := await served.receive()) is not None:
        match found:
            case "data", b"":
                await stream.send_eof()
            case "data", data:
                await stream.send_all(data)
            case _:
                pass
    await stream.aclose()


async def _exec(container: Container, words: Sequence[str], tty: bool, served: Served) -> None:
    try:
        process = container.begin(words)
    except CannotRun as exc:
        problem = str(exc).partition(": exec: ")[2]
        text = f"OCI runtime exec failed: exec failed: unable to start container process: exec: {problem}\n"
        await _send(served, "stdout", text.encode())
        await served.finish(_ended(_CANNOT_EXEC))
        return

    async def write(stream: int, data: bytes) -> None:
        await process.thawed()
        await _send(served, "stdout" if stream == 1 or tty else "stderr", data.replace(b"\n", b"\r\n") if tty else data)

    stdin = Pipe()
    if not served.has("stdin"):
        stdin.end()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_feed, served, stdin, True)
        code = await container.run_beside(process, stdin, write)
        await served.finish(_ended(code))
        nursery.cancel_scope.cancel()


async def _attach(container: Container, served: Served) -> None:
    follower = container.output.follow(live=container.alive)
    stdin = container.stdin if served.has("stdin") and container.spec.get("stdin") else None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_feed, served, stdin, bool(container.spec.get("stdinOnce")))
            while (piece := await follower.next()) is not None:
                await _send(served, "stdout" if piece.stream == 1 else "stderr", piece.data)
            await served.finish(_SUCCESS)
            nursery.cancel_scope.cancel()
    finally:
        follower.close()


async def _send(served: Served, name: str, data: bytes) -> None:
    if data and served.has(name):
        await served.send(name, data)


async def _feed(served: Served, stdin: Pipe | None, once: bool) -> None:
    """Give a process what a client sends. `once`: the end of it is the end of the process's stdin."""
    while (found := await served.receive()) is not None:
        name, data = found
        if name != "stdin" or stdin is None:
            continue  # such as the size of the terminal
        try:
            if data:
                await stdin.write(data)
            elif once:
                stdin.end()
        except trio.BrokenResourceError:
            stdin = None  # the process has ended, or reads no more
    if once and stdin is not None:
        stdin.end()


def _ended(code: int) -> Mapping[str, Any]:
    """Return the status that says how a command ended."""
    if not code:
        return _SUCCESS
    causes = [{"reason": "ExitCode", "message": str(code)}]
    message = f"command terminated with non-zero exit code: Error executing in Docker Container: {code}"
    failed: Body = {"metadata": {}, "status": "Failure", "message": message, "reason": "NonZeroExitCode"}
    return {**failed, "details": {"causes": causes}}
