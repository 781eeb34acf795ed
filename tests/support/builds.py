"""Classic builds through any Docker API, reduced to the comparable parts of their progress and of the built images."""

import io
import json
import re
import socket
import tarfile
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlencode

_SECONDS = 60
_ID = re.compile(r"\b([0-9a-f]{64}|[0-9a-f]{12})\b")
_HOST_PATH = re.compile(r"/tmp/engine-\w+/data/\S*?/merged(?=/)")

Content = str | bytes | None
"""A file's; None for a folder."""


def context(files: Mapping[str, Content], format: int = tarfile.DEFAULT_FORMAT) -> bytes:
    """A tar with these files; what begins with `->` is a link to what follows."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            data = content.encode() if isinstance(content, str) else content or b""
            info.mode = 0o755 if content is None else 0o644
            if content is None:
                info.type = tarfile.DIRTYPE
            elif data.startswith(b"->"):
                info.type, info.linkname, data = tarfile.SYMTYPE, data[2:].decode(), b""
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class Api:
    """A Docker API at a unix socket."""

    def __init__(self, host: str) -> None:
        self._path = host.removeprefix("unix://")

    def ask(self, method: str, target: str, body: bytes | None = None) -> tuple[int, bytes]:
        """The status and the body of an answer."""
        with closing(HTTPConnection("localhost", timeout=_SECONDS)) as client:
            client.sock = socket.socket(socket.AF_UNIX)
            client.sock.settimeout(_SECONDS)
            client.sock.connect(self._path)
            client.request(method, f"/v1.41{target}", body, {"Content-Type": "application/x-tar"})
            answer: HTTPResponse = client.getresponse()
            return answer.status, answer.read()

    def value(self, target: str) -> Any:
        """The JSON of a GET."""
        status, body = self.ask("GET", target)
        assert status == 200, body
        return json.loads(body)

    def build(self, dockerfile: str, files: Mapping[str, Content] | None = None, **query: Any) -> list[Any]:
        """The lines of a build's progress, or its status and message."""
        return self.build_of(context({"Dockerfile": dockerfile, **(files or {})}), **query)

    def build_of(self, data: bytes, **query: Any) -> list[Any]:
        """As `build`, of a whole context."""
        status, body = self.ask("POST", f"/build?{urlencode(query, doseq=True)}", data)
        lines = [json.loads(line) for line in body.splitlines()]
        return lines if status == 200 else [status, *lines]


def plain(lines: list[Any]) -> list[Any]:
    """Progress without what is an engine's own: ids, paths of its machine; with each run's output in one piece."""
    joined: dict[str, str] = {}
    found: list[Any] = []
    for line in lines:
        text = line.get("stream") if isinstance(line, dict) else None
        if text is None:
            found += [*_output(joined), _plain(line)]
        elif _is_builders(text):
            found += [*_output(joined), _plain(text)]
        else:
            stream = "stderr" if text.startswith("\x1b[91m") else "stdout"
            joined[stream] = joined.get(stream, "") + text.removeprefix("\x1b[91m").removesuffix("\x1b[0m")
    return found + _output(joined)


def _output(joined: dict[str, str]) -> list[Any]:
    found = [(stream, joined[stream]) for stream in sorted(joined) if joined[stream].strip("\n")]
    joined.clear()
    return [_plain(list(each)) for each in found]


def _is_builders(text: str) -> bool:
    return text.startswith(("Step ", " ---> ", "Removing ", "Successfully ", "# Executing", "Note: ", "[Warning]"))


def _plain(value: Any) -> Any:
    return json.loads(_HOST_PATH.sub("", _ID.sub("<id>", json.dumps(value))))
