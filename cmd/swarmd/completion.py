"""Completion in shells: the names of backends, their options and the values of these, also inside quotes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal, get_args, get_origin

import click
from click.shell_completion import CompletionItem, get_completion_class

if TYPE_CHECKING:
    from swarmlib.options import Parameter

_STAGE: Final = re.compile(r"""[^|('"]*$""")
"""The text of a stage that has been begun."""
_LABEL: Final = re.compile(r"[\w.-]+=")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion of commands, backends and options for a shell.

    \b
      bash:  eval "$(swarmd completion bash)"                  in ~/.bashrc
      zsh:   eval "$(swarmd completion zsh)"                   in ~/.zshrc
      fish:  swarmd completion fish > ~/.config/fish/completions/swarmd.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "swarmd", "_SWARMD_COMPLETE").source())


def chain_words(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return how a word of a chain can go on: a stage, or several in quotes, of which the last is completed."""
    found = _STAGE.search(incomplete)
    stage = found[0] if found else ""
    words = stage.split()
    word = words.pop() if words and not stage[-1].isspace() else ""
    if not words and (label := _LABEL.match(word)):
        word = word[label.end() :]
    before = incomplete[: len(incomplete) - len(word)]
    return [CompletionItem(before + text, help=help) for text, help in _candidates(words, word)]


def _candidates(words: Sequence[str], word: str) -> Iterator[tuple[str, str]]:
    """Yield the words that can follow others in a stage and begin with `word`, each with its help."""
    from swarmlib import SwarmError, registry
    from swarmlib.options import parameters

    if not words:
        yield from ((name, "") for name in registry.names() if name.startswith(word))
        return
    try:
        declared = parameters(registry.find(_LABEL.sub("", words[0])))
    except SwarmError:
        return
    options = {each.flag: each for each in declared if not each.positional}
    previous = options.get(words[-1])
    if previous is not None and previous.kind is not bool:
        yield from ((value, "") for value in _values(previous) if value.startswith(word))
        return
    for flag, option in options.items():
        if flag.startswith(word) and (option.many or flag not in words):
            yield flag, option.help


def _values(option: Parameter) -> Sequence[str]:
    return list(map(str, get_args(option.kind))) if get_origin(option.kind) is Literal else []
