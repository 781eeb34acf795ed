"""The stage `balance`: it routes each call by its verb and by what its path names."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path as FilePath
from typing import Any, Final

import trio

from swarmlib import Chain, Invalid, Path, Request, Server, Stages, Unsupported, Verb, argument, option
from swarmlib.errors import ungrouped
from swarmlib.quantities import Duration

from ..control import offering
from ..dockerapi.canonical import canonical
from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.operations import ContainerRename, ImageBuild, ImageCommit, ImageGetAll, ImagePush
from ..dockerapi.rows import WHOLE
from ..dockerapi.versions import parsed
from ..observe import engines
from ..watched_file import WatchedFile
from . import colocation, contexts, events, holders, labels, merge, owners, response_hooks, swarm_mode
from .engines_desk import EnginesDesk
from .fanout import ask_all, broadcast, forward_answer, missing, refuse_partial, reply_first, reply_merged
from .images import Images
from .member_source import MemberSource, source_of
from .members import Members
from .members_file import MembersFile, chains_in
from .node import Node
from .placement.placement import Placement
from .placement.strategies import Strategy
from .provisioner import Provisioner
from .reading import Reading
from .rescheduling import Rescheduler
from .router import Router
from .select import Selection
from .sharing import Sharing
from .spawning import Spawner
from .stats import Stats

_CONTAINERS: Final[Path] = ("containers",)
_IMAGES: Final[Path] = ("images",)
_UNLOCK: Final[Path] = ("swarm", "unlock")
_BUILDKIT: Final = ("/session", "/grpc", "/build/cancel")
"""What a BuildKit client calls beside its build, which the official documents of the Engine API partly leave out."""


@dataclass
class Balance(Server):
    """Many engines as one: merges their lists, sends each call to the owner of its object, and places new containers.

    Name the members (a=docker …): objects then say `Node: a`, and `--filter node=a` and `a/web` mean it. Where a
    container goes can be said as in the old Swarm: `-e constraint:region==us`, `-e affinity:container==web`.
    """

    position = "last"

    members: Sequence[Stages] = argument(
        "a chain for each engine, in quotes or parentheses; or `swarm`, for the nodes of a swarm", default=[]
    )
    watch_file: str = option(
        "file of members, one chain per line; read again when it changes", default="", metavar="FILE"
    )
    strategy: Strategy = option("how to choose the engine for a new container", default="spread")
    deadline: Duration = option("how long one engine may delay an answer of several engines", default=5.0)
    strict: bool = option("fail a request if an engine is missing from its answer", default=False)
    max_age: Duration = option(
        "how old an answer may be whose changes engines do not tell, such as df; it has its Age", default=0.0
    )
    reschedule_after: Duration = option(
        "how long an engine must be down before its containers are rescheduled", default=30.0
    )

    provisioner: Provisioner | None = field(default=None, repr=False, kw_only=True)
    """Creates nodes when they are needed, in addition to the members that are given."""

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        if not self.members and not self.watch_file and self.provisioner is None:
            raise Invalid("MEMBER or --watch-file is required")
        if self.deadline <= 0:
            raise Invalid("--deadline must be above 0")
        labels = [label for each in map(Chain.read, self.members) if (label := each.label)]
        if twice := next((each for each in labels if labels.count(each) > 1), ""):
            raise Invalid(f"two members are named {twice!r}: each name must be its own")

    async def preflight(self) -> None:
        """See `Backend.preflight`."""
        if self.watch_file:
            await chains_in(WatchedFile(FilePath(self.watch_file)))

    @property
    def name(self) -> str:
        """The backend's name in errors: its provisioner's, if it has one."""
        return super().name if self.provisioner is None else self.provisioner.name

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the members open, and follow what happens to them."""
        with ungrouped():
            async with trio.open_nursery() as nursery:
                self._members = members = Members(self.deadline, nursery)
                sources: list[MemberSource] = [] if self.provisioner is None else [self.provisioner]
                for chain in map(Chain.read, self.members):
                    if (source := source_of(chain)) is None:
                        await members.join(chain)
                    else:
                        sources.append(source)
                if self.watch_file:
                    file = MembersFile(FilePath(self.watch_file), members)
                    await file.read()
                    nursery.start_soon(file.follow)
                self._router = Router(members, lambda handler, request: self.take_up(handler, request))
                self._stats = Stats(self._router, nursery)
                self._images = Images(members)
                placement = Placement(self.strategy, members.index, self._at_hand)
                self._spawner = Spawner(members, placement, self._images, self.provisioner)
                sharing = Sharing(members.kept, self.max_age)
                self._reading = Reading(members, self._router, sharing, self.provisioner, strict=self.strict)
                nursery.start_soon(Rescheduler(members, self._spawner, self.reschedule_after).run)
                async with AsyncExitStack() as stack:
                    await stack.enter_async_context(offering(engines.KIND, EnginesDesk(members), needed=False))
                    for source in sources:
                        await stack.enter_async_context(source.provision(members))
                    yield
                nursery.cancel_scope.cancel()

    def _at_hand(self, node: Node) -> bool:
        return self.provisioner is None or self.provisioner.at_hand(node)

    def handlers(self) -> Mapping[Verb, Any]:
        """Return the handlers of the verbs; requests that concern swarm mode go to a manager, whatever the verb."""
        return {verb: partial(self._routed, handler) for verb, handler in super().handlers().items()}

    async def _routed(self, handler: Callable[[Request], Awaitable[Any]], request: Request) -> Any:
        request = labels.unreserved(canonical(request))
        await self._members.known()
        if request.meta.version and (advertised := self._members.advertised.range) is not None:
            advertised.check(parsed(request.meta.version))  # refused as an engine refuses it
        if request.path[:1] and request.path[0] in swarm_mode.FAMILIES:
            find = owners.locked if request.path == _UNLOCK else owners.manager
            return await self._router.to(await find(self._members.all), request)
        return await handler(request)

    # Reading.

    def ls(self, request: Request) -> Awaitable[Any]:
        """List the objects of all members, merged."""
        return self._reading.ls(request)

    def get(self, request: Request) -> Awaitable[Any]:
        """Return a summary of all members, or the state of one object from its owner."""
        return self._reading.get(request)

    async def watch(self, request: Request) -> Any:
        """Follow the events of all members, or the changes of one object from its owner."""
        if request.path[2:] == ("stats",):
            return await self._stats.answer(request)
        if request.path:
            learn = response_hooks.touches if request.path[2:] == ("wait",) else None
            return await self._router.to_owner(request, learn)
        await events.relay(self._members, request)
        return None

    # Changing one object.

    async def set(self, request: Request) -> Any:
        """Change one object; a tag goes to every member that has the image."""
        match request.path:
            case ("images", _, "tag"):
                return await self._to_holders(request)
            case ("images", name, "push") if tag := ImagePush.of(request).tag:
                return await self._router.forward(request, await self._router.owner(*_IMAGES, f"{name}:{tag}"))
            case ("networks", _, "connect" | "disconnect") if dict_of(request.json).get("Container"):
                return await colocation.connected(self._router, self._members, request)
            case ("containers", _, "rename") if ContainerRename.of(request).name:
                return await self._rename(request)
            case _:
                pass
        if len(request.path) < 2:  # it names no object, so that every member says the same
            return await reply_first(self._members.all, request)
        return await self._router.to_owner(request, response_hooks.touches)

    async def _rename(self, request: Request) -> None:
        """Rename a container on its owner, which checks its own names; those of the other engines are checked here."""
        owner = await self._router.owner_of(request)
        name = ContainerRename.of(request).name.removeprefix("/")
        async with self._spawner.renaming(name, owner.member):
            renamed = request.replace(path=(*_CONTAINERS, owner.ref, "rename"))
            answer = await self._router.ask(renamed, owner, response_hooks.touches)
        await forward_answer(answer, request)

    async def start(self, request: Request) -> Any:
        """Forward the start to the owner."""
        return await self._router.to_owner(request, response_hooks.touches)

    stop = start

    async def attach(self, request: Request) -> Any:
        """Forward the attach to the owner."""
        return await self._router.to_owner(request)

    async def connect(self, request: Request) -> Any:
        """Forward the connection to the owner; BuildKit's go to the builder, as do questions about options."""
        if request.path == WHOLE.path("") and _is_for_any_member(request):
            return await self._router.to(owners.first_up(self._members.all), request)  # a build's connections must meet
        return await self._router.to_owner(request)

    async def file(self, request: Request) -> Any:
        """Forward to the owner; images are loaded where the strategy says, and several are saved from one engine."""
        if request.path != _IMAGES:
            return await self._router.to_owner(request)
        if request.upload is not None:
            return await self._router.to(self._spawner.choose(), request, response_hooks.touches_images)
        names = ImageGetAll.of(request).names
        if len(names) < 2:
            owner = await self._router.owner(*_IMAGES, *(names or [""]))
            return await self._router.forward(request, owner)
        return await self._router.to(await self._images.gathered(names), request)

    async def rm(self, request: Request) -> Any:
        """Remove on the owner; a prune goes to every member, an image's removal to every one that has the image."""
        if len(request.path) == 1:
            return await self._prune(request)
        if request.path[0] == "images":
            return await self._to_holders(request)
        return await self._router.to_owner(request, response_hooks.removes)

    async def _prune(self, request: Request) -> Any:
        selection = Selection.of(request)
        outcome = await ask_all(selection.chosen(self._members.all), request.replace(params=selection.params))
        refuse_partial(outcome.missing, strict=self.strict)
        outcome.must_have_answers()
        for member, answer in outcome.answers:
            member.mirror.touch_kind(request.path[0])
            for id in list_of(dict_of(answer.value).get("ContainersDeleted")):
                member.mirror.removed("containers", id)
        await reply_merged(request, merge.deleted(outcome.values), outcome.missing)

    async def _to_holders(self, request: Request) -> None:
        outcome = await holders.change(self._members, request)
        absent = missing(self._members.all)
        refuse_partial(absent, strict=self.strict)
        await reply_merged(request, merge.deleted(outcome.values), absent)

    # Creating.

    async def spawn(self, request: Request) -> Any:
        """Create an object where the strategy says; exec and commit go to the container's owner, a pull everywhere."""
        match request.path:
            case ("containers",):
                await forward_answer(await self._spawner.create(request), request)
                return None
            case ("images",) if request.upload is None:
                return await self._pull(request)
            case ("networks" | "volumes" as kind,):
                await forward_answer(await self._spawner.make_part(kind, request), request)
                return None
            case ("commit",):
                owner = await self._router.owner(*_CONTAINERS, ImageCommit.of(request).container)
                params = {**request.params, "container": owner.ref}
                return await self._router.forward(request.replace(params=params), owner, response_hooks.touches_images)
            case ("build",):
                return await self._build(request)
            case (_, _, *_):
                return await self._router.to_owner(request, response_hooks.makes_exec)
            case _:
                return await self._router.to(self._spawner.choose(), request, response_hooks.touches_images)

    async def _pull(self, request: Request) -> None:
        present = [member for member in self._members.all if self._at_hand(member)]
        if self.provisioner is not None and not present:
            text = f"no node of {self.name} runs: images come with the containers that need them"
            raise Unsupported(text, path=request.path)
        await broadcast(present, request, strict=self.strict)

    async def _build(self, request: Request) -> Any:
        asked = ImageBuild.of(request)
        fixed = colocation.builder(self._members.index, asked)
        images: list[str] = []
        if request.upload is not None and asked.version != "2":
            images, context = await contexts.images(request.upload, asked.dockerfile)
            request = request.replace(upload=context)
        builder = await self._images.builder(images, fixed)
        return await self._router.to(builder, request, response_hooks.touches_images)


def _is_for_any_member(whole: Request) -> bool:
    """Return whether a request without a row may go to any member that is up: BuildKit's, or one for options."""
    target = str(whole.params["target"]).partition("?")[0]
    return whole.params["method"] == "OPTIONS" or target.endswith(_BUILDKIT)
