"""`swarmd tenant`: what the tenants of a running swarmd use, and leases."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from . import controlling
from .parameters import duration
from .reporting import EXIT_USAGE, json_option, reporting

_KIND: Final = "tenants"


@click.group()
def tenant() -> None:
    """Lease Docker hosts of a running swarmd, and see what its tenants use.

    A lease is a Docker host for a time. At its end, everything on it is removed.

    \b
      swarmd 'dockerserver unix:///run/swarm.sock' 'tenant tenants.toml' docker
      eval "$(swarmd tenant lease --ttl 1h --quota memory=2GiB)"
      docker run --rm busybox echo hello
      swarmd tenant ls
    """


@tenant.command()
@click.option("--ttl", required=True, callback=duration, metavar="DURATION", help="Time after which the lease ends.")
@click.option("--idle", callback=duration, metavar="DURATION", help="End it after this time without a call.")
@click.option("--connection", is_flag=True, help="End it 10 s after its last connection has gone.")
@click.option("--tcp", default="", metavar="HOST:PORT", help="Listen on an address, for whoever presents a token.")
@click.option("--quota", "quotas", multiple=True, metavar="RESOURCE=LIMIT", help="Limit that replaces the file's.")
@controlling.option
@json_option
@click.argument("name", default="")
def lease(
    ttl: float,
    idle: float | None,
    connection: bool,
    tcp: str,
    quotas: tuple[str, ...],
    control: Path | None,
    as_json: bool,
    name: str,
) -> None:
    """Lease a Docker host, and print how to use it, for a shell.

    NAME becomes the end of its tenant's name. What it may use is said by [lease] in the file of the tenants.
    """
    with reporting(EXIT_USAGE):
        limits = dict(map(_limit, quotas))
    asked = {"ttl": ttl, "idle": idle, "connection": connection, "tcp": tcp, "limits": limits, "name": name}
    made = _spawn(control, asked)
    click.echo(json.dumps(made) if as_json else "\n".join(_exports(made)))


def _limit(text: str) -> tuple[str, int]:
    from swarmlib_backends.tenant.resources import read

    name, _, value = text.partition("=")
    return name, read(name, value)


def _spawn(control: Path | None, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    from swarmlib import Json, Request, Verb

    made: Mapping[str, Any] = controlling.ask(control, Request(Verb.SPAWN, (_KIND,), body=Json.from_data(asked)))
    return made


def _exports(made: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines by which a shell uses a lease. A token goes to the docker CLI by its configuration."""
    yield f"# {made['Tenant']}: {made['Seconds']} s"
    yield f"export DOCKER_HOST={shlex.quote(made['Host'])}"
    if "Token" in made:
        folder = Path(tempfile.mkdtemp(prefix="swarmd-lease-"))
        config = folder / "config.json"
        config.touch(mode=0o600)
        config.write_text(json.dumps({"HttpHeaders": {"Authorization": f"Bearer {made['Token']}"}}), "utf-8")
        yield f"export DOCKER_CONFIG={shlex.quote(str(folder))}"


@tenant.command("ls")
@controlling.option
@json_option
def list_tenants(control: Path | None, as_json: bool) -> None:
    """List the tenants, and the leases with the time that they have left."""
    rows = _rows(control)
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        left = f"{row['Seconds']} s left of its lease at {row['Host']}" if "Seconds" in row else ""
        click.echo(f"{row['Name']:<32} {left}".rstrip())


@tenant.command()
@controlling.option
@json_option
@click.argument("name", default="")
def usage(control: Path | None, as_json: bool, name: str) -> None:
    """Print what the tenants use, or the one of this NAME, and their limits."""
    from swarmlib_backends.tenant.resources import shown

    rows = [row for row in _rows(control) if name in ("", row["Name"])]
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        for resource, amount in row["Used"].items():
            limit = row["Limits"].get(resource)
            most = "" if limit is None else f" of {shown(resource, limit)}"
            if amount or limit is not None:
                click.echo(f"{row['Name']:<32} {resource:<10} {shown(resource, amount)}{most}")


@tenant.command()
@controlling.option
@click.argument("name")
def end(control: Path | None, name: str) -> None:
    """End the lease whose tenant has this NAME, and wait until everything on it is removed."""
    from swarmlib import Request, Verb

    controlling.ask(control, Request(Verb.RM, (_KIND, name)))


def _rows(control: Path | None) -> Sequence[Mapping[str, Any]]:
    from swarmlib import Request, Verb

    rows: Sequence[Mapping[str, Any]] = controlling.ask(control, Request(Verb.LS, (_KIND,)))
    return rows
