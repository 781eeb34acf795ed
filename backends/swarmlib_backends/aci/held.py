"""The containers that were created and not started: Azure has nothing that doesn't run, so files have their records.

They are this user's on this machine alone, and may hold secrets, as variables do.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from swarmlib import Invalid

from .record import Record

_log = logging.getLogger(__name__)


class Held:
    """The records in a folder, a file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self) -> Iterator[Record]:
        """Yield all records. What is none is left alone, and logged."""
        for file in sorted(self._folder.glob("*.json")):
            try:
                yield Record.read(file.read_bytes())
            except FileNotFoundError:
                continue  # it has just been started, or removed
            except (OSError, Invalid) as exc:
                _log.warning("aci: %s is left alone: %s", file, exc)

    def save(self, record: Record) -> None:
        """Write a record; whoever reads meanwhile sees all of it, or what was there before.

        Raises:
            Invalid: the folder can't be written.
        """
        file = self._file(record)
        new = file.with_suffix(".new")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                out.write(record.written())
            new.replace(file)
        except OSError as exc:
            raise Invalid(f"can't write {file}: {exc.strerror}") from exc

    def has(self, record: Record) -> bool:
        """Return whether a record is there."""
        return self._file(record).exists()

    def forget(self, record: Record) -> None:
        """Remove a record, if it is there."""
        self._file(record).unlink(missing_ok=True)

    def _file(self, record: Record) -> Path:
        return self._folder / f"{record.id}.json"
