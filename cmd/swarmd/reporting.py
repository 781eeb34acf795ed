"""How the commands end, and what they all print in one way."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, cast

import click

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
"""What shells expect after SIGINT."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@contextmanager
def reporting(exit_code: int) -> Generator[None]:
    """Report a failure in one line (a chain's with its caret below) and exit with `exit_code`."""
    try:
        yield
    except click.ClickException:
        raise
    except Exception as exc:  # the last place that can report it in words
        from .logs import say

        for line in _failures(exc):
            say(f"error: {line}", logging.ERROR)
        logging.getLogger(__name__).info("traceback", exc_info=exc)
        raise SystemExit(exit_code) from None


def _failures(exc: BaseException) -> list[str]:
    from swarmlib import SwarmError

    if isinstance(exc, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", exc)
        return [line for one in group.exceptions for line in _failures(one)]
    if isinstance(exc, SwarmError):
        return [f"{exc.backend}: {exc.message}" if exc.backend else exc.message]
    if isinstance(exc, OSError) and exc.filename:
        return [f"can't open {exc.filename}: {exc.strerror}"]
    return [f"{type(exc).__name__}: {exc}"]
