"""The rows of the routing table: every operation of the Engine API, and the `Request` that it corresponds to.

Source: the Engine API's OpenAPI document; a row's name is its operationId.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Final
from urllib.parse import quote

from swarmlib import Path, Verb, trace_context

from . import operations
from .parameters import Params


class Kind(Enum):
    """How a row answers."""

    VALUE = "one JSON value, or nothing: `set` (or the `ack` of a spawn), then `ack`"
    WATCH = "`ack` at once (the head), then JSON values as they come"
    PROGRESS = "JSON values as they come, then `ack`; a failure after the first comes in-band"
    STREAM = "`ack` with bytes one way"
    HIJACK = "`ack` with bytes both ways"
    WHOLE = "`ack` with the response's status and headers, and its body; or, after an upgrade, with bytes both ways"


_SECRETS: Final = frozenset({b"x-registry-auth", b"x-registry-config"})
"""The headers that are never logged."""
_BODY: Final = frozenset({b"content-type", b"content-encoding"})
TRACE_HEADERS: Final = frozenset(name.encode() for name in (trace_context.PARENT, trace_context.STATE))
"""The headers that say to which trace a call belongs, which is the request's `meta.trace`."""
_ENCODING: Final = frozenset({b"accept-encoding"})
_WEBSOCKET: Final = frozenset(
    {b"origin", b"upgrade", *(b"sec-websocket-" + name for name in (b"key", b"version", b"protocol", b"extensions"))}
)


_NAME: Final = "(?![^/]+/checkpoints(?:/|$)).+"
"""A name that may hold slashes. A container's checkpoints are not part of its name: an engine looks for them first."""


@dataclass(frozen=True)
class Row:
    """One operation: its HTTP request on the left, its `Request` on the right, and how it answers."""

    name: str
    method: str
    template: str
    verb: Verb
    object: str
    kind: Kind = Kind.VALUE
    status: int = 200
    upload: bool = False
    """Whether the request's body is bytes, which travel as the attachment."""
    when: tuple[str, str] | None = None
    """A query parameter that distinguishes this row from another one of the same method and template."""
    slash: bool = False
    """Whether an engine also accepts a slash at the end of the path."""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The pattern of a target's decoded path."""
        name = f"({_NAME if self.nested_names else '[^/]+'})"
        path = re.escape(self.template).replace(r"\{name\}", name).replace(r"\{id\}", name)
        return re.compile(path + "/?" if self.slash else path, re.DOTALL)

    @cached_property
    def params(self) -> type[Params]:
        """The class of the operation's parameters."""
        found: type[Params] = getattr(operations, self.name, Params)
        return found

    @cached_property
    def nested_names(self) -> bool:
        """Whether a name may hold slashes, as an engine allows (a container's may also be `ENGINE/NAME`)."""
        return "{name}" in self.template or self.template.startswith(("/containers/", "/networks/", "/exec/"))

    @cached_property
    def shape(self) -> tuple[str | None, ...]:
        """The object path, with None in place of a name."""
        return tuple(None if part == "*" else part for part in self.object.split("/") if part)

    @cached_property
    def kept_headers(self) -> frozenset[bytes]:
        """The request headers, in lower case, that matter to an engine here, and so travel with the request."""
        if self.name == "ContainerAttachWebsocket":
            return _SECRETS | _WEBSOCKET | TRACE_HEADERS
        # Only archives are compressed. Stages that read lists or objects need not handle encodings.
        return _SECRETS | _BODY | TRACE_HEADERS | (_ENCODING if self.kind is Kind.STREAM else frozenset[bytes]())

    def path(self, name: str) -> Path:
        """Return the object path for a name."""
        return tuple(name if part is None else part for part in self.shape)

    def target(self, path: Path) -> str:
        """Return the request's path for an object path; the inverse of `pattern` and `path`."""
        if None not in self.shape:
            return self.template
        name = path[self.shape.index(None)]
        quoted = quote(name, safe="/:@" if self.nested_names else ":@")
        return self.template.replace("{name}", quoted).replace("{id}", quoted)


_FROM_BODY: Final = ("fromSrc", "-")


_SPAWN, _START, _STOP, _LS, _GET, _SET = Verb.SPAWN, Verb.START, Verb.STOP, Verb.LS, Verb.GET, Verb.SET
_RM, _WATCH, _CONNECT, _FILE = Verb.RM, Verb.WATCH, Verb.CONNECT, Verb.FILE

ROWS: Final = (
    # System
    Row("SystemPing", "GET", "/_ping", _GET, "ping"),
    Row("SystemPingHead", "HEAD", "/_ping", _GET, "ping/head"),
    Row("SystemVersion", "GET", "/version", _GET, "version"),
    Row("SystemInfo", "GET", "/info", _GET, ""),
    Row("SystemDataUsage", "GET", "/system/df", _GET, "df"),
    Row("SystemEvents", "GET", "/events", _WATCH, "", Kind.WATCH),
    Row("SystemAuth", "POST", "/auth", _SET, "auth"),
    # Containers
    Row("ContainerList", "GET", "/containers/json", _LS, "containers"),
    Row("ContainerCreate", "POST", "/containers/create", _SPAWN, "containers", status=201),
    Row("ContainerPrune", "POST", "/containers/prune", _RM, "containers"),
    Row("ContainerInspect", "GET", "/containers/{id}/json", _GET, "containers/*"),
    Row("ContainerTop", "GET", "/containers/{id}/top", _GET, "containers/*/top"),
    Row("ContainerLogs", "GET", "/containers/{id}/logs", _CONNECT, "containers/*/logs", Kind.STREAM),
    Row("ContainerChanges", "GET", "/containers/{id}/changes", _GET, "containers/*/changes"),
    Row("ContainerExport", "GET", "/containers/{id}/export", _FILE, "containers/*/export", Kind.STREAM),
    Row("ContainerStats", "GET", "/containers/{id}/stats", _WATCH, "containers/*/stats", Kind.WATCH),
    Row("ContainerResize", "POST", "/containers/{id}/resize", _SET, "containers/*/resize"),
    Row("ContainerStart", "POST", "/containers/{id}/start", _START, "containers/*", status=204),
    Row("ContainerStop", "POST", "/containers/{id}/stop", _STOP, "containers/*", status=204),
    Row("ContainerRestart", "POST", "/containers/{id}/restart", _SET, "containers/*/restart", status=204),
    Row("ContainerKill", "POST", "/containers/{id}/kill", _STOP, "containers/*/kill", status=204),
    Row("ContainerUpdate", "POST", "/containers/{id}/update", _SET, "containers/*/update"),
    Row("ContainerRename", "POST", "/containers/{id}/rename", _SET, "containers/*/rename", status=204),
    Row("ContainerPause", "POST", "/containers/{id}/pause", _SET, "containers/*/pause", status=204),
    Row("ContainerUnpause", "POST", "/containers/{id}/unpause", _SET, "containers/*/unpause", status=204),
    Row("ContainerAttach", "POST", "/containers/{id}/attach", _CONNECT, "containers/*", Kind.HIJACK),
    Row("ContainerAttachWebsocket", "GET", "/containers/{id}/attach/ws", _CONNECT, "containers/*/ws", Kind.HIJACK),
    Row("ContainerWait", "POST", "/containers/{id}/wait", _WATCH, "containers/*/wait", Kind.WATCH),
    Row("ContainerDelete", "DELETE", "/containers/{id}", _RM, "containers/*", status=204),
    Row("ContainerArchive", "GET", "/containers/{id}/archive", _FILE, "containers/*/archive", Kind.STREAM),
    Row("ContainerArchiveInfo", "HEAD", "/containers/{id}/archive", _GET, "containers/*/archive"),
    Row("PutContainerArchive", "PUT", "/containers/{id}/archive", _FILE, "containers/*/archive", upload=True),
    # Exec
    Row("ContainerExec", "POST", "/containers/{id}/exec", _SPAWN, "containers/*/exec", status=201),
    Row("ExecStart", "POST", "/exec/{id}/start", _CONNECT, "exec/*", Kind.HIJACK),
    Row("ExecResize", "POST", "/exec/{id}/resize", _SET, "exec/*/resize"),
    Row("ExecInspect", "GET", "/exec/{id}/json", _GET, "exec/*"),
    # Images
    Row("ImageList", "GET", "/images/json", _LS, "images"),
    Row("ImageImport", "POST", "/images/create", _SPAWN, "images", Kind.PROGRESS, upload=True, when=_FROM_BODY),
    Row("ImageCreate", "POST", "/images/create", _SPAWN, "images", Kind.PROGRESS),
    Row("ImageInspect", "GET", "/images/{name}/json", _GET, "images/*"),
    Row("ImageTag", "POST", "/images/{name}/tag", _SET, "images/*/tag", status=201),
    Row("ImageDelete", "DELETE", "/images/{name}", _RM, "images/*"),
    Row("ImageHistory", "GET", "/images/{name}/history", _GET, "images/*/history"),
    Row("ImageAttestations", "GET", "/images/{name}/attestations", _GET, "images/*/attestations"),
    Row("ImagePush", "POST", "/images/{name}/push", _SET, "images/*/push", Kind.PROGRESS),
    Row("ImagePrune", "POST", "/images/prune", _RM, "images"),
    Row("ImageSearch", "GET", "/images/search", _GET, "search"),
    Row("ImageGet", "GET", "/images/{name}/get", _FILE, "images/*", Kind.STREAM),
    Row("ImageGetAll", "GET", "/images/get", _FILE, "images", Kind.STREAM),
    Row("ImageLoad", "POST", "/images/load", _FILE, "images", Kind.PROGRESS, upload=True),
    Row("ImageCommit", "POST", "/commit", _SPAWN, "commit", status=201),
    Row("ImageBuild", "POST", "/build", _SPAWN, "build", Kind.PROGRESS, upload=True),
    Row("BuildPrune", "POST", "/build/prune", _RM, "build"),
    Row("DistributionInspect", "GET", "/distribution/{name}/json", _GET, "distribution/*"),
    # Networks
    Row("NetworkList", "GET", "/networks", _LS, "networks", slash=True),
    Row("NetworkCreate", "POST", "/networks/create", _SPAWN, "networks", status=201),
    Row("NetworkPrune", "POST", "/networks/prune", _RM, "networks"),
    Row("NetworkInspect", "GET", "/networks/{id}", _GET, "networks/*"),
    Row("NetworkConnect", "POST", "/networks/{id}/connect", _SET, "networks/*/connect"),
    Row("NetworkDisconnect", "POST", "/networks/{id}/disconnect", _SET, "networks/*/disconnect"),
    Row("NetworkDelete", "DELETE", "/networks/{id}", _RM, "networks/*", status=204),
    # Volumes
    Row("VolumeList", "GET", "/volumes", _LS, "volumes"),
    Row("VolumeCreate", "POST", "/volumes/create", _SPAWN, "volumes", status=201),
    Row("VolumePrune", "POST", "/volumes/prune", _RM, "volumes"),
    Row("VolumeInspect", "GET", "/volumes/{name}", _GET, "volumes/*"),
    Row("VolumeUpdate", "PUT", "/volumes/{name}", _SET, "volumes/*"),
    Row("VolumeDelete", "DELETE", "/volumes/{name}", _RM, "volumes/*", status=204),
    # Plugins
    Row("PluginList", "GET", "/plugins", _LS, "plugins"),
    Row("GetPluginPrivileges", "GET", "/plugins/privileges", _GET, "plugin-privileges"),
    Row("PluginPull", "POST", "/plugins/pull", _SPAWN, "plugins", Kind.PROGRESS),
    Row("PluginCreate", "POST", "/plugins/create", _SPAWN, "plugins", status=204, upload=True),
    Row("PluginInspect", "GET", "/plugins/{name}/json", _GET, "plugins/*"),
    Row("PluginEnable", "POST", "/plugins/{name}/enable", _START, "plugins/*"),
    Row("PluginDisable", "POST", "/plugins/{name}/disable", _STOP, "plugins/*"),
    Row("PluginUpgrade", "POST", "/plugins/{name}/upgrade", _SET, "plugins/*/upgrade", Kind.PROGRESS),
    Row("PluginPush", "POST", "/plugins/{name}/push", _SET, "plugins/*/push", Kind.PROGRESS),
    Row("PluginSet", "POST", "/plugins/{name}/set", _SET, "plugins/*", status=204),
    Row("PluginDelete", "DELETE", "/plugins/{name}", _RM, "plugins/*"),
    # Swarm mode
    Row("SwarmInspect", "GET", "/swarm", _GET, "swarm"),
    Row("SwarmInit", "POST", "/swarm/init", _SPAWN, "swarm"),
    Row("SwarmJoin", "POST", "/swarm/join", _SET, "swarm/join"),
    Row("SwarmUpdate", "POST", "/swarm/update", _SET, "swarm/update"),
    Row("SwarmUnlock", "POST", "/swarm/unlock", _SET, "swarm/unlock"),
    Row("SwarmUnlockkey", "GET", "/swarm/unlockkey", _GET, "swarm/unlockkey"),
    Row("SwarmLeave", "POST", "/swarm/leave", _RM, "swarm"),
    Row("NodeList", "GET", "/nodes", _LS, "nodes"),
    Row("NodeInspect", "GET", "/nodes/{id}", _GET, "nodes/*"),
    Row("NodeUpdate", "POST", "/nodes/{id}/update", _SET, "nodes/*"),
    Row("NodeDelete", "DELETE", "/nodes/{id}", _RM, "nodes/*"),
    Row("ServiceList", "GET", "/services", _LS, "services"),
    Row("ServiceCreate", "POST", "/services/create", _SPAWN, "services", status=201),
    Row("ServiceInspect", "GET", "/services/{id}", _GET, "services/*"),
    Row("ServiceUpdate", "POST", "/services/{id}/update", _SET, "services/*"),
    Row("ServiceLogs", "GET", "/services/{id}/logs", _CONNECT, "services/*/logs", Kind.STREAM),
    Row("ServiceDelete", "DELETE", "/services/{id}", _RM, "services/*"),
    Row("TaskList", "GET", "/tasks", _LS, "tasks"),
    Row("TaskInspect", "GET", "/tasks/{id}", _GET, "tasks/*"),
    Row("TaskLogs", "GET", "/tasks/{id}/logs", _CONNECT, "tasks/*/logs", Kind.STREAM),
    Row("SecretList", "GET", "/secrets", _LS, "secrets"),
    Row("SecretCreate", "POST", "/secrets/create", _SPAWN, "secrets", status=201),
    Row("SecretInspect", "GET", "/secrets/{id}", _GET, "secrets/*"),
    Row("SecretUpdate", "POST", "/secrets/{id}/update", _SET, "secrets/*"),
    Row("SecretDelete", "DELETE", "/secrets/{id}", _RM, "secrets/*", status=204),
    Row("ConfigList", "GET", "/configs", _LS, "configs"),
    Row("ConfigCreate", "POST", "/configs/create", _SPAWN, "configs", status=201),
    Row("ConfigInspect", "GET", "/configs/{id}", _GET, "configs/*"),
    Row("ConfigUpdate", "POST", "/configs/{id}/update", _SET, "configs/*"),
    Row("ConfigDelete", "DELETE", "/configs/{id}", _RM, "configs/*", status=204),
)

WHOLE: Final = Row("Whole", "", "", _CONNECT, "whole", Kind.WHOLE)
"""The row of requests without one (a newer client's, BuildKit's sessions), which are forwarded unchanged.

Its parameters are `method`, `target` and, where it asks for one, `upgrade` (the protocol). Its end-to-end headers are
in its meta, and its body is its upload. The `ack` has the details `status` and `headers`, and after a 101 `upgrade`;
its stream is the response's body, or after a 101 the bytes of both directions.
"""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""The methods that such a request may have."""
