"""`swarmd policy pending`, `approve` and `deny`: the calls that a running swarmd holds until they are approved."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import click

from . import controlling
from .reporting import json_option


@click.command()
@json_option
@controlling.option
def pending(as_json: bool, control: Path | None) -> None:
    """List the calls that wait for approval in a running swarmd: who asks, since when, and what will be lost."""
    from swarmlib import Request, Verb
    from swarmlib.terminal import escaped

    for held in controlling.ask(control, Request(Verb.LS, ("held",))):
        for line in [json.dumps(held)] if as_json else _lines_of(held):
            click.echo(escaped(line))


def _lines_of(held: Mapping[str, Any]) -> Iterator[str]:
    about: Mapping[str, str] = held["object"]
    name = "/".join(each for each in (about["kind"], about.get("name", "")) if each)
    yield f"{held['id']}  {held['operation']} {name}, asked by {held['caller'] or 'an unknown client'}"
    yield f"  since {held['since']}, until {held['until']}, by rule {held['rule']!r}"
    lost: Mapping[str, Any] = held["lost"]
    for asked in (held["params"], held["body"]):
        fields = cast("Mapping[str, Any]", asked if isinstance(asked, Mapping) else {"body": asked} if asked else {})
        yield from (f"  {what}: {json.dumps(value)}" for what, value in fields.items())
    yield from (f"  will be lost: {what} {json.dumps(value)}" for what, value in lost.items())


@click.command()
@controlling.option
@click.argument("id")
def approve(id: str, control: Path | None) -> None:
    """Let the call ID pass, which waits for approval."""
    from swarmlib import Request, Verb

    controlling.ask(control, Request(Verb.START, ("held", id)))


@click.command()
@click.option("--reason", default="", metavar="TEXT", help="What the client is told.")
@controlling.option
@click.argument("id")
def deny(id: str, reason: str, control: Path | None) -> None:
    """Deny the call ID, which waits for approval."""
    from swarmlib import Request, Verb

    controlling.ask(control, Request(Verb.STOP, ("held", id), {"reason": reason}))
