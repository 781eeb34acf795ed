"""`swarmd azure …`: virtual machines with Docker on Azure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from .parameters import duration
from .reporting import EXIT_FAILED, EXIT_USAGE, json_option, reporting

if TYPE_CHECKING:
    from types import ModuleType

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


def _run_azure(words: Sequence[str], work: Callable[[ModuleType, Azure], Awaitable[Any]]) -> Any:
    """Run a command on the typed options. Exit if these are wrong, or the SDK is not installed."""
    with reporting(EXIT_USAGE):
        try:
            from . import azure as command
        except ModuleNotFoundError as exc:
            raise click.ClickException(f"this needs Azure's SDK: pip install 'swarmlib[azure]' ({exc})") from exc
        chosen = command.options(words)
    import trio

    with reporting(EXIT_FAILED):
        return trio.run(work, command, chosen)


@azure.command(context_settings=_MIXED)
@click.argument("name")
@_dry
@json_option
@_options
def create(name: str, dry_run: bool, as_json: bool, words: tuple[str, ...]) -> None:
    """Make a machine with Docker, and print how to reach it.

    Repeating the command gives the same machine. If it fails or is interrupted, what it has made is removed again.
    """
    _run_azure(words, lambda command, chosen: command.create(chosen, name, dry_run=dry_run, as_json=as_json))


@azure.command("ls", context_settings=_MIXED)
@json_option
@_options
def azure_ls(as_json: bool, words: tuple[str, ...]) -> None:
    """List the machines of the group."""
    _run_azure(words, lambda command, chosen: command.ls(chosen, as_json=as_json))


@azure.command("rm", context_settings=_MIXED)
@click.argument("name")
@_options
def azure_rm(name: str, words: tuple[str, ...]) -> None:
    """Remove a machine, with its disk, interface and address; and what it shared, if it was the last user."""
    _run_azure(words, lambda command, chosen: command.rm(chosen, name))


@azure.command(context_settings=_MIXED)
@click.option(
    "--older-than",
    metavar="DURATION",
    callback=duration,
    default="1h",
    show_default=True,
    help="Keep newer resources, which may still be in use by a creation.",
)
@click.option("--everywhere", is_flag=True, help="Sweep every group of the subscription, not only --group.")
@_dry
@_options
def sweep(older_than: float, everywhere: bool, dry_run: bool, words: tuple[str, ...]) -> None:
    """Remove what runs that crashed have left behind: what has swarmlib's tags, and no machine."""
    options = {"everywhere": everywhere, "dry_run": dry_run}
    left = _run_azure(words, lambda command, chosen: command.sweep(chosen, older_than, **options))
    raise SystemExit(EXIT_FAILED if left else 0)
