"""The command swarmd, run in this process: that is quicker than a process of its own, and proves the same."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from click.testing import CliRunner, Result

from swarmd import logs
from swarmd.cli import cli


def invoke(*words: str, code: int = 0, env: dict[str, str] | None = None) -> Result:
    """Run the command to its end, which must be with this exit code."""
    with logging_kept():
        done = CliRunner().invoke(cli, words, prog_name="swarmd", env=env)
    assert done.exit_code == code, (done.stdout, done.stderr, done.exception)
    return done


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
