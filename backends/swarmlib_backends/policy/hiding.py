"""Hides what belongs to others in the answers to a client that is confined to what is its own.

The objects that a client asks for by name are looked up in `ownership`, and most lists are filtered by the engine. Here
is what an answer about something of the client's own, or of the engine, says besides: counts, images, the other ends of
networks and links, and whose name is taken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

from swarmlib import Conflict, Error, Json, Log, Reply, Request, SwarmError

from ..calls import forward, relay
from .sight import Object, Sight, object_of, objects_of

_STATES: Final = {"running": "ContainersRunning", "restarting": "ContainersRunning", "paused": "ContainersPaused"}
"""The count of `info` for each state of a container; others are stopped."""

# The answers of each operation, as an owner sees them.


async def _containers(sight: Sight, given: Any) -> Any:
    return [await sight.of_container(each) for each in objects_of(given)]


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
    return [await _network(sight, each) for each in objects_of(given)]


async def _volumes(sight: Sight, given: Any) -> Any:
    return {"Volumes": objects_of(object_of(given).get("Volumes")), "Warnings": None}


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
    containers, volumes = (_owned(sight, usage.get(kind)) for kind in ("Containers", "Volumes"))
    used = [each.get("ImageID") for each in containers]
    images = [
        {**each, "SharedSize": -1, "Containers": used.count(each.get("Id"))}
        for each in sight.images(usage.get("Images"))
    ]
    sizes = [size for each in images if isinstance(size := each.get("Size"), int)]
    shown = {"Images": images, "Containers": [await sight.of_container(each) for each in containers]}
    return {"LayersSize": sum(sizes), **shown, "Volumes": volumes, "BuildCache": [], "BuilderSize": 0}


def _owned(sight: Sight, given: Any) -> list[Object]:
    return [each for each in objects_of(given) if sight.owner.owns(object_of(each.get("Labels")))]


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
    hide = HIDES.get(operation)

    async def take(reply: Reply) -> None:
        if isinstance(reply, Error):
            if operation in _TAKING_NAMES:
                reply = Error(_of_name(request.params.get("name", ""), reply.error))
        elif hide is not None and not isinstance(reply, Log) and reply.value is not None:
            reply = reply.replace(value=await _hidden(operation, hide, sight, reply.value))
        await forward(reply, request.reply)

    await relay(request, sight.sender, take)


async def _hidden(operation: str, hide: Hide, sight: Sight, given: Json) -> Json:
    repeated = sight.repeats.shown(operation, given)
    if repeated is not None:
        return repeated
    shown = Json.from_data(await hide(sight, given.data))
    if not sight.needed_lists:
        sight.repeats.keep(operation, given, shown)
    return shown


def _of_name(name: str, error: SwarmError) -> SwarmError:
    """Return the error for a container's name that is taken without the id of the container."""
    if not isinstance(error, Conflict):
        return error
    taken = f'Conflict. The container name "/{name.removeprefix("/")}" is already in use'
    return Conflict(f"{taken}. You have to remove (or rename) that container to be able to reuse that name.")
