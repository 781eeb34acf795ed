"""`swarmd policy`: what files of rules decide, said without an engine."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .reporting import EXIT_FAILED, EXIT_USAGE, json_option, reporting

if TYPE_CHECKING:
    from swarmlib_backends.policy.explain import Judged

_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.group()
def policy() -> None:
    """Files of rules for the stage 'policy': check, explain, replay.

    \b
      swarmd policy check ci.toml
      swarmd policy explain ci.toml docker run --privileged busybox
      swarmd policy replay session.rec ci.toml
      swarmd 'dockerserver unix:///tmp/all.sock' 'policy ci.toml' docker
    """


@policy.command()
@_file
def check(file: Path) -> None:
    """Read a file of rules, and say how many operations they allow."""
    from swarmlib_backends.policy.explain import read

    with reporting(EXIT_USAGE):
        click.echo(f"{file}: {read(file).summary}")


@policy.command(context_settings={"allow_interspersed_args": False})
@json_option
@_file
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def explain(as_json: bool, file: Path, command: tuple[str, ...]) -> None:
    """Run a docker COMMAND against a simulated engine, and say what the rules decide about each of its calls."""
    from swarmlib_backends.policy import explain

    with reporting(EXIT_USAGE):
        rules = explain.read(file)
    with reporting(EXIT_FAILED):
        raise SystemExit(explain.explain(rules, command, partial(_show, as_json=as_json)))


@policy.command()
@json_option
@click.argument("recording", type=click.Path(path_type=Path, dir_okay=False))
@_file
def replay(as_json: bool, recording: Path, file: Path) -> None:
    """Say what the rules decide about each call of a RECORDING; end with 1 if they deny one."""
    from swarmlib_backends.policy import explain

    with reporting(EXIT_USAGE):
        found = list(explain.replay(explain.read(file), recording))
    for judged in found:
        _show(judged, as_json=as_json)
    raise SystemExit(0 if all(judged.verdict.allowed for judged in found) else EXIT_FAILED)


def _show(judged: Judged, *, as_json: bool) -> None:
    click.echo(json.dumps(judged.as_data()) if as_json else judged.line)
