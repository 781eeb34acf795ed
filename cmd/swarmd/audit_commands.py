"""`swarmd audit`: what can be said of the files of the stage 'audit'."""

from __future__ import annotations

from pathlib import Path

import click

from .reporting import EXIT_FAILED, EXIT_USAGE, reporting


@click.group()
def audit() -> None:
    """Files of the stage 'audit': verify that nobody changed them.

    \b
      swarmd 'dockerserver unix:///tmp/all.sock' 'audit /var/log/swarmlib/audit.log' docker
      swarmd audit verify /var/log/swarmlib/audit.log.1 /var/log/swarmlib/audit.log
    """


@audit.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
def verify(files: tuple[Path, ...]) -> None:
    """Verify the lines of FILES, the oldest file first; - is standard input. End with 1 if one is wrong.

    Each line holds its number, the hash of the line before, and its own. So a line is found that was changed, removed,
    moved or cut off. Lines that were removed at the very end leave no trace in the file: compare the last line that is
    printed with what was noted elsewhere.
    """
    from swarmlib_backends.audit.verify import Verification

    found = Verification()
    with reporting(EXIT_USAGE):
        for file in files:
            with click.open_file(str(file), "rb") as opened:
                found.read(str(file), opened)
        found.end()
    for line in (*found.problems, *found.remarks):
        click.echo(line)
    if found.problems:
        click.echo(f"problems: {len(found.problems)}; lines: {found.lines}")
        raise SystemExit(EXIT_FAILED)
    click.echo(f"lines in order: {found.lines}; the last is {found.last.number}, with the hash {found.last.digest}")
