"""The instructions in the lines of a Dockerfile: its stages, and their steps. Each line is checked by itself.

Source: frontend/dockerfile/instructions of github.com/moby/buildkit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from swarmlib import Invalid

from ..dockerapi.numbers import integer
from ..dockerapi.status import restated
from ..dockerapi.times import duration
from .lines import SPACE, Line, quoted

_FLAGS: Final[dict[str, tuple[str, ...]]] = {
    "add": ("chown", "chmod"),
    "copy": ("chown", "from", "chmod"),
    "from": ("platform",),
    "healthcheck": ("interval", "timeout", "start-period", "retries"),
    "run": ("mount",),
    **dict.fromkeys(("cmd", "entrypoint", "env", "expose", "label", "maintainer", "onbuild", "shell"), ()),
    **dict.fromkeys(("arg", "stopsignal", "user", "volume", "workdir"), ()),
}
"""All instructions, with the flags of each."""
_FLAGS_UNREAD: Final = ("arg", "stopsignal")
_FLAGS_FIRST: Final = ("env", "label", "shell")
"""The instructions whose flags are checked before their arguments are counted."""
_ONE: Final = ("maintainer", "stopsignal", "user", "workdir")
_SOME: Final = ("arg", "env", "expose", "healthcheck", "label", "onbuild", "shell", "volume")
_STAGE: Final = re.compile(r"[a-z][a-z0-9_.-]*")
_ONBUILD: Final = re.compile(r"\s*ONBUILD\s*", re.IGNORECASE)
_MILLISECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Instruction:
    """One step, checked by itself."""

    name: str
    """The name in lower case."""
    text: str
    """The text that progress shows."""
    args: tuple[str, ...] = ()
    flags: Mapping[str, str] = field(default_factory=dict[str, str])
    json: bool = False
    literal: bool = False
    """Whether variables in it must not be expanded."""

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Names and values, for an instruction whose arguments alternate between them."""
        return list(zip(self.args[::2], self.args[1::2], strict=True))


@dataclass(slots=True)
class Stage:
    """A FROM, and the steps after it."""

    base: str
    name: str
    platform: str
    text: str
    steps: list[Instruction] = field(default_factory=list[Instruction])


def stages_of(lines: Iterable[Line]) -> tuple[list[Instruction], list[Stage]]:
    """Return the ARGs before the first stage, and the stages.

    Raises:
        Invalid: a line is wrong; the message names it.
    """
    before: list[Instruction] = []
    stages: list[Stage] = []
    for line in lines:
        with restated(f"dockerfile parse error line {line.number}: "):
            found = instruction(line)
        if found.name == "from":
            base, *named = found.args
            name = named[1].lower() if named else ""
            stages.append(Stage(base, name, found.flags.get("platform", ""), found.text))
        elif stages:
            stages[-1].steps.append(found)
        elif found.name == "arg":
            before.append(found)
        else:
            raise Invalid("no build stage in current context")
    return before, stages


def instruction(line: Line) -> Instruction:
    """Return the instruction of a line.

    Raises:
        Invalid: the line is not an instruction, or a wrong one.
    """
    name = line.name
    if name not in _FLAGS:
        raise Invalid(f"unknown instruction: {name.upper()}")
    if name not in _FLAGS_FIRST:
        _check_args(line)
    none = name == "healthcheck" and next(iter(line.args), "").upper() == "NONE"
    flags = {} if none or name in _FLAGS_UNREAD else _flags(line)
    _check_args(line)
    if name in ("env", "label", "arg"):
        names = line.args if name == "arg" else line.args[::2]
        if any(each.partition("=")[0] == "" for each in names):
            raise Invalid(f"{name.upper()} names can not be blank")
    if name == "shell" and not line.json:
        raise Invalid("SHELL requires the arguments to be in JSON form")
    args = line.args
    if name == "volume":
        args = tuple(each.strip(SPACE) for each in line.args)
        if "" in args:
            raise Invalid("VOLUME specified can not be an empty string")
    if name == "healthcheck":
        health(args, flags, line.json)
    if name == "onbuild":
        args = (_ONBUILD.sub("", line.text, count=1),)
    if name == "expose":
        args = tuple(sorted(args))
    return Instruction(name, line.text.strip(SPACE), args, flags, line.json)


def label(name: str, value: str) -> Instruction:
    """Return the step that an entry of the parameter `labels` stands for."""
    return Instruction("label", f"LABEL {name}={value}", (name, value), literal=True)


def _check_args(line: Line) -> None:
    name, count = line.name.upper(), len(line.args)
    if line.name in _ONE and not count:
        raise Invalid(f"{name} requires exactly one argument")
    if line.name in _SOME and not count:
        raise Invalid(f"{name} requires at least one argument")
    if line.name in ("add", "copy") and count < 2:
        problem = "requires at least two arguments, but only one was provided. Destination could not be determined"
        raise Invalid(f"{name} {problem}")
    if line.name == "from":
        _check_from(line.args)
    if line.name == "onbuild":
        _check_trigger(line.args[0].upper())


def _check_from(args: tuple[str, ...]) -> None:
    if len(args) == 3 and args[1].lower() == "as":
        if not _STAGE.fullmatch(args[2].lower()):
            problem = "name can't start with a number or contain symbols"
            raise Invalid(f"invalid name for build stage: {quoted(args[2].lower())}, {problem}")
    elif len(args) != 1:
        raise Invalid("FROM requires either one or three arguments")


def _check_trigger(name: str) -> None:
    if name == "ONBUILD":
        raise Invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if name in ("MAINTAINER", "FROM"):
        raise Invalid(f"{name} isn't allowed as an ONBUILD trigger")


def _flags(line: Line) -> dict[str, str]:
    found: dict[str, str] = {}
    for flag in line.flags:
        name, is_set, value = flag[2:].partition("=")
        if name not in _FLAGS[line.name]:
            raise Invalid(f"Unknown flag: {name}")
        if name in found and name != "mount":
            raise Invalid(f"Duplicate flag specified: {name}")
        if not is_set:
            raise Invalid(f"Missing a value on flag: {name}")
        found[name] = value
    return found


# HEALTHCHECK.


def health(args: tuple[str, ...], flags: Mapping[str, str], json: bool) -> dict[str, Any]:
    """Return the configuration of a HEALTHCHECK, without the fields that are not set.

    Raises:
        Invalid: the instruction is wrong.
    """
    kind, *words = args
    if kind.upper() == "NONE":
        if words:
            raise Invalid("HEALTHCHECK NONE takes no arguments")
        return {"Test": ["NONE"]}
    if kind.upper() != "CMD":
        raise Invalid(f"Unknown type {quoted(kind.upper())} in HEALTHCHECK (try CMD)")
    if not words:
        raise Invalid("Missing command after HEALTHCHECK CMD")
    found: dict[str, Any] = {"Test": ["CMD" if json else "CMD-SHELL", *words]}
    names = {"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod"}
    found |= {field: _interval(name, flags[name]) for name, field in names.items() if flags.get(name)}
    if flags.get("retries"):
        found["Retries"] = _retries(flags["retries"])
    return found


def _interval(name: str, text: str) -> int:
    found = 0 if text == "0" else duration(text)
    if found is None:
        raise Invalid(f"time: {_wrong_duration(text)}")
    if found < _MILLISECOND:
        raise Invalid(f'Interval "{name}" cannot be less than 1ms')
    return found


def _wrong_duration(text: str) -> str:
    shown = quoted(text)
    found = re.fullmatch(r"[-+]?(?:[0-9.]+[a-z]+)*[0-9.]*[0-9]\.?([^0-9.]*)", text)
    if found is None:
        return f"invalid duration {shown}"
    unit = found[1]
    return f'unknown unit "{unit}" in duration {shown}' if unit else f"missing unit in duration {shown}"


def _retries(text: str) -> int:
    found = integer(text)
    if found is None:
        raise Invalid(f"strconv.ParseInt: parsing {quoted(text)}: invalid syntax")
    if found < 1:
        raise Invalid(f"--retries must be at least 1 (not {found})")
    return found
