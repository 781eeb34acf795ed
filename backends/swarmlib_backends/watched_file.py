"""A text file that is read again when it has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import trio

from swarmlib import Invalid

_LOOK_SECONDS: Final = 1.0
"""Seconds between two checks of a file."""


class WatchedFile:
    """A file, and which of its versions was read last."""

    def __init__(self, path: Path) -> None:
        self.path = trio.Path(path)
        self._seen: object = None

    async def read(self) -> str:
        """Return the file's text.

        Raises:
            Invalid: it can't be read, or is not UTF-8.
        """
        self._seen = await self._stamp()
        try:
            return await self.path.read_text("utf-8")
        except OSError as exc:
            raise Invalid(f"{self.path}: {exc.strerror or exc}") from exc
        except UnicodeDecodeError as exc:
            raise Invalid(f"{self.path}: {exc}") from exc

    async def changed(self) -> None:
        """Wait until the file is another one than that which was read last."""
        while await self._stamp() == self._seen:  # noqa: ASYNC110 - a file tells nobody when it changes
            await trio.sleep(_LOOK_SECONDS)

    async def _stamp(self) -> object:
        """Return a value that changes when the file does."""
        try:
            found = await self.path.stat()
        except OSError as exc:
            return str(exc)
        return found.st_mtime_ns, found.st_size, found.st_ino
