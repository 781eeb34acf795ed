"""`swarmd aci`: what crashed runs have left behind on Azure Container Instances."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import click

from .parameters import older_than
from .reporting import EXIT_FAILED, EXIT_USAGE, json_option, reporting

if TYPE_CHECKING:
    from swarmlib_backends.aci import Aci


@click.group()
def aci() -> None:
    """Look after containers on Azure Container Instances.

    All commands also take the options of the aci backend; `swarmd backends aci` explains them.

    \b
      swarmd aci sweep --group burst --dry-run
    """


@aci.command(context_settings={"ignore_unknown_options": True})
@older_than("Keep newer containers, which a running swarmd may be about to remove.")
@click.option("--dry-run", is_flag=True, help="Only print what would be done.")
@json_option
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF aci]...")
def sweep(older_than: float, dry_run: bool, as_json: bool, words: tuple[str, ...]) -> None:
    """Remove what crashed runs have left: ended containers that were to be removed then, and starts that failed.

    The exit status is 1 if something could not be removed.
    """
    chosen = _options(words)
    import trio

    with reporting(EXIT_FAILED):
        removed, left = trio.run(_sweep, chosen, older_than, dry_run)
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, "removed": removed, "not_removed": left}))
    else:
        for id, why in removed.items():
            click.echo(f"{'remove ' if dry_run else 'removed'}  {id}: {why}")
        for id, why in left.items():
            click.echo(f"not removed: {id}: {why}", err=True)
    raise SystemExit(EXIT_FAILED if left else 0)


def _options(words: Sequence[str]) -> Aci:
    """Return the options of the backend as they are typed. Exit if they are wrong, or the SDK is not installed."""
    from swarmlib import Chain
    from swarmlib_backends.aci import Aci

    with reporting(EXIT_USAGE):
        try:
            import_module("swarmlib_backends.aci.sweeping")
        except ModuleNotFoundError as exc:
            raise click.ClickException(f"this needs Azure's SDK: pip install 'swarmlib[azure]' ({exc})") from exc
        (backend,) = Chain.read(f"aci {shlex.join(words)}").backends
    assert isinstance(backend, Aci)
    return backend


async def _sweep(chosen: Aci, older_than: float, dry_run: bool) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the ids of what was removed, each with the reason, and of what could not be, with the errors."""
    from swarmlib import SwarmError
    from swarmlib.errors import ungrouped
    from swarmlib_backends.aci.arm import Groups
    from swarmlib_backends.aci.sweeping import orphans
    from swarmlib_backends.azure.client import connected

    removed, left = dict[str, str](), dict[str, str]()
    with ungrouped():
        async with connected(chosen.subscription, chosen.cloud) as arm:
            groups = Groups(arm, chosen.group, chosen.location)
            for name, why in (await orphans(groups, older_than)).items():
                try:
                    if not dry_run:
                        await groups.delete(name)
                    removed[groups.id(name)] = why
                except SwarmError as exc:
                    left[groups.id(name)] = exc.message
    return removed, left
