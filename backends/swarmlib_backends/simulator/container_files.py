"""The operations of the files in containers."""

from __future__ import annotations

import base64
import posixpath
from typing import Any

import orjson

from swarmlib import BytesStream, Json, Request

from ..dockerapi.operations import ContainerArchive, ContainerArchiveInfo, PutContainerArchive
from ..dockerapi.status import refusal
from ..enginekit.operations import answers, ref_of
from ..enginekit.stdio import stream_headers
from .container import Container
from .engine import Family
from .files import tar
from .paths import check_length
from .request_fields import upload_of


class ContainerFiles(Family):
    """Answers what is asked of the files in containers."""

    @answers("ContainerChanges")
    async def _changes(self, request: Request) -> Json:
        return Json.from_data(self.engine.find(ref_of(request)).files.changes() or None)

    @answers("ContainerExport")
    async def _export(self, request: Request) -> None:
        container = self.engine.find(ref_of(request))
        nodes = ((path.lstrip("/"), node) for path, node in container.files.merged().items())
        headers = stream_headers(b"application/octet-stream")
        await request.reply.ack(stream=BytesStream(tar(dict(sorted(nodes)))), details={"headers": headers})
        self.engine.tell(container, "export")

    @answers("ContainerArchive")
    async def _archive(self, request: Request) -> None:
        container, path, stat = self._place(request, ContainerArchive.of(request).path)
        self.engine.tell(container, "archive-path")
        headers = [*stream_headers(b"application/x-tar"), _stat_header(stat)]
        await request.reply.ack(stream=BytesStream(container.files.pack(path)), details={"headers": headers})

    @answers("ContainerArchiveInfo")
    async def _archive_info(self, request: Request) -> None:
        _, _, stat = self._place(request, ContainerArchiveInfo.of(request).path)
        await request.reply.ack(details={"headers": [*stream_headers(None), _stat_header(stat)]})

    @answers("PutContainerArchive")
    async def _put_archive(self, request: Request) -> None:
        container, path, stat = self._place(request, PutContainerArchive.of(request).path)
        if not stat["mode"] >> 31:
            raise refusal(400, "extraction point is not a directory")
        data = await upload_of(request)
        try:
            container.files.unpack(path, data, now=self.engine.clock.now())
        except OSError as exc:
            raise refusal(403, "mounted volume is marked read-only") from exc
        self.engine.tell(container, "extract-to-dir")

    def _place(self, request: Request, given: str) -> tuple[Container, str, dict[str, Any]]:
        container = self.engine.find(ref_of(request))
        path = posixpath.normpath(posixpath.join("/", given))
        check_length(path, container.id)
        stat = container.files.stat(path)
        if stat is None:
            raise refusal(404, f"Could not find the file {given} in container {ref_of(request)}")
        return container, path, stat


def _stat_header(stat: dict[str, Any]) -> tuple[bytes, bytes]:
    return b"X-Docker-Container-Path-Stat", base64.b64encode(orjson.dumps(stat))
