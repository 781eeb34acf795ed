"""A file that is watched: each change of it is seen, also one that leaves its time as it was."""

import os
from pathlib import Path

import pytest
import trio

from swarmlib import Invalid
from swarmlib_backends.watched_file import WatchedFile


@pytest.mark.parametrize("text", ["longer than before", "after"])
async def test_a_change_is_seen_though_the_file_has_the_time_that_it_had(text: str, tmp_path: Path) -> None:
    file, other = tmp_path / "file", tmp_path / "other"
    file.write_text("first")
    watched = WatchedFile(file)
    assert await watched.read() == "first"
    before = file.stat()
    other.write_text(text)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)  # as most editors write
    with trio.fail_after(10):
        await watched.changed()
    assert await watched.read() == text


async def test_a_file_that_goes_and_comes_back_has_changed_each_time(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("text")
    watched = WatchedFile(file)
    await watched.read()
    file.unlink()
    with trio.fail_after(10):
        await watched.changed()
    with pytest.raises(Invalid, match="No such file or directory"):
        await watched.read()
    file.write_text("text")
    with trio.fail_after(10):
        await watched.changed()
