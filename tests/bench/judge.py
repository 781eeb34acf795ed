"""`judge FILE`: a stage that writes down each message as a stage sees it, for the benches that attack.

A line of the file is a JSON object: verb, path, args, value (decoded), and `unread`: why the value could not be.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from swarmlib import Filter, Json, Message, SwarmError, argument


@dataclass
class Judge(Filter):
    """Write down each message before it goes on."""

    file: str = argument("where to write")

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Keep the file open."""
        self._file = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            yield
        finally:
            os.close(self._file)

    async def send(self, message: Message) -> None:
        """Write the message down, and pass it on."""
        line: dict[str, Any] = {"verb": message.verb, "path": message.path, "args": dict(message.args)}
        if isinstance(message.value, Json):
            try:
                line["value"] = message.value.data
            except SwarmError as exc:
                line["unread"] = str(exc)
        os.write(self._file, json.dumps(line, default=repr).encode() + b"\n")
        await self.next.send(message)
