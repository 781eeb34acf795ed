"""The logs of containers, as an apiserver gives them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from ...enginekit.clock import Clock
from ...enginekit.output import Line, Lines, Output
from ...http.serving import Answer, Write
from ..api.resources import Resource
from .containers import Container
from .errors import Cause, bad_request, invalid
from .pod import Pod

_STREAMS: Final = {"All": (1, 2), "Stderr": (2,), "Stdout": (1,)}
_OPTIONS: Final = Resource("", "v1", "podlogoptions", "PodLogOptions")
"""What the parameters of a log are, in errors."""


def log(pod: Pod, query: Mapping[str, str], clock: Clock, *, split: bool) -> Answer:
    """Return the log of a container.

    split: whether the parameter `stream` is known.

    Raises:
        StatusError: there is no such container, or it has not begun.
    """
    wanted = _stream(pod, query) if split else "All"
    container = _chosen(pod, query.get("container", ""))
    output = container.output
    if query.get("previous") == "true":
        if container.previous is None:
            raise bad_request(f'previous terminated container "{container.name}" in pod "{pod.key[1]}" not found')
        output = container.previous
    elif container.process is None:
        reason = container.state.get("waiting", {}).get("reason", "ContainerCreating")
        raise bad_request(f'container "{container.name}" in pod "{pod.key[1]}" is waiting to start: {reason}')
    follow = query.get("follow") == "true" and container.alive and output is container.output
    told = _Told(query, clock.now(), _STREAMS[wanted])

    async def pieces(write: Write) -> None:
        await _tell(output, told, follow, write)

    return Answer(200, headers={"Content-Type": "text/plain"}, pieces=pieces)


def _stream(pod: Pod, query: Mapping[str, str]) -> str:
    wanted = query.get("stream", "All")
    if wanted in _STREAMS and (wanted == "All" or "tailLines" not in query):
        return wanted
    if wanted in _STREAMS:
        why = "`tailLines` and specific `stream` are mutually exclusive for now"
        cause = Cause("", "FieldValueForbidden", f"Forbidden: {why}")
    else:
        known = ", ".join(f'"{each}"' for each in _STREAMS)
        cause = Cause("stream", "FieldValueNotSupported", f'Unsupported value: "{wanted}": supported values: {known}')
    raise invalid(_OPTIONS, pod.key[1], [cause])


def _chosen(pod: Pod, name: str) -> Container:
    if not name and len(pod.mains) > 1:
        names = " ".join(each.name for each in pod.mains)
        raise bad_request(f"a container name must be specified for pod {pod.key[1]}, choose one of: [{names}]")
    found = pod.find(name)
    if found is None:
        raise bad_request(f"container {name} is not valid for pod {pod.key[1]}")
    return found


class _Told:
    """What is told of lines, by the parameters of a request."""

    def __init__(self, query: Mapping[str, str], now: float, streams: tuple[int, ...]) -> None:
        self._stamped = query.get("timestamps") == "true"
        self._streams = streams
        self.tail = int(query["tailLines"]) if "tailLines" in query else None
        self._left = int(query["limitBytes"]) if "limitBytes" in query else None
        self._since = now - float(query["sinceSeconds"]) if "sinceSeconds" in query else 0.0
        if "sinceTime" in query:
            self._since = datetime.fromisoformat(query["sinceTime"].replace("Z", "+00:00")).timestamp()

    @property
    def done(self) -> bool:
        """Whether no more bytes are wanted."""
        return self._left is not None and self._left <= 0

    def fits(self, line: Line) -> bool:
        """Return whether a line is told at all."""
        return line.stream in self._streams and line.at >= self._since

    def shown(self, line: Line) -> bytes:
        """Return what is told of a line."""
        data = _stamp(line.at) + line.data if self._stamped else line.data
        if self._left is not None:
            data, self._left = data[: self._left], self._left - len(data)
        return data


def _stamp(at: float) -> bytes:
    whole = datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{int(at % 1 * 1e9):09d}Z ".encode()


async def _tell(output: Output, told: _Told, follow: bool, write: Write) -> None:
    follow = follow and not output.runs_ended  # it may have ended meanwhile
    lines = Lines()
    there = [line for piece in output.pieces() for line in lines.add(piece)]
    follower = output.follow(live=follow)
    if output.runs_ended:  # a node keeps an unfinished line back
        there += lines.rest()
    fitting = [line for line in there if told.fits(line)]
    tail = len(fitting) if told.tail is None else told.tail
    try:
        await write(b"".join(told.shown(line) for line in fitting[len(fitting) - min(tail, len(fitting)) :]))
        while follow and not told.done and (piece := await follower.next()) is not None:
            await _write_lines(lines.add(piece), told, write)
        await _write_lines(lines.rest(), told, write)
    finally:
        follower.close()


async def _write_lines(lines: list[Line], told: _Told, write: Write) -> None:
    data = b"".join(told.shown(line) for line in lines if told.fits(line))
    if data:
        await write(data)
