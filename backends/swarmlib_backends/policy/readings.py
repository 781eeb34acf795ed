"""How the requests of each operation are read into demands.

Every request is read: its body by the fields of the Engine API, its parameters one by one, and its path where that
names something that a rule lists. What no reader knows is demanded as well, so a rule that does not list it refuses it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from swarmlib import Request, SwarmError

from ..dockerapi import targets
from ..dockerapi.rows import WHOLE, Row
from . import containers, images, names, objects, services, swarm
from .demands import Demand, Reader, always, each, nothing, struct, text

UNJUDGED: Final = "unjudged"
"""The kind of requests without a row, which nobody can read; its values are like `POST /session`."""
_PARAMETERS: Final = "parameters"
"""The kind of parameters that have no kind of their own; its values are their names."""
_UNEXPECTED: Final = struct({})
_UPLOAD: Final = always("uploads")


def _nothing_together(request: Request) -> Iterator[Demand]:
    yield from ()


@dataclass(frozen=True)
class Reading:
    """How the requests of an operation are read.

    Attributes:
        body: reads the body; without a reader, any field of a body is demanded.
        parameters: read the values of parameters that another operation has not, or in which they mean something else.
        together: reads what the path, or several parameters together, demand.
        upload: reads the name of the operation, if it has an upload: nobody looks into that.
    """

    body: Reader = _UNEXPECTED
    parameters: Mapping[str, Reader] = field(default_factory=dict[str, Reader])
    together: Callable[[Request], Iterator[Demand]] = _nothing_together
    upload: Reader = _UPLOAD


def demands(row: Row, request: Request) -> Iterator[Demand]:
    """Yield what a request in canonical form demands; row: its own."""
    reading = _READINGS.get(row.name, _PLAIN)
    yield from reading.together(request)
    if row is not WHOLE:
        yield from _of_parameters(row, request.params, reading.parameters)
    if row.upload:
        yield from reading.upload("the upload", row.name)
    if request.body is not None:
        yield from reading.body("", request.json)


def _of_parameters(row: Row, given: Mapping[str, Any], own: Mapping[str, Reader]) -> Iterator[Demand]:
    for name, value in given.items():
        declared = row.params.declared.get(name)
        read = own.get(name) or _USUAL.get(name)
        if name in _IGNORED:
            continue
        if declared is None or read is None:
            yield Demand(_PARAMETERS, name, name)
        else:
            yield from read(name, declared.value(value))


def _parameter(place: str, value: Any) -> Iterator[Demand]:
    if value:
        yield Demand(_PARAMETERS, place, place)


def _in_path(read: Reader) -> Callable[[Request], Iterator[Demand]]:
    """Make the reader of the name in a request's path."""
    return lambda request: read("the path", request.path[1])


def _folder(place: str, value: Any) -> Iterator[Demand]:
    """Read the folder of a container into which an archive is unpacked."""
    yield Demand("uploads", posixpath.normpath(f"/{value}").replace("//", "/"), place)


def _network(place: str, value: Any) -> Iterator[Demand]:
    yield Demand("networks", value, place)


def _unread(request: Request) -> Iterator[Demand]:
    """Read a request without a row: its method and its path without the version, as the engine decodes it."""
    method, target = str(request.params.get("method")), str(request.params.get("target"))
    try:
        place = targets.read(target).place
    except SwarmError:
        place = target
    yield Demand(UNJUDGED, f"{method} {place}", "the request")


def _asked_registry(request: Request) -> Iterator[Demand]:
    """Read where an engine tries a password: without an address, at Docker Hub."""
    body: Mapping[str, Any] = request.json or {}
    yield from names.registry("serveraddress", body.get("serveraddress", ""))


_PLAIN: Final = Reading()
_IGNORED: Final = frozenset({"trunc_cmd", "only_ids"})
"""The parameters that no engine reads, and that docker-py sends with every list of containers and of images."""
_USUAL: Final[Mapping[str, Reader]] = {
    # What is shown of objects, and how: none of it reaches for another object, or for the host.
    **dict.fromkeys(("all", "limit", "size", "since", "before", "until", "filters", "digests", "shared-size"), nothing),
    **dict.fromkeys(("manifests", "identity", "verbose", "scope", "status", "insertDefaults", "statement"), nothing),
    **dict.fromkeys(("type", "platform", "follow", "stdout", "stderr", "timestamps", "tail", "details"), nothing),
    **dict.fromkeys(("stream", "one-shot", "logs", "stdin", "detachKeys", "h", "w", "condition", "path"), nothing),
    # How something is done to the object itself.
    **dict.fromkeys(("t", "signal", "v", "force", "link", "noprune", "platforms", "quiet", "version"), nothing),
    **dict.fromkeys(("noOverwriteDirNonDir", "copyUIDGID", "timeout"), nothing),
    **dict.fromkeys(("keep-storage", "reserved-space", "max-used-space", "min-free-space"), nothing),
    "name": names.new,
    "ps_args": text("ps_args", "-ef", "aux"),
    **dict.fromkeys(("checkpoint", "checkpoint-dir"), text("checkpoints")),
}
"""The readers of parameters that mean the same in all operations that have them."""
_PLUGIN: Final = Reading(together=_in_path(names.plugin))
_READINGS: Final[Mapping[str, Reading]] = {
    WHOLE.name: Reading(together=_unread),
    "SystemAuth": Reading(objects.credentials, together=_asked_registry),
    "ContainerCreate": Reading(containers.read, together=containers.from_nothing),
    "ContainerUpdate": Reading(containers.update),
    "ContainerExec": Reading(objects.command),
    "ExecStart": Reading(objects.beginning),
    "PutContainerArchive": Reading(parameters={"path": _folder}, upload=nothing),
    "ImageCommit": Reading(containers.commit, images.COMMIT, images.committed),
    "ImageCreate": Reading(parameters=images.NEW, together=images.pulled),
    "ImageImport": Reading(parameters=images.NEW, together=images.imported),
    "ImageBuild": Reading(parameters=images.BUILD),
    "ImageTag": Reading(parameters=dict.fromkeys(("repo", "tag"), nothing), together=images.tagged),
    "ImagePush": Reading(objects.credentials, {"tag": nothing}, images.pushed),
    "ImageDelete": Reading(together=_in_path(names.removed_image)),
    "ImageGet": Reading(together=_in_path(names.saved_image)),
    "ImageGetAll": Reading(parameters={"names": each(names.saved_image)}),
    "ImageSearch": Reading(parameters={"term": names.searched}),
    "DistributionInspect": Reading(together=_in_path(names.remote_image)),
    "NetworkCreate": Reading(objects.network),
    "NetworkConnect": Reading(objects.connection, together=_in_path(_network)),
    "NetworkDisconnect": Reading(objects.disconnection, together=_in_path(_network)),
    "VolumeCreate": Reading(objects.volume),
    "VolumeUpdate": Reading(objects.volume_update),
    "ServiceCreate": Reading(services.service),
    "ServiceUpdate": Reading(services.service, {"registryAuthFrom": nothing, "rollback": _parameter}),
    "SecretCreate": Reading(objects.secret),
    "SecretUpdate": Reading(objects.secret),
    "ConfigCreate": Reading(objects.config),
    "ConfigUpdate": Reading(objects.config),
    "SwarmInit": Reading(swarm.beginning),
    "SwarmJoin": Reading(swarm.joining),
    "SwarmUpdate": Reading(swarm.spec, swarm.ROTATIONS),
    "SwarmUnlock": Reading(swarm.unlocking),
    "NodeUpdate": Reading(swarm.node),
    "GetPluginPrivileges": Reading(parameters={"remote": names.plugin}),
    "PluginPull": Reading(swarm.privileges, dict.fromkeys(("remote", "name"), names.plugin)),
    "PluginUpgrade": Reading(swarm.privileges, {"remote": names.plugin}, _in_path(names.plugin)),
    "PluginCreate": Reading(parameters={"name": names.plugin}),
    "PluginSet": Reading(swarm.settings, together=_in_path(names.plugin)),
    **dict.fromkeys(("PluginEnable", "PluginDisable", "PluginPush", "PluginDelete"), _PLUGIN),
}
