"""Describes backends and chains, as text, as a table on a terminal, or as JSON."""

from __future__ import annotations

import inspect
import json
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

import click

from swarmlib import Backend, Chain, SwarmError, registry
from swarmlib.options import Parameter, parameters, usage

_WIDEST: Final = 120
"""The width in columns beyond which no text is wider."""


@dataclass(frozen=True)
class Option:
    """One declared argument of a backend."""

    name: str
    usage: str
    help: str
    required: bool
    default: Any


@dataclass(frozen=True)
class Description:
    """An installed backend, as `swarmd backends` shows it."""

    name: str
    usage: str
    summary: str
    help: str
    options: list[Option]


def backends() -> list[Description]:
    """Describe all installed backends; the summary of one that can't be imported says so."""
    return [_backend_or_why(name) for name in registry.names()]


def backend(name: str) -> Description:
    """Describe one installed backend.

    Raises:
        NotFound: there is no backend of that name.
        Internal: it can't be imported.
    """
    kind = registry.find(name)
    help = inspect.getdoc(kind) or ""
    options = [_option(parameter) for parameter in parameters(kind)]
    return Description(name, usage(name, kind), help.partition("\n")[0], help, options)


def _backend_or_why(name: str) -> Description:
    try:
        return backend(name)
    except SwarmError as exc:
        return Description(name, name, f"({exc.message})", exc.message, [])


def _option(found: Parameter) -> Option:
    shown = found.usage if found.required else found.usage[1:-1]
    default = None if found.required else plain(found.shown(found.default))
    return Option(found.name, shown, found.help, found.required, default)


def backend_text(found: Description) -> str:
    """Format a backend in full: usage, what it does, each argument."""
    formatter = click.HelpFormatter(width=min(shutil.get_terminal_size().columns, _WIDEST))
    formatter.write_usage(found.name, found.usage.removeprefix(found.name).strip(), prefix="usage: ")
    formatter.write_paragraph()
    formatter.write(_filled(found.help, formatter.width))
    if found.options:
        formatter.write_paragraph()
        rows = [(option.usage, option.help + _default(option)) for option in found.options]
        formatter.write_dl(rows)
    return formatter.getvalue().rstrip()


def _filled(text: str, width: int) -> str:
    """Fill the paragraphs of a text whose lines do not fit, and leave the others as they are."""
    paragraphs = text.split("\n\n")
    too_wide = [max(map(len, each.splitlines()), default=0) > width for each in paragraphs]
    filled = [
        textwrap.fill(each, width, break_on_hyphens=False) if wide else each
        for each, wide in zip(paragraphs, too_wide, strict=True)
    ]
    return "\n\n".join(filled) + "\n"


def _default(option: Option) -> str:
    return f" (default {option.default})" if option.default not in (None, False, "", []) else ""


def print_backends(found: list[Description], *, terminal: bool) -> None:
    """Print backends, as `print_table` does."""
    rows = [(one.name, one.usage, one.summary) for one in found]
    print_table(("backend", "usage", "what it does"), rows, terminal=terminal)


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]], *, terminal: bool) -> None:
    """Print a table on a terminal, else one line for each row, with its cells separated by tabs."""
    if not terminal:
        for row in rows:
            click.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*titles, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(_literal, row))
    Console().print(table)


def _literal(text: str) -> Any:
    from rich.text import Text

    return Text(text)  # a usage line is full of brackets, which rich would read as markup


def chain_text(chain: Chain) -> str:
    """Describe each stage of a chain in order, with its arguments and then its sub-chains below it."""
    title = [f"chain {chain.label}:"] if chain.label else []
    return "\n".join([*title, *_stages(chain, "")])


def _stages(chain: Chain, indent: str) -> list[str]:
    lines: list[str] = []
    for number, stage in enumerate(chain.backends, 1):
        summary = (inspect.getdoc(type(stage)) or "").partition("\n")[0]
        lines.append(f"{indent}{number}. {stage.name}: {summary}")
        for parameter in parameters(type(stage)):
            lines += _argument(parameter, getattr(stage, parameter.name), indent + "   ")
    return lines


def _argument(parameter: Parameter, value: Any, indent: str) -> list[str]:
    if isinstance(value, Chain):
        return [f"{indent}{' '.join([parameter.word, value.label]).strip()}:", *_stages(value, indent + "  ")]
    if parameter.many and value and isinstance(value[0], Chain):
        chains = cast("list[Chain]", value)
        return [line for one in chains for line in _argument(parameter, one, indent)]
    return [f"{indent}{parameter.word} = {json.dumps(plain(parameter.shown(value)), ensure_ascii=False)}"]


def plain(value: Any) -> Any:
    """Convert an argument's value to JSON data; a chain to the list of its stages, with its label if it has one."""
    if isinstance(value, Chain):
        stages = [_stage_data(stage) for stage in value.backends]
        return {"label": value.label, "stages": stages} if value.label else stages
    if isinstance(value, list):
        return [plain(item) for item in cast("list[Any]", value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _stage_data(stage: Backend) -> dict[str, Any]:
    bound = {p.name: plain(getattr(stage, p.name)) for p in parameters(type(stage))}
    return {"backend": stage.name, "arguments": bound}


def as_json(found: Any) -> str:
    """Format descriptions, or other data, as indented JSON."""
    return json.dumps(found, indent=2, ensure_ascii=False, default=asdict)
