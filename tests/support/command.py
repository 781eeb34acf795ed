"""The command swarmd, run in this process: that is quicker than a process of its own, and proves the same."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from typing import NamedTuple

import pytest

from swarmd import logs
from swarmd.cli import cli


class Result(NamedTuple):
    """What the command has written."""

    stdout: str
    stderr: str


def invoke(*words: str, code: int = 0, env: dict[str, str] | None = None) -> Result:
    """Run the command to its end, which must be with this exit code."""
    out, err = (TextIOWrapper(BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with logging_kept(), redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patched:
        for name, value in (env or {}).items():
            patched.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            cli.main(words, prog_name="swarmd")
    written = Result(*(each.buffer.getvalue().decode() for each in (out, err)))
    assert ended.value.code == code, written
    return written


@contextmanager
def logging_kept() -> Iterator[None]:
    """Undo at the end what the command sets up in its process: handlers, levels and hooks."""
    root, levels = logging.getLogger(), {name: logging.getLogger(name).level for name in logs.OURS}
    handlers, hook = root.handlers[:], sys.unraisablehook
    try:
        yield
    finally:
        root.handlers[:] = handlers
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        logging.captureWarnings(False)
        sys.unraisablehook = hook
