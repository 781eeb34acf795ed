"""A file of members, one chain per line, that is read again when it changes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from swarmlib import Chain, ChainSyntaxError, Invalid, SwarmError

from ..watched_file import WatchedFile
from .lasting import lasting
from .member import Member
from .member_source import source_of
from .members import Members

_log = logging.getLogger(__name__)


class MembersFile:
    """Keeps the members in step with a file; members added in other ways are not affected."""

    def __init__(self, path: Path, members: Members) -> None:
        self._path = path
        self._members = members
        self._joined: dict[str, Member] = {}
        self._file = WatchedFile(path)

    async def read(self) -> None:
        """Add and remove members so that they match the file.

        Raises:
            Invalid: the file can't be read, or a line is not a chain; nothing is changed then.
            SwarmError: a chain can't be opened; those before it have joined.
        """
        wanted = await chains_in(self._file)
        for text in self._joined.keys() - wanted.keys():
            await self._members.leave(self._joined.pop(text))
        for text, chain in wanted.items():
            if text not in self._joined:
                self._joined[text] = await self._members.join(chain)

    async def follow(self) -> None:
        """Read the file again whenever it changes; one that can't be used is logged, and changes nothing."""
        await lasting(f"balance: following {self._path}", self._follow)

    async def _follow(self) -> None:
        while True:
            await self._file.changed()
            try:
                await self.read()
            except SwarmError as exc:
                _log.error("the members are unchanged: %s", exc.message)


async def chains_in(file: WatchedFile) -> Mapping[str, Chain]:
    """Read the chains of a file by their texts.

    Raises:
        Invalid: the file can't be read, or a line is not a chain.
    """
    found: dict[str, Chain] = {}
    for number, line in enumerate((await file.read()).splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            found[text] = Chain.read(text)
        except ChainSyntaxError as exc:
            raise Invalid(f"{file.path}, line {number}: {exc.message}") from exc
        if source_of(found[text]) is not None:
            name = found[text].name
            raise Invalid(
                f"{file.path}, line {number}: {name} has members of its own: name it as an argument of balance"
            )
    return found
