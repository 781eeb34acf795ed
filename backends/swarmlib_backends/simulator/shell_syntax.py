"""What a shell script says: its text as commands, which are functions of `shell_script` with their parts.

list      = andor {(";" | "&" | newline) andor}         commands  simple ones, with NAME=value before them
andor     = pipeline {("&&" | "||") pipeline}           words     'quoted', "quoted $NAME", $NAME, ${NAME}, $?, $$,
pipeline  = command {"|" command}                                 $1, "$@", $#, $(list), `list`
command   = ["!"] (simple | while | if | for | group)   redirects >file >>file <file <>file 2>file >&2 2>&1
while     = ("while" | "until") list "do" list "done"
if        = "if" list "then" list {"elif" …} ["else" list] "fi"
for       = "for" NAME "in" {word} "do" list "done"
group     = "(" list ")" | "{" list "}"
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Final

from . import shell_script as script
from .shell_script import Command, Part, Redirect, ShellSyntaxError, Text, Word

_BLANK: Final = re.compile(r"(?:[ \t]+|\\\n|#[^\n]*)+")
_OPERATOR: Final = re.compile(r"&&|\|\||;|\n|&(?!>)|\||\(|\)")
_REDIRECT: Final = re.compile(r"\d?(?:>>|<>|>|<)&?")
_BARE: Final = re.compile(r"[^\s;&|<>()'\"\\$`]+")
_QUOTED: Final = re.compile(r"[^\"\\$`]+")
_VARIABLE: Final = re.compile(r"\$(?:\{(\w+|[@#])\}|([A-Za-z_]\w*|[0-9?$@#]))")
_BACKTICKS: Final = re.compile(r"`((?:\\.|[^`\\])*)`", re.DOTALL)
_ASSIGNED: Final = re.compile(r"[A-Za-z_]\w*=")
_NAME: Final = re.compile(r"[A-Za-z_]\w*")
_RESERVED: Final = {"while", "until", "do", "done", "if", "then", "elif", "else", "fi", "for", "case", "{", "}", "!"}


def parse(text: str) -> Command:
    """Return a script as a command.

    Raises:
        ShellSyntaxError: it holds what this shell doesn't know; names it.
    """
    parser = _Parser(_Tokens(text, 0))
    found = parser.sequence(set())
    parser.check_end()
    return found


@dataclass(frozen=True)
class _Token:
    text: str
    """As it stands in the script."""
    word: Word | None = None


class _Tokens:
    """The tokens of a script from a place on; `next` is the one that was not taken yet, and ends at `at`."""

    def __init__(self, text: str, at: int) -> None:
        self._text = text
        self.at = at
        self.next: _Token | None = None
        self.advance()

    def advance(self) -> None:
        """Take `next`, and find the one after it."""
        if blank := _BLANK.match(self._text, self.at):
            self.at = blank.end()
        if self.at == len(self._text):
            self.next = None
        elif found := _REDIRECT.match(self._text, self.at) or _OPERATOR.match(self._text, self.at):
            self.at = found.end()
            self.next = _Token(found[0])
        else:
            start = self.at
            word = self._word()
            self.next = _Token(self._text[start : self.at], word)

    def _word(self) -> Word:
        parts: list[Part] = []
        while self.at < len(self._text):
            here = self._text[self.at]
            if found := _BARE.match(self._text, self.at):
                self.at = found.end()
                parts.append(Text(found[0]))
            elif here == "'":
                parts.append(Text(self._until("'")))
            elif here == '"':
                self.at += 1
                parts += self._quoted()
            elif here == "\\" and self.at + 1 < len(self._text):
                parts.append(Text(self._text[self.at + 1]))
                self.at += 2
            elif here in "$`":
                parts.append(self._dollar(quoted=False))
            else:
                break
        if not parts:
            raise self._unknown()
        return tuple(parts)

    def _until(self, end: str) -> str:
        start = self.at + 1
        at = self._text.find(end, start)
        if at < 0:
            raise self._unknown()
        self.at = at + 1
        return self._text[start:at]

    def _quoted(self) -> list[Part]:
        parts: list[Part] = [Text("")]
        while (here := self._text[self.at : self.at + 1]) != '"':
            if found := _QUOTED.match(self._text, self.at):
                self.at = found.end()
                parts.append(Text(found[0]))
            elif here == "\\":
                escaped = self._text[self.at + 1 : self.at + 2]
                parts.append(Text(escaped if escaped in tuple('$"\\`') else f"\\{escaped}"))
                self.at += 2
            elif here:
                parts.append(self._dollar(quoted=True))
            else:
                raise self._unknown()
        self.at += 1
        return parts

    def _dollar(self, *, quoted: bool) -> Part:
        if found := _VARIABLE.match(self._text, self.at):
            self.at = found.end()
            return script.Variable(found[1] or found[2], quoted)
        if found := _BACKTICKS.match(self._text, self.at):
            self.at = found.end()
            return script.Output(parse(re.sub(r"\\([$`\\])", r"\1", found[1])), quoted)
        if self._text.startswith("$(", self.at) and not self._text.startswith("$((", self.at):
            inner = _Tokens(self._text, self.at + 2)
            commands = _Parser(inner).sequence({")"})
            if inner.next is None:
                raise ShellSyntaxError('unexpected "end of script"')
            self.at = inner.at
            return script.Output(commands, quoted)
        if re.match(r"\$(?:\s|\"|$)", self._text[self.at : self.at + 2]):
            self.at += 1
            return Text("$")
        raise self._unknown()

    def _unknown(self) -> ShellSyntaxError:
        return ShellSyntaxError(f"unterminated or unknown: {self._text[self.at : self.at + 20]}")


class _Parser:
    def __init__(self, tokens: _Tokens) -> None:
        self._tokens = tokens

    @property
    def _next(self) -> str | None:
        return None if self._tokens.next is None else self._tokens.next.text

    def check_end(self) -> None:
        if self._next is not None:
            raise self._unexpected()

    def _unexpected(self) -> ShellSyntaxError:
        return ShellSyntaxError(f'unexpected "{"end of script" if self._next is None else self._next}"')

    def _take(self, *wanted: str) -> str:
        found = self._next
        if found is None or (wanted and found not in wanted):
            raise self._unexpected()
        self._tokens.advance()
        return found

    def _skip(self, *unwanted: str) -> None:
        while self._next in unwanted:
            self._tokens.advance()

    def sequence(self, until: set[str]) -> Command:
        commands: list[Command] = []
        while True:
            self._skip(";", "\n")
            if self._next is None or self._next in until:
                return partial(script.sequence, commands)
            command = self._and_or()
            if self._next == "&":
                self._take()
                command = partial(script.background, command)
            elif self._next not in (None, ";", "\n", *until):
                raise self._unexpected()
            commands.append(command)

    def _and_or(self) -> Command:
        command = self._pipeline()
        while self._next in ("&&", "||"):
            operator = self._take()
            self._skip("\n")
            command = partial(script.either, command, self._pipeline(), operator == "&&")
        return command

    def _pipeline(self) -> Command:
        if self._next == "!":
            self._take()
            return partial(script.negation, self._pipeline())
        commands = [self._command()]
        while self._next == "|":
            self._take()
            self._skip("\n")
            commands.append(self._command())
        return partial(script.pipeline, commands) if len(commands) > 1 else commands[0]

    def _command(self) -> Command:
        match self._next:
            case "while" | "until":
                wanted = self._take() == "while"
                return partial(script.loop, self._list("do"), self._list("done"), wanted)
            case "if":
                self._take()
                return self._if()
            case "for":
                self._take()
                return self._for()
            case "{":
                self._take()
                return self._list("}")
            case "(":
                self._take()
                return partial(script.subshell, self._list(")"))
            case _:
                return self._simple()

    def _list(self, end: str) -> Command:
        """Return a list, and the word that ends it."""
        found = self.sequence({end})
        self._take(end)
        return found

    def _if(self) -> Command:
        condition = self._list("then")
        then = self.sequence({"elif", "else", "fi"})
        match self._take("elif", "else", "fi"):
            case "elif":
                return partial(script.choice, condition, then, self._if())
            case "else":
                return partial(script.choice, condition, then, self._list("fi"))
            case _:
                return partial(script.choice, condition, then, partial(script.sequence, ()))

    def _for(self) -> Command:
        name = self._take()
        if not _NAME.fullmatch(name):
            raise ShellSyntaxError("bad for loop variable")
        self._take("in")
        words: list[Word] = []
        while self._tokens.next is not None and self._tokens.next.word is not None:
            words.append(self._tokens.next.word)
            self._tokens.advance()
        self._skip(";", "\n")
        self._take("do")
        return partial(script.each, name, words, self._list("done"))

    def _simple(self) -> Command:
        assigned: dict[str, Word] = {}
        words: list[Word] = []
        redirects: list[Redirect] = []
        while (token := self._tokens.next) is not None:
            if token.word is None and not _REDIRECT.fullmatch(token.text):
                break
            if not words and token.text in _RESERVED:
                raise self._unexpected()
            self._tokens.advance()
            if token.word is None:
                redirects.append(self._redirect(token.text))
            elif not words and (found := _ASSIGNED.match(token.text)):
                assigned[found[0][:-1]] = _without_start(token.word, len(found[0]))
            else:
                words.append(token.word)
        if not (assigned or words or redirects):
            raise self._unexpected()
        return partial(script.simple, assigned, words, redirects)

    def _redirect(self, text: str) -> Redirect:
        number, operator = (int(text[0]), text[1:]) if text[0].isdigit() else (0 if text[0] == "<" else 1, text)
        if self._tokens.next is None or self._tokens.next.word is None:
            raise ShellSyntaxError("a redirection needs a word")
        target = self._tokens.next.word
        self._tokens.advance()
        return Redirect(number, operator, target)


def _without_start(word: Word, count: int) -> Word:
    """Return a word without its first characters, which stand for themselves."""
    first, *rest = word
    text = first.text[count:] if isinstance(first, Text) else ""
    return (Text(text), *rest)
