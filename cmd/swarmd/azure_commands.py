"""`swarmd azure …`: virtual machines with Docker on Azure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

import click

from .parameters import older_than
from .reporting import EXIT_FAILED, EXIT_USAGE, json_option, reporting

if TYPE_CHECKING:
    from types import ModuleType

    import trio

    from swarmlib_backends.azure import Azure


@click.group()
def azure() -> None:
    """Manage virtual machines with Docker on Azure.

    All commands also take the options of the azure backend; `swarmd backends azure` explains them.

    \b
      swarmd azure create box --group prod --location westeurope
      docker -H ssh://swarm@ADDRESS run --rm busybox echo hello
      swarmd azure rm box --group prod
    """


_MIXED: Final = {"ignore_unknown_options": True}
_options = click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF azure]...")
_dry = click.option("--dry-run", is_flag=True, help="Only print what would be done.")


def _run_azure(words: Sequence[str], work: Callable[[ModuleType, Azure, trio.CancelScope], Awaitable[bool]]) -> None:
    """Run a command on the typed options, and exit: with 1 if it returns False, or as `swarmd run` after a signal.

    What a signal interrupts is undone first, within the scope that the command gets; a second signal cancels that.
    """
    with reporting(EXIT_USAGE):
        try:
            from . import azure as command
        except ModuleNotFoundError as exc:
            raise click.ClickException(f"this needs Azure's SDK: pip install 'swarmlib[azure]' ({exc})") from exc
        chosen = command.options(words)
    import trio

    from .serve import run_until_signal

    closing = trio.CancelScope()
    done: list[bool] = []

    async def run() -> None:
        done.append(await work(command, chosen, closing))

    with reporting(EXIT_FAILED):
        code = run_until_signal(run, closing.cancel)
    raise SystemExit(code or (0 if done == [True] else EXIT_FAILED))


@azure.command(context_settings=_MIXED)
@click.argument("name")
@_dry
@click.option("--no-wait", is_flag=True, help="Do not wait until Docker answers.")
@json_option
@_options
def create(name: str, dry_run: bool, no_wait: bool, as_json: bool, words: tuple[str, ...]) -> None:
    """Make a machine with Docker, wait until that answers, and print how to reach it.

    Repeating the command gives the same machine, and starts it if it is off. If it fails or is interrupted, what it has
    made is removed again, for as long as Azure needs for that; a second signal ends it at once, and what is left is
    named.
    """
    how = {"dry_run": dry_run, "as_json": as_json, "wait": not no_wait}
    _run_azure(words, lambda command, chosen, closing: command.create(chosen, closing, name, **how))


@azure.command("ls", context_settings=_MIXED)
@json_option
@_options
def azure_ls(as_json: bool, words: tuple[str, ...]) -> None:
    """List the machines of the group."""
    _run_azure(words, lambda command, chosen, _closing: command.ls(chosen, as_json=as_json))


@azure.command("rm", context_settings=_MIXED)
@click.argument("name")
@_options
def azure_rm(name: str, words: tuple[str, ...]) -> None:
    """Remove a machine, with its disk, interface and address; and what it shared, if it was the last user.

    A machine that swarmlib did not make is only removed with --not-ours.
    """
    _run_azure(words, lambda command, chosen, closing: command.rm(chosen, closing, name))


@azure.command(context_settings=_MIXED)
@older_than("Keep newer resources, which may still be in use by a creation.")
@click.option("--everywhere", is_flag=True, help="Sweep every group of the subscription, not only --group.")
@_dry
@_options
def sweep(older_than: float, everywhere: bool, dry_run: bool, words: tuple[str, ...]) -> None:
    """Remove what runs that crashed have left behind: what has swarmlib's tags, and no complete machine.

    The exit status is 1 if something could not be removed.
    """
    options = {"everywhere": everywhere, "dry_run": dry_run}
    _run_azure(words, lambda command, chosen, _closing: command.sweep(chosen, older_than, **options))
