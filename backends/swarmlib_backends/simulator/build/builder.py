"""A build, step by step: each makes an image of the one before, or finds it cached.

Source: builder/dockerfile of github.com/moby/moby.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import trio

from swarmlib import Invalid, SwarmError

from ...dockerapi.nullable import list_of
from ...dockerapi.operations import ImageBuild
from ...dockerapi.references import normal
from ...dockerapi.status import refusal, restated
from ...dockerfile.arguments import BuildArgs
from ...dockerfile.expansion import Expander, expanded
from ...dockerfile.instructions import Instruction, Stage, instruction, label, stages_of
from ...dockerfile.lines import Dockerfile, read
from ..container import Container
from ..containers import Containers
from ..engine import Engine
from ..files import Files, folder
from ..image import Image, Origin
from ..images import Tell
from ..lifecycle import Lifecycle
from ..pulled import check_platform
from ..users import owner_of
from .context import resolved
from .copying import Copied, sources, target_of
from .request import host_of
from .stage import StageState, cached

_CLEANUP_SECONDS: Final = 5
_MOST_STEPS: Final = 1000
"""An engine ends earlier, at the depth of its layers."""
_SCRATCH: Final = "scratch"


class FailedStep(Exception):
    """A program that a RUN has started ended with another code than 0."""

    def __init__(self, command: list[str], code: int) -> None:
        super().__init__(f"The command '{' '.join(command)}' returned a non-zero code: {code}")
        self.code = code


@dataclass(eq=False)
class Builder:
    """One build, of an engine; `tell` is given its progress."""

    engine: Engine
    containers: Containers
    life: Lifecycle
    asked: ImageBuild
    tell: Tell

    def __post_init__(self) -> None:
        self._stages: list[tuple[str, StageState]] = []
        self._left: list[Container] = []
        """Containers of this build's steps that are still there."""
        self._files = Files({})
        self._escape = "\\"
        self._cached = self._cache()

    async def build(self, files: Files, dockerfile: Dockerfile) -> Image:
        """Build the last stage, or the one that was asked for.

        Raises:
            SwarmError: the Dockerfile is wrong, or a step failed. FailedStep: what a step has run failed.
        """
        before, stages = self._planned(dockerfile)
        self._files, self._escape = files, dockerfile.escape
        total = len(before) + sum(1 + len(stage.steps) for stage in stages)
        if dockerfile.warnings:
            await self._say_error("\n".join(dockerfile.warnings) + "\n")
        arguments = BuildArgs(self.asked.buildargs or {})
        number = 0
        for step in before:
            number += 1
            await self._say_step(number, total, step.text)
            self._add_global(arguments, step)
        for stage in stages:
            number = await self._stage(stage, arguments, number + 1, total)
        if unused := arguments.unused():
            await self._say(f"[Warning] One or more build-args [{' '.join(unused)}] were not consumed\n")
        image = self._stages[-1][1].image if self._stages else None
        if image is None:
            raise refusal(500, "No image was generated. Is your Dockerfile empty?")
        await self._say(f"Successfully built {image.id.removeprefix('sha256:')[:12]}\n")
        return image

    def _planned(self, dockerfile: Dockerfile) -> tuple[list[Instruction], list[Stage]]:
        before, stages = stages_of(dockerfile.lines)
        target = self.asked.target.lower()
        if target:
            at = next((at for at, stage in enumerate(stages) if stage.name == target), None)
            if at is None:
                raise Invalid(f"failed to reach build target {self.asked.target} in Dockerfile")
            stages = stages[: at + 1]
        if sum(len(stage.steps) for stage in stages) > _MOST_STEPS:
            raise Invalid(f"the Dockerfile has over {_MOST_STEPS} steps")
        if stages:
            stages[-1].steps += [label(name, value) for name, value in sorted((self.asked.labels or {}).items())]
        return before, stages

    # Progress.

    async def _say(self, text: str) -> None:
        await self.tell({"stream": text})

    async def _say_error(self, text: str) -> None:
        await self._say(f"\x1b[91m{text}\x1b[0m")

    async def _say_step(self, number: int, total: int, text: str) -> None:
        await self._say(f"Step {number}/{total} : {text}")
        await self._say("\n")

    # Stages.

    def _add_global(self, arguments: BuildArgs, step: Instruction) -> None:
        for word in expanded(step, Expander(arguments.values(), self._escape)).args:
            name, is_set, value = word.partition("=")
            arguments.add_global(name, value if is_set else None)

    async def _stage(self, planned: Stage, arguments: BuildArgs, number: int, total: int) -> int:
        """Build one stage, whose first step has this number; gives the number of its last step."""
        if planned.name and planned.name in dict(self._stages):
            raise refusal(500, f"{planned.name} stage name already used")
        await self._say_step(number, total, planned.text)
        expander = Expander(arguments.global_values(), self._escape)
        image = await self._base(planned, expander)
        stage = StageState(image, arguments.of_stage())
        await self._triggers(stage)
        stage.remember()
        await self._say(f" ---> {stage.short_id}\n")
        for step in planned.steps:
            number += 1
            await self._say_step(number, total, step.text)
            await self._step(stage, step)
            stage.remember()
            await self._say(f" ---> {stage.short_id}\n")
        if stage.image is not None:
            await self.tell({"aux": {"ID": stage.id}})
        self._stages.append((planned.name, stage))
        return number

    async def _base(self, planned: Stage, expander: Expander) -> Image | None:
        if planned.platform:
            platform = expander.word(planned.platform)
            try:
                check_platform(platform)
            except Invalid as exc:
                raise Invalid(f"failed to parse platform {platform}: {exc.message}") from exc
        name = expander.word(planned.base)
        if not name:
            raise refusal(500, f"base name ({planned.base}) should not be blank")
        built = dict(self._stages).get(name.lower())
        if built is not None:
            return built.image
        return None if name == _SCRATCH else await self._image(name)

    async def _image(self, ref: str) -> Image:
        """Return an image by its reference, pulled if it is not here or that was asked for."""
        images = self.engine.images
        found = images.lookup(ref)
        return found if found and not self.asked.pull else await images.pull(normal(ref), ref, self.tell)

    async def _triggers(self, stage: StageState) -> None:
        """Do what the image that a stage begins with wants to be done then."""
        triggers = list_of(stage.config.values["OnBuild"])
        stage.config.values["OnBuild"] = None
        if triggers:
            await self._say(f"# Executing {len(triggers)} build trigger")
            await self._say("s\n" if len(triggers) > 1 else "\n")
        for trigger in triggers:
            lines = read(trigger).lines
            if len(lines) != 1:
                raise refusal(500, "onbuild trigger should be a single expression")
            await self._step(stage, instruction(lines[0]))
            stage.remember()

    # Steps.

    async def _step(self, stage: StageState, step: Instruction) -> None:
        environment = stage.config.environment
        expander = Expander([*environment, *stage.arguments.values(environment)], self._escape)
        succeeded = False
        try:
            await self._done(stage, expanded(step, expander), expander)
            succeeded = True
        finally:
            if self.asked.forcerm or (succeeded and self.asked.rm):
                with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLEANUP_SECONDS):
                    await self._remove_containers()

    async def _done(self, stage: StageState, step: Instruction, expander: Expander) -> None:
        match step.name:
            case "run":
                await self._run(stage, step)
            case "copy" | "add":
                await self._copy(stage, step)
            case "maintainer":
                stage.author = step.args[0]
                await self._note(stage, f"MAINTAINER {step.args[0]}")
            case "arg":
                for word in step.args:
                    name, is_set, value = word.partition("=")
                    stage.arguments.add(name, value if is_set else None)
                await self._note(stage, f"ARG {' '.join(step.args)}")
            case "healthcheck" if "Healthcheck" in stage.config.values:
                before = stage.config.values["Healthcheck"]
                if before["Test"][0] != "NONE":
                    await self._say(f"Note: overriding previous HEALTHCHECK: [{' '.join(before['Test'])}]\n")
                comment = stage.config.change(step, expander)
                # What this one doesn't say stays, as for a container that is created of the image.
                stage.config.values["Healthcheck"] = before | stage.config.values["Healthcheck"]
                await self._note(stage, comment)
            case "workdir":
                comment = stage.config.change(step, expander)
                await self._make_folder(stage, stage.config.values["WorkingDir"], comment)
            case _:
                await self._note(stage, stage.config.change(step, expander))

    async def _note(self, stage: StageState, comment: str) -> None:
        """Make an image that differs in its configuration."""
        config = stage.of_comment("", comment)
        if not await self._is_cached(stage, config):
            container = await self._container(stage, config)
            self._commit(stage, container.files, container.config, container)

    async def _make_folder(self, stage: StageState, path: str, comment: str) -> None:
        config = stage.of_comment(comment)
        if await self._is_cached(stage, config):
            return
        at = resolved(Files(stage.image.files if stage.image else {}), path)
        there = stage.image.files.get(at) if stage.image else None
        if there is not None and not there.is_folder:
            raise refusal(500, f"Cannot mkdir: {path} is not a directory")
        container = await self._container(stage, config)
        if container.files.get(at) is None:
            container.files.put(at, folder(self.engine.clock.now()))
        self._commit(stage, container.files, container.config, container)

    async def _run(self, stage: StageState, step: Instruction) -> None:
        if step.flags:
            raise _needs_buildkit(next(iter(step.flags)))
        command = stage.config.command(step)
        environment = stage.config.environment
        values = stage.arguments.values(environment)
        shown = stage.arguments.shown(values)
        told = [f"|{len(shown)}", *shown, *command] if values else command
        config = stage.container_config({"Cmd": told, **({"Entrypoint": None} if told else {})})
        if await self._is_cached(stage, config):
            return
        runs: dict[str, Any] = {"Cmd": command, "Env": [*environment, *values], "Healthcheck": {"Test": ["NONE"]}}
        real = stage.container_config(runs | ({"Entrypoint": [""]} if told else {}))
        container = await self._container(stage, real)
        code = await self._ran(container)
        if code:
            raise FailedStep(command, code)
        self._commit(stage, container.files, config, container)

    async def _ran(self, container: Container) -> int:
        """Run a step's container to its end, which comes at once if nobody waits for the build any more."""
        follower = container.output.follow()
        self.engine.tell(container, "attach")
        try:
            await self.life.start(container)
            while (piece := await follower.next()) is not None:
                text = piece.data.decode(errors="replace")
                if text:  # the end of a run is a piece without any
                    await (self._say(text) if piece.stream == 1 else self._say_error(text))
        finally:
            follower.close()
            if container.running:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLEANUP_SECONDS):
                    await self.life.kill(container)
                await self.life.remove(container, volumes=True)
                self._left.remove(container)
        return container.exit_code

    async def _copy(self, stage: StageState, step: Instruction) -> None:
        if step.flags.get("chmod"):
            raise _needs_buildkit("chmod")
        copied = await self._copied(stage, step)
        chown = f"--chown={step.flags['chown']}" if step.flags.get("chown") else ""
        config = stage.of_comment(f"{step.name.upper()} {chown}{copied.digest()} in {step.args[-1]} ")
        if await self._is_cached(stage, config):
            return
        files = Files(stage.image.files if stage.image else {})
        if chown:
            with restated("unable to convert uid/gid chown string to host mapping: ", 500):
                copied = replace(copied, owner=owner_of(files, step.flags["chown"]))
        copied.into(files, self.engine.clock.now())
        self._commit(stage, files, config)

    async def _copied(self, stage: StageState, step: Instruction) -> Copied:
        origin = step.flags.get("from", "")
        files = await self._files_of(origin) if origin else self._files
        target = target_of(step, stage.config.values["WorkingDir"])
        paths = sources(step, files, is_context=not origin)
        return Copied(files, paths, target, unpacks=step.name == "add", owner=None if origin else (0, 0))

    async def _files_of(self, origin: str) -> Files:
        """Return the files of a stage, by its name or number, or of an image."""
        with restated(f"invalid from flag value {origin}: ", 500):
            stage = dict(self._stages).get(origin.lower())
            if stage is None and origin.isdecimal():
                number = int(origin)
                if number >= len(self._stages):
                    current = number == len(self._stages)
                    raise refusal(500, "refers to current build stage" if current else "index out of bounds")
                stage = self._stages[number][1]
            image = stage.image if stage is not None else await self._image(origin)
        return Files(image.files if image else {})

    # Containers, and the images that come of them.

    async def _container(self, stage: StageState, config: dict[str, Any]) -> Container:
        image = stage.image or self.engine.images.nothing()
        container = self.containers.make(config | {"HostConfig": host_of(self.asked)}, image=image)
        self._left.append(container)
        await self._say(f" ---> Running in {container.id[:12]}\n")
        return container

    async def _remove_containers(self) -> None:
        while self._left:
            container = self._left.pop()
            await self.life.remove(container, volumes=True)
            await self._say(f"Removing intermediate container {container.id[:12]}\n")

    def _commit(
        self, stage: StageState, files: Files, config: dict[str, Any], container: Container | None = None
    ) -> None:
        stage.image = self.engine.images.add_child(
            stage.image,
            files,
            stage.container_config(),
            Origin(author=stage.author, container=container.id if container else "", config=config),
        )

    # The cache.

    def _cache(self) -> set[str] | None:
        """Return the ids of what may be taken for cached; None for all."""
        if not self.asked.cachefrom:
            return None
        found: set[str] = set()
        for ref in self.asked.cachefrom:
            image = self.engine.images.lookup(ref)
            while image is not None:
                found.add(image.id)
                image = image.parent
        return found

    async def _is_cached(self, stage: StageState, config: dict[str, Any]) -> bool:
        """Return whether a step was made before: then its image is the stage's."""
        if stage.missed or self.asked.nocache:
            return False
        found = cached(self.engine.images, stage, config, self._cached)
        stage.missed = found is None
        if found is None:
            return False
        stage.image = found
        await self._say(" ---> Using cache\n")
        return True


def _needs_buildkit(option: str) -> SwarmError:
    where = "Refer to https://docs.docker.com/go/buildkit/ to learn how to build images with BuildKit enabled"
    return refusal(500, f"the --{option} option requires BuildKit. {where}")
