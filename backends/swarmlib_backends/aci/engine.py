"""The engine that the container groups of a resource group are."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

from swarmlib import Invalid, NotFound, Request, Verb
from swarmlib.supervision import supervised

from ..azure.access import state_folder
from ..azure.client import connected
from ..enginekit.clock import Clock
from ..enginekit.events import Events
from ..enginekit.finishing import Finisher
from ..enginekit.operations import operations_of
from ..enginekit.server import EngineServer
from ..registry.client import Registries
from ..registry.images import Images
from ..registry.operations import ImageOperations
from .arm import Groups
from .containers import Containers
from .execs import Execs
from .group import Surroundings
from .held import Held
from .lifecycle import Lifecycle
from .mirror import Mirror
from .options import AciOptions
from .output import Outputs
from .system import System

_REST_SECONDS: Final = 1.0


@dataclass
class Engine(EngineServer):
    """Answers the Docker API for a resource group."""

    options: AciOptions

    @property
    def name(self) -> str:
        """See `Backend.name`."""
        return f"aci {self.options.group}"

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the connection to Azure, and what waits for containers."""
        options, clock = self.options, Clock()
        async with (
            connected(options.subscription, options.cloud) as arm,
            Registries.open() as registries,
            trio.open_nursery() as nursery,
        ):
            groups, events = Groups(arm, options.group, options.location), Events(clock)
            held = Held(state_folder() / "aci" / arm.subscription.lower() / options.group.lower())
            self._mirror = Mirror(groups, held, events, nursery, options.poll)
            images = Images(registries, clock.now)
            lifecycle = Lifecycle(self._mirror, _surroundings(options, groups.scope), images)
            outputs = Outputs(self._mirror, nursery, clock.now)
            finisher = Finisher("aci", nursery)
            containers = Containers(options, self._mirror, lifecycle, images, outputs, clock.now, finisher)
            execs = Execs(self._mirror.containers.find, groups, events, clock.now, nursery)
            own = (containers, execs, events, System(options, self._mirror))
            self.operations = operations_of(self, *own, ImageOperations(images, events, "aci"))
            nursery.start_soon(supervised, "aci: the looks at containers", self._mirror.run)
            try:
                yield
            finally:
                with trio.move_on_after(_REST_SECONDS, shield=True):
                    await self._mirror.rest()
                nursery.cancel_scope.cancel()

    async def answer(self, request: Request) -> Any:
        """See `EngineServer`. Before an answer about containers, Azure is asked how they are."""
        with ExitStack() as stack:
            match request.path:
                case ("containers", ref, *rest):
                    await self._look_for(ref)
                    if rest == ["wait"]:
                        stack.enter_context(self._mirror.followed(self._mirror.containers.find(ref)))
                case ("containers",):
                    await self._mirror.look(states=request.verb is not Verb.SPAWN)
                case () if request.verb in (Verb.GET, Verb.WATCH):
                    await self._mirror.look()
                    if request.verb is Verb.WATCH:
                        stack.enter_context(self._mirror.watched())
                case _:
                    pass
            return await super().answer(request)

    async def _look_for(self, ref: str) -> None:
        """Learn how the container is that a request names; of one that is not known here, whether there is any."""
        try:
            await self._mirror.look_at(self._mirror.containers.find(ref))
        except NotFound:
            await self._mirror.look()


def _surroundings(options: AciOptions, scope: str) -> Surroundings:
    """Return what all groups have in common. Raises `Invalid` if the file with the key can't be read."""
    account = options.storage_account or os.environ.get("AZURE_STORAGE_ACCOUNT", "")
    key = os.environ.get("AZURE_STORAGE_KEY", "")
    if options.storage_key:
        try:
            key = Path(options.storage_key).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise Invalid(f"can't read the storage key in {options.storage_key}: {exc}") from exc
    return Surroundings(options, scope, account, key)
