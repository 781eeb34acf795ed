"""A tenant's Dockerfile as its engine gets it: written anew, line by line, with every image by its id.

So nothing in it means an image that the tenant may not use, however an engine reads it. A label says whose each stage
is: nobody else has it, so no step is taken from what others have built (an engine's cache compares labels).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import orjson
import trio

from swarmlib import Denied, Invalid, TooLarge, Unsupported

from ..dockerapi.status import refusal, restated
from ..dockerfile.arguments import BuildArgs
from ..dockerfile.expansion import Expander, expanded
from ..dockerfile.instructions import Instruction, Stage, instruction, stages_of
from ..dockerfile.lines import SPACE, read
from .names import LABEL

LONGEST: Final = 128 * 1024
"""Bytes of a Dockerfile, at most: reading one blocks everything else."""
_MOST_ENVIRONMENT: Final = 128 * 1024
"""Characters of a stage's variables, at most."""
_SCRATCH: Final = "scratch"
_HERE_DOCUMENT: Final = re.compile(r"(?<!\S)\d*<<-?[^<\s]")
"""What engines with BuildKit's parser take for the beginning of a text that goes on in the lines below."""
_URL: Final = re.compile(r"(?:https?|git|ssh|ftp)://|git@", re.IGNORECASE)
_BLANKS: Final = re.compile(r"[\t\v\f\r ]+")


@dataclass(frozen=True)
class Base:
    """An image that a build uses: its id, its environment, and the instructions that it wants to be done."""

    id: str
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    triggers: Sequence[str] = ()


class Images(Protocol):
    """The images and the addresses that a tenant's build may use."""

    async def base(self, ref: str, place: str, platform: str = "") -> Base:
        """Return an image, pulled if it is not there. Raises SwarmError if there is none that the tenant may use."""
        ...

    async def check_as_written(self, ref: str, place: str) -> None:
        """Raise Denied unless the engine takes a reference for an image that the tenant may use."""
        ...

    def check_url(self, url: str, place: str) -> None:
        """Raise Denied unless the engine may fetch this for the tenant."""
        ...


@dataclass(frozen=True)
class Recipe:
    """A Dockerfile that was judged.

    Attributes:
        text: what the engine gets.
        steps: what the tenant wrote for each of its instructions; None for those that were added.
    """

    text: str
    steps: Sequence[str | None]


@dataclass
class _Stage:
    environment: dict[str, str]
    arguments: BuildArgs

    def expander(self, escape: str) -> Expander:
        environment = [f"{name}={value}" for name, value in self.environment.items()]
        return Expander([*environment, *self.arguments.values(environment)], escape)


@dataclass
class Judge:
    """Judges the Dockerfile of one build.

    images: what it may use. stamp: the instruction that says whose it is. given: the values of ARGs. cached: whether
    the engine may use what was built before.
    """

    images: Images
    stamp: str
    given: Mapping[str, str | None]
    cached: bool
    _escape: str = field(default="\\", init=False)
    _done: dict[str, _Stage] = field(default_factory=dict[str, _Stage], init=False)
    """The stages before the one that is judged, by their names."""
    _lines: list[str] = field(default_factory=list[str], init=False)
    _steps: list[str | None] = field(default_factory=list["str | None"], init=False)

    async def recipe(self, dockerfile: bytes) -> Recipe:
        """Judge a Dockerfile.

        Raises:
            Denied: it uses what the tenant may not use.
            SwarmError: it is wrong, as an engine says that.
        """
        try:
            text = dockerfile.decode()
        except UnicodeDecodeError as exc:
            raise Invalid(f"the Dockerfile is not UTF-8: {exc.reason} at byte {exc.start}") from exc
        found = read(text)
        self._escape = found.escape
        before, stages = stages_of(found.lines)
        arguments = BuildArgs(self.given)
        for step in before:
            for name, value in _assigned(expanded(step, Expander(arguments.values(), self._escape))):
                arguments.add_global(name, value)
            self._add(self._as_written(step), step.text)
        for stage in stages:
            await self._stage(stage, arguments)
        return Recipe("\n".join([f"# escape={self._escape}", *self._lines, ""]), self._steps)

    def _add(self, line: str, step: str | None) -> None:
        if line.rstrip(" \t").endswith(self._escape):
            raise Unsupported(f"a line of a tenant's Dockerfile can't end in {self._escape}: {line[-60:]!r}")
        self._lines.append(line)
        self._steps.append(step)

    async def _stage(self, planned: Stage, arguments: BuildArgs) -> None:
        expander = Expander(arguments.global_values(), self._escape)
        platform, name = expander.word(planned.platform), expander.word(planned.base)
        if not name:
            raise refusal(500, f"base name ({planned.base}) should not be blank")
        named = [f"AS {planned.name}"] if planned.name else []
        flags = [_flag("platform", platform)] if platform else []
        earlier = self._done.get(name.lower())
        base = None
        if earlier is not None:
            environment, name = dict(earlier.environment), name.lower()
        elif name == _SCRATCH:
            environment = dict[str, str]()
        else:
            base = await self.images.base(name, "FROM", platform)
            environment, name = dict(base.environment), base.id
        stage = _Stage(environment, arguments.of_stage())
        self._add(" ".join(["FROM", *flags, name, *named]), planned.text)
        if base is not None:
            await self._triggers(stage, base)
        if earlier is None:
            self._add(self.stamp, None)
        for step in planned.steps:
            self._add(await self._step(stage, step), step.text)
            await trio.lowlevel.checkpoint()  # a long Dockerfile must not block everything else
        if planned.name:
            self._done[planned.name] = stage

    async def _step(self, stage: _Stage, step: Instruction) -> str:
        """Return the line of a step, and note what it changes of its stage."""
        expander = stage.expander(self._escape)
        match step.name:
            case "copy" | "add":
                return await self._copy(step, expander)
            case "label":
                self._check_labels(step, expander)
            case "onbuild":
                self._check_here_document(step)
            case "run":
                self._check_here_document(step)
            case _:
                self._note(stage, step, expander)
        return self._as_written(step)

    def _note(self, stage: _Stage, step: Instruction, expander: Expander) -> None:
        if step.name == "env":
            stage.environment |= dict(expanded(step, expander).pairs)
            if sum(map(len, stage.environment.values())) > _MOST_ENVIRONMENT:
                raise TooLarge(f"the environment of a build is over {_MOST_ENVIRONMENT} characters")
        elif step.name == "arg":
            for name, value in _assigned(expanded(step, expander)):
                stage.arguments.add(name, value)

    def _as_written(self, step: Instruction) -> str:
        rest = _BLANKS.split(step.text, maxsplit=1)[1:]
        return " ".join([step.name.upper(), *rest])

    def _check_here_document(self, step: Instruction) -> None:
        if _HERE_DOCUMENT.search(step.text):
            raise Unsupported(f"{step.name.upper()} with a here-document needs BuildKit, which tenants don't have")

    def _check_labels(self, step: Instruction, expander: Expander) -> None:
        for name, _ in step.pairs:
            if "$" in name or expander.word(name).startswith(LABEL):
                raise Denied(f"LABEL {name:.80}: a tenant sets no label that begins with {LABEL}, or has a variable")

    async def _copy(self, step: Instruction, expander: Expander) -> str:
        flags = dict(step.flags)
        if origin := flags.get("from", ""):
            flags["from"] = await self._origin(origin, step.name.upper())
        sources = list(step.args[:-1])
        if step.name == "add":
            sources = [self._literal(expander.word(source)) for source in sources]
            for source in sources:
                self._check_source(source)
        words = [_flag(name, value) for name, value in flags.items() if value]
        return " ".join([step.name.upper(), *words, orjson.dumps([*sources, step.args[-1]]).decode()])

    def _check_source(self, source: str) -> None:
        if _URL.match(source):
            self.images.check_url(source, "ADD")

    def _literal(self, word: str) -> str:
        """Return a word that stands for itself when an engine expands it."""
        return "".join(self._escape + each if each in ("$", "'", '"', self._escape) else each for each in word)

    async def _origin(self, ref: str, place: str) -> str:
        """Return what `--from` names: an earlier stage, by its name or its number, or an image by its id."""
        if ref.lower() in self._done:
            return ref.lower()
        if ref.isascii() and ref.isdigit():
            return str(int(ref))
        return (await self.images.base(ref, f"{place} --from")).id

    async def _triggers(self, stage: _Stage, base: Base) -> None:
        """Judge what an image wants to be done, which an engine takes from the image as it is there."""
        for text in base.triggers:
            with restated(f"ONBUILD {text:.200}: "):
                lines = read(text).lines
                if len(lines) != 1 or "\n" in text:
                    raise refusal(500, "onbuild trigger should be a single expression")
                step = instruction(lines[0])
                if step.name == "run" and self.cached:
                    raise Denied("what others have made of it may be cached: a tenant builds it with --no-cache")
                if step.name in ("copy", "add"):
                    await self._check_copy(step)
                self._note(stage, step, stage.expander(self._escape))

    async def _check_copy(self, step: Instruction) -> None:
        place = step.name.upper()
        origin = step.flags.get("from", "")
        if origin and origin.lower() not in self._done and not (origin.isascii() and origin.isdigit()):
            await self.images.check_as_written(origin, f"{place} --from")
        for source in step.args[:-1] if step.name == "add" else ():
            if self._literal(source) != source:
                raise Denied(f"{source!r:.80} has a variable: in a tenant's builds, it must be a path or a URL")
            self._check_source(source)


def _assigned(step: Instruction) -> list[tuple[str, str | None]]:
    """Return the names that an ARG declares, each with its value, if it has one."""
    parts = [word.partition("=") for word in step.args]
    return [(name, value if is_set else None) for name, is_set, value in parts]


def _flag(name: str, value: str) -> str:
    if any(each in SPACE or each in "'\"\\" for each in value):
        raise Unsupported(f"--{name}={value!r:.80} of a tenant's Dockerfile must be one word without quotes")
    return f"--{name}={value}"
