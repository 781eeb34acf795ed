"""A Dockerfile as logical lines: this module reads directives, comments and continuations, and splits words.

It only checks that a file can be read in this way; `instructions` checks the contents of the lines.

Source: frontend/dockerfile/parser of github.com/moby/buildkit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from swarmlib import Invalid

_LONGEST: Final = 65535
"""The size limit of a physical line in bytes, as in an engine."""
_MOST: Final = 1 << 20
"""The size limit of a Dockerfile in characters."""
SPACE: Final = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""The characters that Go counts as space."""
_BLANKS: Final = re.compile(r"[\t\v\f\r ]+")
_DIRECTIVE: Final = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=(.*)", re.ASCII | re.DOTALL)
_DIRECTIVES: Final = ("escape", "syntax")
_WARNING: Final = "[WARNING]: Empty continuation line found in:\n    {}"
_LAST_WARNING: Final = "[WARNING]: Empty continuation lines will become errors in a future release."


@dataclass(frozen=True, slots=True)
class Line:
    """A logical line: its instruction in lower case, with its flags and arguments."""

    name: str
    flags: tuple[str, ...]
    args: tuple[str, ...]
    json: bool
    """Whether the arguments were written as a JSON array."""
    text: str
    """The whole line, as it was written."""
    number: int
    """The number of its first physical line, from 1 on."""


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """The contents of a Dockerfile."""

    lines: list[Line]
    escape: str
    warnings: list[str]


def read(text: str) -> Dockerfile:
    """Return a Dockerfile's logical lines.

    Raises:
        Invalid: it has no lines, or one that can't be read.
    """
    if len(text) > _MOST:
        raise Invalid(f"the Dockerfile is over {_MOST} characters")
    physical = _Physical(text.removeprefix("\ufeff"))
    lines: list[Line] = []
    warnings: list[str] = []
    for number, joined, has_empty in physical.joined():
        if has_empty:
            warnings.append(_WARNING.format(joined))
        lines.append(_line(joined, physical.escape, number))
    if not lines:
        raise Invalid("file with no instructions")
    if physical.too_long:
        raise Invalid(f"dockerfile line greater than max allowed size of {_LONGEST}")
    return Dockerfile(lines, physical.escape, [*warnings, _LAST_WARNING] if warnings else [])


class _Physical:
    """The physical lines of a file. Directives at its beginning choose the escape character."""

    def __init__(self, text: str) -> None:
        self.escape = "\\"
        self.too_long = False
        self._lines = text.removesuffix("\n").split("\n")
        self._directives: set[str] | None = set()
        """The directives that were seen; None once no more may follow."""

    def joined(self) -> Iterator[tuple[int, str, bool]]:
        """Yield where each logical line begins, its text, and whether an empty line is among its continuations."""
        rest = enumerate(self._usable(), 1)
        for number, raw in rest:
            stripped = raw.lstrip(SPACE)
            self._direct(stripped)
            part, goes_on = self._part("" if stripped.startswith("#") else stripped)
            if not part and not goes_on:
                continue
            parts, has_empty = [part], False
            while goes_on and (following := next(rest, None)) is not None:
                raw = following[1]
                if not raw.strip(SPACE):
                    has_empty = True
                elif not raw.lstrip(SPACE).startswith("#"):
                    part, goes_on = self._part(raw)
                    parts.append(part)
            yield number, "".join(parts), has_empty

    def _usable(self) -> Iterable[str]:
        for line in self._lines:
            if len(line.encode(errors="surrogatepass")) > _LONGEST:
                self.too_long = True
                return
            yield line.removesuffix("\r")

    def _direct(self, line: str) -> None:
        found = _DIRECTIVE.fullmatch(line)
        name, value = (found[1].lower(), found[2].strip(SPACE)) if found else ("", "")
        if self._directives is None or name not in _DIRECTIVES or not value:
            self._directives = None
            return
        if name in self._directives:
            raise Invalid(f"only one {name} parser directive can be used")
        self._directives.add(name)
        if name == "escape":
            if value not in ("`", "\\"):
                raise Invalid(f"invalid escape token '{value}' does not match ` or \\")
            self.escape = value

    def _part(self, line: str) -> tuple[str, bool]:
        """Return a line without its continuation sign, and whether it had one."""
        stripped = line.rstrip(" \t")
        if stripped.endswith(self.escape) and not stripped.endswith(2 * self.escape):
            return stripped[:-1], True
        return line, False


def _line(text: str, escape: str, number: int) -> Line:
    name, *rest = _BLANKS.split(text.strip(SPACE), maxsplit=1)
    flags, text_of_args = _flags("".join(rest))
    args, json = _args(name.lower(), text_of_args.strip(SPACE), escape)
    return Line(name.lower(), flags, tuple(args), json, text, number)


def _flags(text: str) -> tuple[tuple[str, ...], str]:
    """Return the words at a text's beginning that start with `--`, without their quotes, and the rest of the text."""
    flags: list[str] = []
    at = 0
    while True:
        while at < len(text) and text[at] in SPACE:
            at += 1
        if not text.startswith("--", at):
            return tuple(flags), text[at:]
        word, at = _flag(text, at)
        if word == "--":
            return tuple(flags), text[at:]
        flags.append(word)


def _flag(text: str, at: int) -> tuple[str, int]:
    word: list[str] = []
    quote = ""
    while at < len(text) and (quote or text[at] not in SPACE):
        character = text[at]
        at += 1
        if character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        elif character == "\\":
            word += text[at : at + 1]
            at += 1
        else:
            word.append(character)
    return "".join(word), at


def _args(name: str, rest: str, escape: str) -> tuple[list[str], bool]:
    """Return the arguments of an instruction, and whether they are a JSON array; an unknown instruction has none."""
    match name:
        case "cmd" | "entrypoint" | "run" | "shell":
            return _array_or(rest, [rest] if rest else [])
        case "add" | "copy" | "volume":
            return _array_or(rest, _BLANKS.split(rest) if rest else [])
        case "expose" | "from":
            return _BLANKS.split(rest) if rest else [], False
        case "maintainer" | "stopsignal" | "user" | "workdir":
            return [rest] if rest else [], False
        case "arg":
            return _words(rest, escape), False
        case "env" | "label":
            return _pairs(rest, name.upper(), escape), False
        case "healthcheck":
            return _health(rest)
        case "onbuild":
            return _trigger(rest, escape), False
        case _:
            return [], False


def _array_or(text: str, otherwise: list[str]) -> tuple[list[str], bool]:
    if not text.startswith("["):
        return otherwise, False
    try:
        found: Any = orjson.loads(text.encode(errors="replace"))
    except orjson.JSONDecodeError:
        return otherwise, False
    if not all(isinstance(each, str) for each in found):
        raise Invalid("when using JSON array syntax, arrays must be comprised of strings only")
    return found, True


def _health(text: str) -> tuple[list[str], bool]:
    kind = text.split(None, 1)[0] if text else ""
    rest = text[len(kind) :].lstrip(SPACE)
    args, json = _array_or(rest, [rest] if rest else [])
    return [kind, *args] if kind else [], json


def _trigger(text: str, escape: str) -> list[str]:
    """Return the instruction that ONBUILD keeps, and its arguments; not for a nested ONBUILD, which is not allowed."""
    if not text:
        return []
    name = _BLANKS.split(text, maxsplit=1)[0].lower()
    return [name] if name == "onbuild" else [name, *_line(text, escape, 0).args]


def _pairs(text: str, name: str, escape: str) -> list[str]:
    """Return names and values alternately, from `NAME=VALUE ...` or `NAME VALUE`."""
    words = _words(text, escape)
    if words and "=" not in words[0]:
        pair = _BLANKS.split(text, maxsplit=1)
        if len(pair) < 2:
            raise Invalid(f"{name} must have two arguments")
        return pair
    for word in words:
        if "=" not in word:
            raise Invalid(f"Syntax error - can't find = in {quoted(word)}. Must be of the form: name=value")
    return [each for word in words for each in word.split("=", 1)]


def quoted(text: str) -> str:
    """Return a text between quotation marks, as Go shows it."""
    return orjson.dumps(text.encode(errors="replace").decode()).decode()


def _words(text: str, escape: str) -> list[str]:
    """Return a text's words with their quotes and escapes; a space within these doesn't end a word."""
    words: list[str] = []
    word: list[str] = []
    quote = ""
    at = 0
    while at < len(text):
        character = text[at]
        at += 1
        if not quote and character in SPACE:
            words += ["".join(word)] if word else []
            word = []
        elif character == escape and quote != "'":
            if at < len(text):  # at the end it stands for nothing
                word += [character, text[at]]
            at += 1
        else:
            word.append(character)
            if character == quote:
                quote = ""
            elif not quote and character in "'\"":
                quote = character
    return [*words, "".join(word)] if word else words
