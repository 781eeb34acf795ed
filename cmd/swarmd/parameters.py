"""The values of options that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def duration(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Return the seconds of an option that takes a time such as 90s or 1h; None if it is not given."""
    from swarmlib.quantities import seconds

    try:
        return None if value is None else seconds(value)
    except ValueError as exc:
        raise click.BadParameter(str(exc), context, parameter) from exc


def older_than(help: str) -> Callable[[Any], Any]:
    """Return the option of a sweep that says how old its finds must be: seconds, by default of an hour."""
    return click.option(
        "--older-than", metavar="DURATION", callback=duration, default="1h", show_default=True, help=help
    )
