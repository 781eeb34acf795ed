"""Variables in the words of a Dockerfile: `$name`, `${name}`, `${name:-word}` and its like, quotes and escapes.

Source: frontend/dockerfile/shell of github.com/moby/buildkit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from swarmlib import Invalid, TooLarge

from ..dockerapi.status import restated
from .instructions import Instruction
from .lines import SPACE, quoted

_MOST: Final = 64 * 1024
"""Characters that the words of one step may become: a variable can hold others many times."""
_DEEPEST: Final = 50
"""How many `${…}` may be in one another."""
_EXPANDED: Final = ("add", "arg", "copy", "env", "label", "stopsignal", "user", "volume", "workdir")
"""Those whose arguments are expanded word by word."""
_ESCAPABLE: Final = '"$'


class Expander:
    """Expands words with the values of variables; `escape` is the character that the Dockerfile chose."""

    def __init__(self, variables: Iterable[str], escape: str) -> None:
        self._values: dict[str, str] = {}
        for entry in variables:
            name, _, value = entry.partition("=")
            self._values.setdefault(name, value)
        self._escape = escape
        self._left = _MOST

    def word(self, text: str) -> str:
        """Return a word as one.

        Raises:
            Invalid: it is wrong; quotes it.
        """
        return self._expanded(text).text

    def words(self, text: str) -> list[str]:
        """Return the words that a word becomes: a variable's value that is not quoted may be several.

        Raises:
            Invalid: it is wrong; quotes it.
        """
        return self._expanded(text).words

    def _expanded(self, text: str) -> _Word:
        if not any(character in text for character in ("$", "'", '"', self._escape)):
            found = _Word(self._left)
            found.add_bare(text)
        else:
            with restated(f"failed to process {quoted(text)}: "):
                found = _Reader(text, self._values, self._escape, self._left).word("")
        self._left = found.left
        return found.ended()


def expanded(step: Instruction, expander: Expander) -> Instruction:
    """Return a step with the values of its variables.

    Raises:
        Invalid: a word of it is wrong.
    """
    if step.literal or step.name not in _EXPANDED:
        return step
    flags = {name: expander.word(value) if name == "chown" else value for name, value in step.flags.items()}
    if step.name != "arg":
        return replace(step, args=tuple(expander.word(word) for word in step.args), flags=flags)
    parts = [word.partition("=") for word in step.args]
    return replace(step, args=tuple(f"{expander.word(n)}{is_set}{expander.word(v)}" for n, is_set, v in parts))


class _Word:
    """What was read of a word, and the words in it."""

    def __init__(self, left: int) -> None:
        self.left = left
        """The characters that may still be added."""
        self._pieces: list[str] = []
        self._word: list[str] = []
        self.words: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def add(self, text: str) -> None:
        """Add what ends no word: it was quoted or escaped."""
        self._keep(text)
        self._word.append(text)

    def add_bare(self, text: str) -> None:
        """Add what spaces divide."""
        self._keep(text)
        for character in text:
            if character in SPACE:
                self.ended()
            else:
                self._word.append(character)

    def _keep(self, text: str) -> None:
        self.left -= len(text)
        if self.left < 0:
            raise TooLarge(f"the words of a step are over {_MOST} characters")
        self._pieces.append(text)

    def ended(self) -> _Word:
        if any(self._word):
            self.words.append("".join(self._word))
        self._word = []
        return self


class _Reader:
    def __init__(self, text: str, values: Mapping[str, str], escape: str, left: int) -> None:
        self._text = text
        self._left = left
        self._values = values
        self._escape = escape
        self._at = 0
        self._depth = 0

    @property
    def _next(self) -> str:
        """The next character; empty at the end."""
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        found = self._next
        self._at += 1
        return found

    def word(self, end: str) -> _Word:
        """Return what stands before `end`, or all the rest."""
        found = _Word(self._left)
        while (character := self._take()) not in ("", end):
            if character == "'":
                found.add(self._single_quoted())
            elif character == '"':
                found.add(self._double_quoted())
            elif character == "$":
                found.add_bare(self._variable())
            elif character == self._escape:
                found.add(self._take())
            else:
                found.add_bare(character)
        if end and not character:
            raise Invalid(f"unexpected end of statement while looking for matching {end}")
        return found

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise Invalid("unexpected end of statement while looking for matching single-quote")
        found, self._at = self._text[self._at : end], end + 1
        return found

    def _double_quoted(self) -> str:
        pieces: list[str] = []
        while (character := self._take()) not in ("", '"'):
            if character == "$":
                pieces.append(self._variable())
            elif character == self._escape and not self._next:
                break
            elif character == self._escape and self._next in (*_ESCAPABLE, self._escape):
                pieces.append(self._take())
            else:
                pieces.append(character)
        if character != '"':
            raise Invalid("unexpected end of statement while looking for matching double-quote")
        return "".join(pieces)

    def _variable(self) -> str:
        """Return the value of what follows a `$`."""
        if self._next != "{":
            name = self._name()
            return self._values.get(name, "") if name else "$"
        self._take()
        if not self._next:
            raise Invalid("syntax error: missing '}'")
        if self._next in "{}:":
            raise Invalid("syntax error: bad substitution")
        name = self._name()
        match self._take():
            case "}":
                return self._values.get(name, "")
            case ":":
                return self._modified(name, self._take())
            case _:
                raise Invalid("missing ':' in substitution")

    def _modified(self, name: str, modifier: str) -> str:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise Invalid(f"more than {_DEEPEST} substitutions are in one another")
        try:
            word = self.word("}").text
        except Invalid:
            if not self._next:
                raise Invalid("syntax error: missing '}'") from None
            raise
        self._depth -= 1
        value = self._values.get(name, "")
        match modifier:
            case "+":
                return word if value else ""
            case "-":
                return value or word
            case "?" if not value:
                unset = "empty" if name in self._values else "unset"
                raise Invalid(f"{name}: {word or f'is not allowed to be {unset}'}")
            case "?":
                return value
            case _:
                raise Invalid(f"unsupported modifier ({modifier}) in substitution")

    def _name(self) -> str:
        """Return the name that follows: letters, digits and `_`, or a single digit."""
        begin = self._at
        while self._next and (self._next.isalpha() or self._next.isdigit() or self._next == "_"):
            self._at += 1
            if self._at == begin + 1 and self._text[begin].isdigit():
                break
        return self._text[begin : self._at]
