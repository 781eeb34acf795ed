"""`swarmd azure`: machines with Docker on them, made, listed and removed from the command line."""

from __future__ import annotations

import shlex
import sys
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import click
import trio

import swarmlib
from swarmlib import Chain, NotFound
from swarmlib.errors import ungrouped
from swarmlib_backends import Docker
from swarmlib_backends.azure import Azure, billing, objects
from swarmlib_backends.azure.access import Access
from swarmlib_backends.azure.billing import with_address
from swarmlib_backends.azure.client import Arm, connected, parts
from swarmlib_backends.azure.machines import check_ours, default_spec, machines
from swarmlib_backends.azure.objects import Machine
from swarmlib_backends.azure.power import OFF
from swarmlib_backends.azure.provisioning import Maker, Plan, provisioning
from swarmlib_backends.azure.readiness import until_answers
from swarmlib_backends.azure.removal import Remover, Say, named
from swarmlib_backends.azure.resources import MACHINES
from swarmlib_backends.azure.shutdown import start
from swarmlib_backends.azure.spec import REACH
from swarmlib_backends.azure.sweeping import orphans

from . import show


def options(words: Sequence[str]) -> Azure:
    """Read the options of the azure backend as they are typed. Raises ChainSyntaxError if they are wrong."""
    (backend,) = Chain.read(f"azure {shlex.join(words)}").backends
    assert isinstance(backend, Azure)
    return backend


async def create(
    azure: Azure, closing: trio.CancelScope, name: str, *, dry_run: bool, as_json: bool, wait: bool
) -> bool:
    """Make a machine with Docker on it, wait until that answers, and print how to reach it."""
    if azure.private and not azure.via:
        text = "is reached from its own network only; --via reaches it through a jump host there"
        click.echo(f"{name}, without a public address, {text}", err=True)
    with progress() as say:
        async with _opened(azure, say, closing) as (arm, access, maker):
            spec = default_spec(azure, name, access, engine=True)
            if dry_run:
                _print_plan(await maker.plan(spec), spec.image, as_json=as_json)
                return True

            async def serves(body: dict[str, Any]) -> None:
                machine = Machine.of(await arm.get(str(body["id"]), expand="instanceView"))
                if machine.power in OFF:  # it was there already
                    say(machine.arm_id, "starting")
                    await start(arm, azure.group, machine)
                await _until_reached(access, say, machine, wait=wait)

            made = await maker.make(spec, serves)
            machine = Machine.of(await arm.get(str(made["id"]), expand="instanceView"))
            addressed = await with_address(arm, azure.group)
            told = _told(machine, addressed)
            address, certificates = await access.engine(machine)
            if as_json:
                click.echo(show.as_json(told | {"docker_host": address, "docker_cert_path": certificates}))
                return True
            _print_way(access, machine, address, certificates)
            kept = [each for each in told["billed"] if each != "machine"]
            click.echo(f"billed: {_cell(told['billed'])}; while deallocated: {_cell(kept)}", err=True)
            _print_besides(addressed)
            return True


async def _until_reached(access: Access, say: Say, machine: Machine, *, wait: bool) -> None:
    if machine.tags.get(REACH) != "tls":
        say(machine.arm_id, "asking for the host key of")
        await access.host_keys.learn(machine)
    if not wait:
        return
    say(machine.arm_id, "waiting for Docker on")
    address, certificates = await access.engine(machine)
    options = dict[str, str]() if certificates else access.ssh_options(machine)
    async with swarmlib.connect(Docker(address, cert_path=certificates, ssh_options=options)) as engine:
        await until_answers(engine, machine.name)


def _print_way(access: Access, machine: Machine, address: str, certificates: str) -> None:
    """Print the command that reaches a machine's engine; and on stderr what ssh needs for it, if it is reached so."""
    secured = f"DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={shlex.quote(certificates)} " if certificates else ""
    click.echo(f"{secured}docker -H {address} ps")
    if not certificates:
        click.echo(f"in ~/.ssh/config:\n{access.ssh_config(machine, address.rpartition('@')[2])}", err=True)


def _print_plan(plan: Plan, image: str, *, as_json: bool) -> None:
    """Print what a creation would do; and on stderr which machines it would try, and what could not be checked."""
    if as_json:
        click.echo(show.as_json([{"id": id, "there": there} for id, there in plan.resources.items()]))
    else:
        disk = [f"make   its disk, of type StandardSSD_LRS, from {image}"] if plan.choices else []
        lines = [f"{'there' if there else 'make '}  {id}" for id, there in plan.resources.items()]
        click.echo("\n".join(lines + disk))
    if plan.choices:
        click.echo(f"tried in this order: {'; '.join(map(str, plan.choices))}", err=True)
    for each in plan.unchecked:
        click.echo(f"not checked, because your role does not let you read it: {each}", err=True)


async def ls(azure: Azure, *, as_json: bool) -> bool:
    """List the machines of the group."""
    with ungrouped():
        async with connected(azure.subscription, azure.cloud) as arm:
            found = await machines(arm, azure.group)
            addressed = await with_address(arm, azure.group)
    told = [_told(each, addressed) for each in found]
    if as_json:
        click.echo(show.as_json(told))
        return True
    titles = ("name", "power", "since", "billed", "size", "location")
    show.print_table(titles, [[_cell(each[title]) for title in titles] for each in told], terminal=sys.stdout.isatty())
    _print_besides(addressed)
    return True


def _print_besides(addressed: Collection[str]) -> None:
    if billing.has_gateway(addressed):
        click.echo("billed besides: a NAT gateway with its address, until the last machine is removed", err=True)


def _cell(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "+".join(value)


def _told(machine: Machine, addressed: Collection[str]) -> dict[str, Any]:
    """Return what `ls` shows about a machine."""
    return {
        "name": machine.name,
        "power": machine.power or str(machine.body["properties"].get("provisioningState", "")).lower(),
        "since": billing.since(machine),
        "billed": billing.billed(machine, addressed),
        "size": machine.size,
        "location": str(machine.body["location"]),
        "id": machine.arm_id,
        "image": machine.image,
        "tags": machine.tags,
    }


async def rm(azure: Azure, closing: trio.CancelScope, name: str) -> bool:
    """Remove a machine, with its disk, interface and address; return whether all of that could be removed."""
    with progress() as say:
        async with _opened(azure, say, closing) as (arm, _, maker):
            found = await arm.find(maker.id(MACHINES, name))
            if found is None:
                raise NotFound(f"no such virtual machine in {azure.group}: {name}")
            check_ours(azure, Machine.of(found))
            left = named(await maker.remove(found))
    for each in objects.kept(found):
        click.echo(f"kept: {each}", err=True)
    return _report(left)


async def sweep(azure: Azure, older_than: float, *, everywhere: bool, dry_run: bool) -> bool:
    """Remove what crashed runs have left, and return whether all of it could be removed."""
    left: list[str] = []
    with progress() as say, ungrouped():
        async with connected(azure.subscription, azure.cloud) as arm:
            found = await orphans(arm, "" if everywhere else azure.group, older_than)
            for group, ids in found.items():
                if dry_run:
                    click.echo("\n".join(f"remove  {id}" for id in ids))
                else:
                    left += named(await Remover(arm, group, say).remove(ids))
    return _report(left)


def _report(left: Sequence[str]) -> bool:
    """Print what could not be removed; return whether there is none."""
    for each in left:
        click.echo(f"not removed: {each}", err=True)
    return not left


@asynccontextmanager
async def _opened(azure: Azure, say: Say, closing: trio.CancelScope) -> AsyncGenerator[tuple[Arm, Access, Maker]]:
    with ungrouped():
        async with connected(azure.subscription, azure.cloud) as arm:
            access = Access(azure, arm)
            async with provisioning(arm, azure.group, access, say, closing) as maker:
                yield arm, access, maker


@contextmanager
def progress() -> Generator[Callable[[str, str], None]]:
    """Show the progress of each resource on stderr: with spinners on a terminal, else in a line for each step."""
    if not sys.stderr.isatty():
        yield lambda resource, what: click.echo(f"{what} {_short(resource)}", err=True)
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown:
        tasks: dict[str, Any] = {}

        def say(id: str, what: str) -> None:
            done = what in ("made", "removed")
            if id not in tasks:
                tasks[id] = shown.add_task("", total=1)
            shown.update(tasks[id], description=f"{what} {_short(id)}", completed=int(done))

        yield say


def _short(id: str) -> str:
    _, kind, name = parts(id)
    return f"{kind.partition('/')[2]} {name}"
