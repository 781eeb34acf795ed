"""`judge FILE`: a stage that writes down each request as a stage sees it, for the benches that attack.

A line of the file is a JSON object: verb, path, params, body (decoded), and `unread`: why the body could not be.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from swarmlib import Filter, Request, SwarmError, argument


@dataclass
class Judge(Filter):
    """Write down each request before it goes on."""

    file: str = argument("where to write")

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Keep the file open."""
        self._file = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            yield
        finally:
            os.close(self._file)

    async def send(self, request: Request) -> None:
        """Write the request down, and pass it on."""
        line: dict[str, Any] = {"verb": request.verb, "path": request.path, "params": dict(request.params)}
        if request.body is not None:
            try:
                line["body"] = request.body.data
            except SwarmError as exc:
                line["unread"] = str(exc)
        os.write(self._file, json.dumps(line, default=repr).encode() + b"\n")
        await self.next.send(request)
