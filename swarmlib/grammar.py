"""The text of a chain, parsed into a tree that knows the places of its parts, and printed back.

    chain := [LABEL '='] stage ('|' stage)*
    stage := WORD argument*
    argument := WORD | '(' chain ')'

Words are quoted as in a shell: blanks separate, '…' is literal, "…" and a bare word take a backslash.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NoReturn, TypeAlias

from .errors import Invalid


class ChainSyntaxError(Invalid):
    """The text of a chain is wrong at `start`; the message marks the place with a caret."""

    def __init__(self, problem: str, text: str, start: int, end: int | None = None) -> None:
        self.problem = problem
        self.text = text
        self.start = start
        self.end: int = max(start + 1, end if end is not None else start + 1)
        super().__init__(f"{problem}\n{self._pointer()}")

    def _pointer(self) -> str:
        line_start = self.text.rfind("\n", 0, self.start) + 1
        line = self.text[line_start:].split("\n", 1)[0]
        width = max(1, min(self.end - line_start, len(line)) - (self.start - line_start))
        return f"  {line}\n  {' ' * (self.start - line_start)}{'^' * width}"


@dataclass(frozen=True)
class Word:
    """One word; `quoted` if any part of it was, so that a quoted `--x` is not an option."""

    text: str
    quoted: bool = False
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)

    def __str__(self) -> str:
        safe = shlex.quote(self.text)
        return f"'{safe}'" if self.quoted and safe == self.text else safe


@dataclass(frozen=True)
class StageText:
    """One stage: the backend's name and its arguments."""

    name: Word
    arguments: tuple[Word | ChainText, ...] = ()

    def __str__(self) -> str:
        return " ".join([str(self.name), *(f"({a})" if isinstance(a, ChainText) else str(a) for a in self.arguments)])


@dataclass(frozen=True)
class ChainText:
    """Stages in a row; `source` is the text that their places refer to, `label` the user's name for the chain."""

    stages: tuple[StageText, ...]
    source: str = field(default="", compare=False)
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)
    label: str = ""

    def __str__(self) -> str:
        return (f"{self.label}=" if self.label else "") + " | ".join(map(str, self.stages))


@dataclass(frozen=True)
class _Mark:
    kind: str
    start: int

    @property
    def end(self) -> int:
        return self.start + 1


_Token: TypeAlias = "Word | _Mark"
_END: Final = "the end"
MAX_DEPTH: Final = 50
"""How deep chains may be nested."""
_WORD: Final = re.compile(
    r"""[^\s|()'"\\]+ | '(?P<single>[^']*)' | "(?P<double>(?:[^"\\]|\\.)*)" | \\(?P<escaped>.)""",
    re.DOTALL | re.VERBOSE,
)
_LABEL: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]*)=")
_SPACE: Final = re.compile(r"\s*")


def parse(text: str) -> ChainText:
    """Read a chain.

    Raises:
        ChainSyntaxError: the text isn't a chain; the error points at the place.
    """
    return _Parser(text).chain_to_end()


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while (at := _skip_space(text, at)) < len(text):
        if text[at] in "|()":
            yield _Mark(text[at], at)
            at += 1
        else:
            word = _word(text, at)
            yield word
            at = word.end
    yield _Mark(_END, len(text))


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _word(text: str, start: int) -> Word:
    parts: list[str] = []
    quoted, at = False, start
    while at < len(text) and not text[at].isspace() and text[at] not in "|()":
        piece = _WORD.match(text, at)
        if piece is None:
            last = text[at] == "\\"
            problem = "a backslash with nothing after it" if last else f"this quote {text[at]} is never closed"
            raise ChainSyntaxError(problem, text, at)
        quoted = quoted or piece.lastgroup is not None
        parts.append(_unquoted(piece))
        at = piece.end()
    return Word("".join(parts), quoted, start, at)


def _unquoted(piece: re.Match[str]) -> str:
    kind = piece.lastgroup
    if kind is None:
        return piece.group()
    inner = piece.group(kind)
    return re.sub(r'\\(["\\])', r"\1", inner) if kind == "double" else inner


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._ahead = next(self._tokens)
        self._depth = 0

    def chain_to_end(self) -> ChainText:
        chain = self._chain()
        if self._is(")"):
            self._fail("unexpected )")
        return chain

    def _chain(self) -> ChainText:
        start = self._ahead.start
        label = self._label()
        stages = [self._stage()]
        while self._is("|"):
            self._advance()
            stages.append(self._stage())
        return ChainText(tuple(stages), self._text, start, self._ahead.start, label)

    def _label(self) -> str:
        """Take `LABEL=` off the word ahead, if it has one: `a=docker`, or `a= docker`."""
        word = self._ahead
        found = _LABEL.match(word.text) if isinstance(word, Word) and not word.quoted else None
        if found is None or not isinstance(word, Word):
            return ""
        rest = word.text[found.end() :]
        if rest:
            self._ahead = Word(rest, False, word.start + found.end(), word.end)
        else:
            self._advance()
        return found[1]

    def _stage(self) -> StageText:
        name = self._ahead
        if not isinstance(name, Word):
            self._fail("expected the name of a backend")
        self._advance()
        arguments: list[Word | ChainText] = []
        while True:
            if isinstance(self._ahead, Word):
                arguments.append(self._ahead)
                self._advance()
            elif self._is("("):
                arguments.append(self._nested())
            else:
                return StageText(name, tuple(arguments))

    def _nested(self) -> ChainText:
        opening = self._ahead
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"chains are nested more than {MAX_DEPTH} deep")
        self._advance()
        chain = self._chain()
        self._depth -= 1
        if not self._is(")"):
            raise ChainSyntaxError("this ( is never closed", self._text, opening.start)
        self._advance()
        return chain

    def _is(self, kind: str) -> bool:
        return isinstance(self._ahead, _Mark) and self._ahead.kind == kind

    def _advance(self) -> None:
        self._ahead = next(self._tokens)

    def _fail(self, problem: str) -> NoReturn:
        raise ChainSyntaxError(problem, self._text, self._ahead.start, self._ahead.end)
