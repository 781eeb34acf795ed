"""Help in full: `swarmd help`, `swarmd version`, and the manual page, which is made of the same texts."""

from __future__ import annotations

import inspect
import platform
from collections.abc import Iterator, Sequence

import click

from .reporting import EXIT_USAGE, reporting


@click.command("help", context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, metavar="[COMMAND... | BACKEND]")
@click.pass_context
def help_command(context: click.Context, words: Sequence[str]) -> None:
    """Explain swarmd, a command or a backend."""
    root = context.find_root()
    found = _find(root, words)
    if found is not None:
        click.echo(found.get_help())
    if len(words) != 1:
        if found is None:
            raise click.UsageError(f"no such command: {' '.join(words)}")
        return
    from swarmlib import registry

    if found is None or words[0] in registry.names():
        from . import show

        with reporting(EXIT_USAGE):
            text = show.backend_text(show.backend(words[0]))
        click.echo(f"\nThe backend {words[0]}:\n\n{text}" if found else text)


def _installed(package: str) -> str:
    from importlib.metadata import version  # only when it is needed: the help must be fast

    return version(package)


def _find(context: click.Context, words: Sequence[str]) -> click.Context | None:
    """Return the context of the command that words lead to, if they do."""
    for word in words:
        command = context.command
        following = command.commands.get(word) if isinstance(command, click.Group) else None
        if following is None:
            return None
        context = click.Context(following, info_name=word, parent=context)
    return context


@click.command()
def version() -> None:
    """Print the versions of swarmd, and of what it runs on."""
    click.echo(f"swarmd {_installed('swarmlib')}")
    click.echo(f"Python {platform.python_version()}, trio {_installed('trio')}, {platform.platform(terse=True)}")


@click.command()
@click.pass_context
def man(context: click.Context) -> None:
    """Print the manual page, for man.

    \b
      swarmd man > /usr/local/share/man/man1/swarmd.1
    """
    click.echo("\n".join(_page(context.find_root())))


def _page(root: click.Context) -> Iterator[str]:
    """Yield the lines of the page, in the language of man(7)."""
    from . import show

    yield f'.TH SWARMD 1 "" "swarmd {_installed("swarmlib")}"'
    yield from (".SH NAME", r"swarmd \- one Docker endpoint over many engines", ".SH SYNOPSIS")
    yield from (r"\fBswarmd\fR [OPTIONS] CHAIN... | FILE.toml | COMMAND [ARGS]...", ".SH DESCRIPTION")
    yield from _text(inspect.cleandoc(root.command.help or "").replace("\b\n", ""))
    yield ".SH COMMANDS"
    yield from _commands(root)
    yield ".SH BACKENDS"
    for backend in show.backends():
        yield from (f".SS {backend.name}", f"{_escaped(backend.usage)}", ".PP")
        yield from _text(backend.help)
        for option in backend.options:
            yield from (".TP", rf"\fB{_escaped(option.usage)}\fR", _escaped(option.help))


def _commands(context: click.Context) -> Iterator[str]:
    command = context.command
    assert isinstance(command, click.Group)
    for name, each in sorted(command.commands.items()):
        inner = click.Context(each, info_name=name, parent=context)
        yield f".SS {_escaped(inner.command_path)}"
        yield from _text(inspect.cleandoc(each.help or "").replace("\b\n", ""))
        for parameter in each.params:
            if (record := parameter.get_help_record(inner)) is not None:
                yield from (".TP", rf"\fB{_escaped(record[0])}\fR", _escaped(record[1]))
        if isinstance(each, click.Group):
            yield from _commands(inner)


def _text(text: str) -> Iterator[str]:
    """Yield the lines of a text: paragraphs are filled, and indented lines stay as they are."""
    for paragraph in text.split("\n\n"):
        indented = any(line.startswith("  ") for line in paragraph.splitlines())
        yield ".PP"
        if indented:
            yield ".nf"
        yield from map(_escaped, paragraph.splitlines())
        if indented:
            yield ".fi"


def _escaped(line: str) -> str:
    r"""Return a line in which roff sees no command: `\`, `-`, and a `.` or `'` at the beginning."""
    escaped = line.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{escaped}" if escaped[:1] in (".", "'") else escaped
