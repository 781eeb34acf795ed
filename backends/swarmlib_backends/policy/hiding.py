"""Hides what belongs to others in the answers to a client that is confined to what is its own.

The objects that a client asks for by name are looked up in `ownership`, which also has the engine filter most lists;
here they are looked through, as the engine may not have done it. The rest is what an answer about something of the
client's own, or of the engine, says besides: counts, images, the other ends of networks and links, and whose name is
taken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import trio

from swarmlib import (
    Ack,
    Conflict,
    Error,
    Json,
    Log,
    Reply,
    ReplySender,
    Request,
    Set,
    SwarmError,
    Tap,
    discard,
    dispatch,
)
from swarmlib.collecting import Before

from ..calls import forward
from .sight import Repeats, Sight, object_of, objects_of

_STATES: Final = {"running": "ContainersRunning", "restarting": "ContainersRunning", "paused": "ContainersPaused"}
"""The count of `info` for each state of a container; others are stopped."""

# The answers of each operation, as an owner sees them.


async def _containers(sight: Sight, given: Any) -> Any:
    return [await sight.of_container(each) for each in sight.owned(given)]


async def _container(sight: Sight, given: Any) -> Any:
    return await sight.of_container(object_of(given))


async def _network(sight: Sight, given: Any) -> Any:
    """Show of the containers in a network the owner's only; of those of a swarm, none."""
    left = {name: each for name, each in object_of(given).items() if name not in ("Services", "Peers")}
    if left.get("Containers"):
        own = await sight.names("containers")
        left["Containers"] = {id: each for id, each in object_of(left["Containers"]).items() if id in own}
    return left


async def _networks(sight: Sight, given: Any) -> Any:
    return [await _network(sight, each) for each in sight.owned(given)]


async def _volumes(sight: Sight, given: Any) -> Any:
    return {"Volumes": sight.owned(object_of(given).get("Volumes")), "Warnings": None}


async def _images(sight: Sight, given: Any) -> Any:
    return sight.images(given)


async def _image(sight: Sight, given: Any) -> Any:
    image = object_of(given)
    return sight.image(image, object_of(image.get("Config")).get("Labels")) or {}


async def _history(sight: Sight, given: Any) -> Any:
    """Show the layers of an image: those below may have the names of others' images."""
    return [{**each, "Tags": sight.allowed_tags(each.get("Tags")) or None} for each in objects_of(given)]


async def _usage(sight: Sight, given: Any) -> Any:
    """Show what of the disk the owner's objects use. Whether layers are shared with others is not told."""
    usage = object_of(given)
    containers, volumes = (sight.owned(usage.get(kind)) for kind in ("Containers", "Volumes"))
    used = [each.get("ImageID") for each in containers]
    images = [
        {**each, "SharedSize": -1, "Containers": used.count(each.get("Id"))}
        for each in sight.images(usage.get("Images"))
    ]
    sizes = [size for each in images if isinstance(size := each.get("Size"), int)]
    shown = {"Images": images, "Containers": [await sight.of_container(each) for each in containers]}
    return {"LayersSize": sum(sizes), **shown, "Volumes": volumes, "BuildCache": [], "BuilderSize": 0}


async def _info(sight: Sight, given: Any) -> Any:
    """Show an engine with the counts of what the owner sees."""
    containers = await sight.listed("containers")
    states = [_STATES.get(str(each.get("State")), "ContainersStopped") for each in containers]
    counts = {name: states.count(name) for name in ("ContainersRunning", "ContainersPaused", "ContainersStopped")}
    totals = {"Containers": len(containers), "Images": len(await sight.listed("images"))}
    # These may count the objects of all: `balance` says how many each engine has.
    return {**object_of(given), **counts, **totals, "DriverStatus": [], "SystemStatus": None}


Hide: TypeAlias = Callable[[Sight, Any], Awaitable[Any]]
HIDES: Final[Mapping[str, Hide]] = {
    "ContainerList": _containers,
    "ContainerInspect": _container,
    "NetworkList": _networks,
    "NetworkInspect": _network,
    "VolumeList": _volumes,
    "ImageList": _images,
    "ImageInspect": _image,
    "ImageHistory": _history,
    "SystemDataUsage": _usage,
    "SystemInfo": _info,
}
"""The operations whose answers may tell of what is not the owner's, and what is left of these."""


_TAKING_NAMES: Final = frozenset({"ContainerCreate", "ContainerRename"})
"""The operations whose error tells whose a name is."""
OPERATIONS: Final = HIDES.keys() | _TAKING_NAMES
"""The operations whose replies are to be shown by `relay_shown`."""
OF_AN_IMAGE: Final = frozenset({"ImageInspect", "ImageHistory"})


async def relay_shown(operation: str, request: Request, sight: Sight) -> None:
    """Forward a request, and its replies as the owner may see them.

    Raises:
        SwarmError: an answer is not for the owner, or can't be read.
    """
    shown = _Shown(request.reply, operation, request.params.get("name", ""), sight.repeats)
    try:
        await dispatch(sight.sender, request.replace(reply=shown))
        await shown.ended()
        for reply in shown.held:
            await forward(await _hidden(operation, reply, sight), request.reply)
    except BaseException:
        for reply in shown.held:
            await discard(reply)
        raise


class _Shown(Tap):
    """Shows an owner the replies to a request. Errors, and what was shown before, are forwarded where they are sent.
    Of anything else, others' objects may have to be hidden, for which the owner's must be listed. It is held until the
    call has ended, since that may occupy what the lists need (a place in `limit`).
    """

    def __init__(self, inner: ReplySender, operation: str, name: str, repeats: Repeats) -> None:
        super().__init__(inner)
        self._operation = operation
        self._name = name
        self._repeats = repeats
        self._before: Before | None = None
        self._final: Ack | None = None
        self._ended: trio.Event | None = None

    @property
    def held(self) -> Sequence[Set | Log | Ack]:
        """The replies that were held, in their order."""
        before = () if self._before is None else self._before.replies
        return before if self._final is None else (*before, self._final)

    async def ended(self) -> None:
        """Wait for the final reply."""
        if not self.answered:
            self._ended = trio.Event()
            await self._ended.wait()

    def instead(self, reply: Reply) -> Reply | None:
        """See `Tap.instead`. Raises BadAnswer if too much would have to be held."""
        if isinstance(reply, Error):
            if self._final is not None:
                return None  # the answer is whole
            self._before = None
            return Error(_of_name(self._name, reply.error)) if self._operation in _TAKING_NAMES else reply
        if self._before is None:
            if self._operation not in HIDES or isinstance(reply, Log) or reply.value is None:
                return reply
            repeated = self._repeats.shown(self._operation, reply.value)
            if repeated is not None:
                return reply.replace(value=repeated)
            self._before = Before()
        if isinstance(reply, Ack):
            self._final = reply
        else:
            self._before.add(reply)
        return None

    async def _deliver(self, reply: Reply) -> None:
        try:
            await super()._deliver(reply)
        finally:
            if self._ended is not None and self.answered:
                self._ended.set()

    async def _finish(self) -> None:
        if self._before is None:
            await super()._finish()


async def _hidden(operation: str, reply: Set | Ack | Log, sight: Sight) -> Reply:
    if isinstance(reply, Log) or reply.value is None:
        return reply
    shown = Json.from_data(await HIDES[operation](sight, reply.value.data))
    if not sight.needed_lists:
        sight.repeats.keep(operation, reply.value, shown)
    return reply.replace(value=shown)


def _of_name(name: str, error: SwarmError) -> SwarmError:
    """Return the error for a container's name that is taken without the id of the container."""
    if not isinstance(error, Conflict):
        return error
    taken = f'Conflict. The container name "/{name.removeprefix("/")}" is already in use'
    return Conflict(f"{taken}. You have to remove (or rename) that container to be able to reuse that name.")
