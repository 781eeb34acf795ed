"""`swarmd status` and `swarmd top`: what a running swarmd does, once or again and again."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from . import controlling
from .parameters import duration
from .reporting import EXIT_USAGE, json_option, reporting

if TYPE_CHECKING:
    from rich.console import RenderableType

    from .state_tables import State, Table

_INTERRUPTED: Final = 130

_sort_option = click.option("--sort", default="", metavar="COLUMN", help="Sort the tables that have this column by it.")


@click.command()
@_sort_option
@json_option
@controlling.option
def status(sort: str, as_json: bool, control: Path | None) -> None:
    """Print what a running swarmd does: its chain with rates, engines, operations, clients, calls, denials, tenants.

    On a terminal, it prints tables; elsewhere, each line begins with what it is about (`engine`, `client`), and its
    cells are separated by tabs. Rates are those of the last 5 to 10 seconds; those of operations, since the start.
    """
    _check(sort)
    state = _state(control)
    if as_json:
        click.echo(json.dumps(state))
    elif sys.stdout.isatty():
        from rich.console import Console

        Console().print(_drawn(state, None, sort))
    else:
        _print_plain(state, None, sort)


@click.command()
@click.option(
    "--interval", default="2s", show_default=True, callback=duration, metavar="DURATION", help="Time between looks."
)
@click.option("--count", type=click.IntRange(1), metavar="N", help="Number of looks.  [default: until Ctrl-C]")
@_sort_option
@json_option
@controlling.option
def top(interval: float, count: int | None, sort: str, as_json: bool, control: Path | None) -> None:
    """Show what a running swarmd does, again and again until Ctrl-C.

    Operations have their rates since the look before. Where the output is no terminal, it prints the lines of `swarmd
    status` with an empty line after each look; with --json, an object on a line.

    \b
      swarmd top --sort latency_ms
      swarmd top --json --count 1 | jq .engines
    """
    _check(sort)
    looks = _looks(control, interval, count)
    try:
        if as_json:
            for state, _ in looks:
                click.echo(json.dumps(state))
        elif sys.stdout.isatty():
            _live(looks, sort)
        else:
            for state, before in looks:
                _print_plain(state, before, sort)
                click.echo()
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None


def _check(sort: str) -> None:
    from .state_tables import check_title

    if sort:
        with reporting(EXIT_USAGE):
            check_title(sort)


def _state(control: Path | None) -> Any:
    from swarmlib import Request, Verb

    return controlling.ask(control, Request(Verb.GET, ("status",)))


def _looks(control: Path | None, interval: float, count: int | None) -> Iterator[tuple[State, State | None]]:
    """Yield the state again and again, each time with the one before."""
    from itertools import count as numbers
    from time import sleep

    before = None
    for number in numbers(1):
        state = _state(control)
        yield state, before
        before = state
        if number == count:
            return
        sleep(interval)


def _sorted_tables(state: State, before: State | None, sort: str) -> list[Table]:
    from .state_tables import tables

    return [table.sorted_by(sort) for table in tables(state, before)]


def _print_plain(state: State, before: State | None, sort: str) -> None:
    from .state_tables import chain, summary

    click.echo(f"summary\t{summary(state)}")
    for line in chain(state):
        click.echo(f"stage\t{line}")
    for table in _sorted_tables(state, before, sort):
        for cells in table.lines():
            click.echo("\t".join([table.name, *cells]))


def _live(looks: Iterator[tuple[State, State | None]], sort: str) -> None:
    from rich.live import Live

    with Live(screen=True, auto_refresh=False) as live:
        for state, before in looks:
            live.update(_drawn(state, before, sort), refresh=True)


def _drawn(state: State, before: State | None, sort: str) -> RenderableType:
    """Return the tables as a terminal shows them. A column in which no row has anything is left out."""
    from rich.console import Group
    from rich.text import Text

    from .state_tables import chain, summary

    parts: list[RenderableType] = [Text(summary(state), style="bold"), Text("\n".join(chain(state)))]
    for table in _sorted_tables(state, before, sort):
        parts += [Text(""), _table(table)]
    return Group(*parts)


def _table(table: Table) -> RenderableType:
    from rich.table import Table as Drawn
    from rich.text import Text

    rows = list(table.lines())
    shown = [number for number in range(len(table.columns)) if any(cells[number] != "-" for cells in rows)]
    titles = [table.columns[number].title.replace("_", " ") for number in shown]
    drawn = Drawn(*titles, box=None, pad_edge=False, header_style="bold", title=f"{table.name}s", title_justify="left")
    for cells in rows:
        drawn.add_row(*(Text(cells[number], style=_STYLES.get(cells[number], "")) for number in shown))
    return drawn


_STYLES: Final = {"up": "green", "down": "red", "denied": "red"}
