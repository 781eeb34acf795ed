"""How commands reach a running swarmd: by its control socket."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from .reporting import EXIT_FAILED, EXIT_USAGE, reporting

if TYPE_CHECKING:
    from swarmlib import Request

VARIABLE: Final = "SWARMD_CONTROL"

option = click.option(
    "--control",
    envvar=VARIABLE,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help=f"Control socket of the running swarmd.  [default: ${VARIABLE}, else that of the only one]",
)


def ask(control: Path | None, request: Request) -> Any:
    """Ask a running swarmd, and return its answer. Exit with a message if there is none, or it refuses."""
    import trio

    from swarmlib_backends import control as sockets

    with reporting(EXIT_USAGE):
        path = control or trio.run(sockets.found, request.path[0])
    with reporting(EXIT_FAILED):
        return trio.run(sockets.ask, path, request)
