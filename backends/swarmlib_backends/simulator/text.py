"""Programs of a simulated container that read text and write it: what stands between the pipes of a script."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from swarmlib import Invalid

from ..dockerapi.matching import Matches, regex
from .files import file
from .process import Program, Run

_LINES: Final = 10
"""What `head` and `tail` show of a text, if nothing else is said."""
_MAX_READ: Final = 16 * 1024 * 1024
"""Bytes of stdin that a program which needs all of it takes."""


def names(run: Run) -> list[str]:
    """Return the words of its command line that are no options."""
    return [word for word in run.args[1:] if not word.startswith("-") or word == "-"]


def letters(run: Run) -> str:
    """Return the letters of the options on its command line."""
    return "".join(word[1:] for word in run.args[1:] if word.startswith("-"))


async def _cat(run: Run) -> int:
    code = 0
    for name in names(run) or ["-"]:
        if name == "-":
            async for data in run.stdin:
                await run.say(data)
            continue
        node = run.node(name)
        if node is None or node.is_folder:
            code = await run.fail(f"cat: {_no_file(name)}" if node is None else "cat: read error: Is a directory")
        else:
            await run.say(node.data)
    return code


def _no_file(name: str) -> str:
    return f"can't open '{name}': No such file or directory"


class _Wrong(Exception):
    """What is wrong with a command line; its text is said on stderr."""


class _Options:
    """A command line such as `-n 5 -rx FILE`: letters that are `flags`, those that take a `value`, and other words."""

    def __init__(self, run: Run, flags: str, values: str = "") -> None:
        self.flags: set[str] = set()
        self.values: dict[str, str] = {}
        self.words: list[str] = []
        words = iter(run.args[1:])
        for word in words:
            if word == "--":
                self.words += words
            elif word == "-" or not word.startswith("-"):
                self.words.append(word)
            else:
                self._read(word[1:], words, flags, values)

    def _read(self, letters: str, words: Iterator[str], flags: str, values: str) -> None:
        for at, letter in enumerate(letters):
            if letter in self.values:
                raise _Wrong(f"the option {letter} can be given only once here")
            if letter in values:
                self.values[letter] = letters[at + 1 :] or next(words, "")
                return
            if letter not in flags:
                raise _Wrong(f"unrecognized option: {letter}")
            self.flags.add(letter)

    def number(self, letter: str, default: int) -> int:
        """Return the value of an option as a number."""
        text = self.values.get(letter, str(default))
        if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
            raise _Wrong(f"invalid number '{text}'")
        return int(text)


async def _read(run: Run, files: list[str]) -> bytes:
    """Return all of some files, or of stdin where there are none."""
    data = bytearray()
    for name in files or ["-"]:
        if name == "-":
            async for piece in run.stdin:
                data += piece
                if len(data) > _MAX_READ:
                    raise _Wrong("out of memory")
            continue
        node = run.node(name)
        if node is None:
            raise _Wrong(_no_file(name))
        data += node.data
    return bytes(data)


def _lines(data: bytes) -> list[bytes]:
    return data.removesuffix(b"\n").split(b"\n") if data else []


def _joined(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _reading(program: Callable[[Run], Awaitable[int]]) -> Program:
    """Return a program that says what is wrong with its command line, or with its files."""

    async def run(given: Run) -> int:
        try:
            return await program(given)
        except _Wrong as exc:
            return await given.fail(f"{given.args[0]}: {exc}", 2 if given.args[0] == "grep" else 1)

    return run


async def _grep(run: Run) -> int:
    options = _Options(run, "ivqcnEFwx", "e")
    pattern, *files = [options.values["e"], *options.words] if "e" in options.values else options.words or [""]
    fits = _pattern(pattern, options.flags)
    lines = list(enumerate(_lines(await _read(run, files)), start=1))
    found = [(at, line) for at, line in lines if fits(line.decode("utf-8", "replace")) is ("v" not in options.flags)]
    if "c" in options.flags:
        shown = [str(len(found)).encode()]
    else:
        shown = [b"%d:%s" % (at, line) if "n" in options.flags else line for at, line in found]
    if "q" not in options.flags:
        await run.say(_joined(shown))
    return 0 if found else 1


def _pattern(text: str, flags: set[str]) -> Matches:
    text = re.escape(text) if "F" in flags else text
    around = {"w": rf"\b(?:{text})\b", "x": f"^(?:{text})$"}
    text = next((found for flag, found in around.items() if flag in flags), text)
    try:
        return regex(f"(?i){text}" if "i" in flags else text)
    except Invalid as exc:
        raise _Wrong(f"bad regex '{text}': {exc.message}") from exc


async def _wc(run: Run) -> int:
    options = _Options(run, "lwc")
    data = await _read(run, options.words)
    counts = {"l": data.count(b"\n"), "w": len(data.split()), "c": len(data)}
    shown = [str(count) for letter, count in counts.items() if letter in (options.flags or counts)]
    return await run.say(f"{' '.join([*shown, *options.words])}\n")


async def _head(run: Run) -> int:
    options = _Options(run, "", "nc")
    if "c" in options.values:
        return await run.say(await _beginning(run, options.words, options.number("c", 0), None))
    return await run.say(await _beginning(run, options.words, None, options.number("n", _LINES)))


async def _beginning(run: Run, files: list[str], count: int | None, lines: int | None) -> bytes:
    """Return the first bytes, or lines, of files or of stdin, which is read only as far as needed."""
    data = bytearray()
    if files:
        data += await _read(run, files)
    else:
        async for piece in run.stdin:
            data += piece
            if (len(data) >= count) if count is not None else (data.count(b"\n") >= (lines or 0)):
                break
    return bytes(data[:count]) if count is not None else _joined(_lines(bytes(data))[:lines])


async def _tail(run: Run) -> int:
    options = _Options(run, "fF", "nc")
    data = await _read(run, options.words)
    if "c" in options.values:
        count = options.number("c", 0)
        await run.say(data[max(len(data) - abs(count), 0) :])
    else:
        count, lines = options.number("n", _LINES), _lines(data)
        from_start = options.values.get("n", "").startswith("+")
        await run.say(_joined(lines[max(count - 1, 0) :] if from_start else lines[max(len(lines) - abs(count), 0) :]))
    if options.flags:
        await run.sleep(float("inf"))
    return 0


async def _sort(run: Run) -> int:
    options = _Options(run, "rnu")
    lines = _lines(await _read(run, options.words))
    if "u" in options.flags:
        lines = list(dict.fromkeys(lines))
    lines.sort(key=_number if "n" in options.flags else None, reverse="r" in options.flags)
    return await run.say(_joined(lines))


def _number(line: bytes) -> tuple[float, bytes]:
    found = re.match(rb"\s*(-?[0-9]+(?:\.[0-9]+)?)", line)
    return float(found[1]) if found else 0.0, line


async def _uniq(run: Run) -> int:
    options = _Options(run, "c")
    counted: list[tuple[int, bytes]] = []
    for line in _lines(await _read(run, options.words)):
        if counted and counted[-1][1] == line:
            counted[-1] = counted[-1][0] + 1, line
        else:
            counted.append((1, line))
    return await run.say(_joined([b"%7d %s" % each if "c" in options.flags else each[1] for each in counted]))


async def _cut(run: Run) -> int:
    options = _Options(run, "s", "dfc")
    delimiter = options.values.get("d", "\t").encode()
    chosen = _ranges(options.values.get("f") or options.values.get("c") or "")
    shown: list[bytes] = []
    for line in _lines(await _read(run, options.words)):
        fields = line.split(delimiter) if "f" in options.values else [bytes([each]) for each in line]
        whole = "f" in options.values and len(fields) == 1
        kept = [field for at, field in enumerate(fields, start=1) if any(at in each for each in chosen)]
        shown.append(line if whole else (delimiter if "f" in options.values else b"").join(kept))
    return await run.say(_joined(shown))


def _ranges(text: str) -> list[range]:
    found: list[range] = []
    for part in text.split(","):
        if not (bounds := re.fullmatch(r"([0-9]{0,6})(-?)([0-9]{0,6})", part)) or part in ("", "-"):
            raise _Wrong("expected a list of bytes, characters, or fields")
        first, last = int(bounds[1] or 1), int(bounds[3] or (_MAX_READ if bounds[2] else bounds[1]))
        found.append(range(first, last + 1))
    return found


async def _tr(run: Run) -> int:
    options = _Options(run, "ds")
    sets = [_set(word) for word in options.words]
    if not sets or (len(sets) < 2 and not options.flags):
        raise _Wrong("missing operand")
    data = await _read(run, [])
    if "d" in options.flags:
        data = data.translate(None, sets[0])
    elif len(sets) > 1:
        data = data.translate(bytes.maketrans(sets[0], sets[1].ljust(len(sets[0]), sets[1][-1:])[: len(sets[0])]))
    if "s" in options.flags:
        data = re.sub(b"([%s])\\1+" % re.escape(sets[-1]), rb"\1", data)
    return await run.say(data)


_CLASSES: Final = {"upper": "A-Z", "lower": "a-z", "digit": "0-9", "alpha": "A-Za-z", "space": " \t\n\r\v\f"}


def _set(text: str) -> bytes:
    """Return the characters that a set such as `a-z` or `[:upper:]` has, at least one."""
    text = re.sub(r"\[:(\w+):\]", lambda found: _CLASSES.get(found[1], ""), text)
    text = text.replace("\\n", "\n").replace("\\t", "\t")
    found = re.sub(
        r"(.)-(.)", lambda pair: "".join(map(chr, range(ord(pair[1]), ord(pair[2]) + 1))), text, flags=re.DOTALL
    ).encode("latin-1", "replace")
    if not found:
        raise _Wrong("an empty set")
    return found


async def _tee(run: Run) -> int:
    options = _Options(run, "a")
    data = await _read(run, [])
    await run.say(data)
    for name in options.words:
        before = run.node(name) if "a" in options.flags else None
        run.files.put(run.path(name), file((before.data if before else b"") + data, run.process.clock.now()))
    return 0


async def _seq(run: Run) -> int:
    words = names(run)
    if not words or not all(re.fullmatch("-?[0-9]{1,6}", word) for word in words):
        raise _Wrong("invalid number")
    first, last = (1, int(words[0])) if len(words) == 1 else (int(words[0]), int(words[-1]))
    step = int(words[1]) if len(words) > 2 else 1
    return await run.say("".join(f"{each}\n" for each in range(first, last + 1, step or 1)))


TEXT: Final[dict[str, Program]] = {
    "cat": _cat,
    **{
        name: _reading(program)
        for name, program in {
            "cut": _cut,
            "grep": _grep,
            "head": _head,
            "seq": _seq,
            "sort": _sort,
            "tail": _tail,
            "tee": _tee,
            "tr": _tr,
            "uniq": _uniq,
            "wc": _wc,
        }.items()
    },
}
