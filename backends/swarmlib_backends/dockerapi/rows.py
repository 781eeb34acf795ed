"""The rows of the routing table: every operation of the Engine API, and the message that it is.

Source: the Engine API's OpenAPI document; a row's name is its operationId.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Final
from urllib.parse import quote

from swarmlib import Path, Verb


class Kind(Enum):
    """How a row answers."""

    VALUE = "one JSON value, or nothing: `set` (or the `ack` of a spawn), then `ack`"
    WATCH = "`ack` at once (the head), then JSON values as they come"
    PROGRESS = "JSON values as they come, then `ack`; a failure after the first comes in-band"
    STREAM = "`ack` with bytes one way"
    HIJACK = "`ack` with bytes both ways"


@dataclass(frozen=True)
class Row:
    """One operation: its request on the left, its message on the right, and how it answers."""

    name: str
    method: str
    template: str
    verb: Verb
    object: str
    kind: Kind = Kind.VALUE
    status: int = 200
    upload: bool = False
    """The request's body is bytes, and travels as the attachment."""
    when: tuple[str, str] | None = None
    """A query parameter that tells this row from another of the same method and template."""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches a target's path; `{name}` may hold slashes, as an image's does."""
        text = re.escape(self.template).replace(r"\{name\}", "(?P<name>.+)").replace(r"\{id\}", "(?P<id>[^/]+)")
        return re.compile(text)

    @cached_property
    def shape(self) -> tuple[str | None, ...]:
        """The object path, with None where a name stands."""
        return tuple(None if part == "*" else part for part in self.object.split("/") if part)

    def path(self, name: str) -> Path:
        """The object path for a name."""
        return tuple(name if part is None else part for part in self.shape)

    def target(self, path: Path) -> str:
        """The request's path for an object path; the inverse of `pattern` and `path`."""
        if None not in self.shape:
            return self.template
        name = path[self.shape.index(None)]
        return self.template.replace("{name}", quote(name, safe="/:@")).replace("{id}", quote(name, safe=":@"))


_FROM_BODY: Final = ("fromSrc", "-")


def _rows() -> tuple[Row, ...]:
    spawn, start, stop, ls, get = Verb.SPAWN, Verb.START, Verb.STOP, Verb.LS, Verb.GET
    change, rm, watch, connect, file = Verb.SET, Verb.RM, Verb.WATCH, Verb.CONNECT, Verb.FILE
    return (
        # System
        Row("SystemPing", "GET", "/_ping", get, "ping"),
        Row("SystemPingHead", "HEAD", "/_ping", get, "ping/head"),
        Row("SystemVersion", "GET", "/version", get, "version"),
        Row("SystemInfo", "GET", "/info", get, ""),
        Row("SystemDataUsage", "GET", "/system/df", get, "df"),
        Row("SystemEvents", "GET", "/events", watch, "", Kind.WATCH),
        Row("SystemAuth", "POST", "/auth", change, "auth"),
        # Containers
        Row("ContainerList", "GET", "/containers/json", ls, "containers"),
        Row("ContainerCreate", "POST", "/containers/create", spawn, "containers", status=201),
        Row("ContainerPrune", "POST", "/containers/prune", rm, "containers"),
        Row("ContainerInspect", "GET", "/containers/{id}/json", get, "containers/*"),
        Row("ContainerTop", "GET", "/containers/{id}/top", get, "containers/*/top"),
        Row("ContainerLogs", "GET", "/containers/{id}/logs", connect, "containers/*/logs", Kind.STREAM),
        Row("ContainerChanges", "GET", "/containers/{id}/changes", get, "containers/*/changes"),
        Row("ContainerExport", "GET", "/containers/{id}/export", file, "containers/*/export", Kind.STREAM),
        Row("ContainerStats", "GET", "/containers/{id}/stats", watch, "containers/*/stats", Kind.WATCH),
        Row("ContainerResize", "POST", "/containers/{id}/resize", change, "containers/*/resize"),
        Row("ContainerStart", "POST", "/containers/{id}/start", start, "containers/*", status=204),
        Row("ContainerStop", "POST", "/containers/{id}/stop", stop, "containers/*", status=204),
        Row("ContainerRestart", "POST", "/containers/{id}/restart", change, "containers/*/restart", status=204),
        Row("ContainerKill", "POST", "/containers/{id}/kill", stop, "containers/*/kill", status=204),
        Row("ContainerUpdate", "POST", "/containers/{id}/update", change, "containers/*/update"),
        Row("ContainerRename", "POST", "/containers/{id}/rename", change, "containers/*/rename", status=204),
        Row("ContainerPause", "POST", "/containers/{id}/pause", change, "containers/*/pause", status=204),
        Row("ContainerUnpause", "POST", "/containers/{id}/unpause", change, "containers/*/unpause", status=204),
        Row("ContainerAttach", "POST", "/containers/{id}/attach", connect, "containers/*", Kind.HIJACK),
        Row("ContainerAttachWebsocket", "GET", "/containers/{id}/attach/ws", connect, "containers/*/ws", Kind.HIJACK),
        Row("ContainerWait", "POST", "/containers/{id}/wait", watch, "containers/*/wait", Kind.WATCH),
        Row("ContainerDelete", "DELETE", "/containers/{id}", rm, "containers/*", status=204),
        Row("ContainerArchive", "GET", "/containers/{id}/archive", file, "containers/*/archive", Kind.STREAM),
        Row("ContainerArchiveInfo", "HEAD", "/containers/{id}/archive", get, "containers/*/archive"),
        Row("PutContainerArchive", "PUT", "/containers/{id}/archive", file, "containers/*/archive", upload=True),
        # Exec
        Row("ContainerExec", "POST", "/containers/{id}/exec", spawn, "containers/*/exec", status=201),
        Row("ExecStart", "POST", "/exec/{id}/start", connect, "exec/*", Kind.HIJACK),
        Row("ExecResize", "POST", "/exec/{id}/resize", change, "exec/*/resize"),
        Row("ExecInspect", "GET", "/exec/{id}/json", get, "exec/*"),
        # Images
        Row("ImageList", "GET", "/images/json", ls, "images"),
        Row("ImageImport", "POST", "/images/create", spawn, "images", Kind.PROGRESS, upload=True, when=_FROM_BODY),
        Row("ImageCreate", "POST", "/images/create", spawn, "images", Kind.PROGRESS),
        Row("ImageInspect", "GET", "/images/{name}/json", get, "images/*"),
        Row("ImageTag", "POST", "/images/{name}/tag", change, "images/*/tag", status=201),
        Row("ImageDelete", "DELETE", "/images/{name}", rm, "images/*"),
        Row("ImageHistory", "GET", "/images/{name}/history", get, "images/*/history"),
        Row("ImageAttestations", "GET", "/images/{name}/attestations", get, "images/*/attestations"),
        Row("ImagePush", "POST", "/images/{name}/push", change, "images/*/push", Kind.PROGRESS),
        Row("ImagePrune", "POST", "/images/prune", rm, "images"),
        Row("ImageSearch", "GET", "/images/search", get, "search"),
        Row("ImageGet", "GET", "/images/{name}/get", file, "images/*", Kind.STREAM),
        Row("ImageGetAll", "GET", "/images/get", file, "images", Kind.STREAM),
        Row("ImageLoad", "POST", "/images/load", file, "images", Kind.PROGRESS, upload=True),
        Row("ImageCommit", "POST", "/commit", spawn, "commit", status=201),
        Row("ImageBuild", "POST", "/build", spawn, "build", Kind.PROGRESS, upload=True),
        Row("BuildPrune", "POST", "/build/prune", rm, "build"),
        Row("DistributionInspect", "GET", "/distribution/{name}/json", get, "distribution/*"),
        # Networks
        Row("NetworkList", "GET", "/networks", ls, "networks"),
        Row("NetworkCreate", "POST", "/networks/create", spawn, "networks", status=201),
        Row("NetworkPrune", "POST", "/networks/prune", rm, "networks"),
        Row("NetworkInspect", "GET", "/networks/{id}", get, "networks/*"),
        Row("NetworkConnect", "POST", "/networks/{id}/connect", change, "networks/*/connect"),
        Row("NetworkDisconnect", "POST", "/networks/{id}/disconnect", change, "networks/*/disconnect"),
        Row("NetworkDelete", "DELETE", "/networks/{id}", rm, "networks/*", status=204),
        # Volumes
        Row("VolumeList", "GET", "/volumes", ls, "volumes"),
        Row("VolumeCreate", "POST", "/volumes/create", spawn, "volumes", status=201),
        Row("VolumePrune", "POST", "/volumes/prune", rm, "volumes"),
        Row("VolumeInspect", "GET", "/volumes/{name}", get, "volumes/*"),
        Row("VolumeUpdate", "PUT", "/volumes/{name}", change, "volumes/*"),
        Row("VolumeDelete", "DELETE", "/volumes/{name}", rm, "volumes/*", status=204),
        # Plugins
        Row("PluginList", "GET", "/plugins", ls, "plugins"),
        Row("GetPluginPrivileges", "GET", "/plugins/privileges", get, "plugin-privileges"),
        Row("PluginPull", "POST", "/plugins/pull", spawn, "plugins", Kind.PROGRESS),
        Row("PluginCreate", "POST", "/plugins/create", spawn, "plugins", status=204, upload=True),
        Row("PluginInspect", "GET", "/plugins/{name}/json", get, "plugins/*"),
        Row("PluginEnable", "POST", "/plugins/{name}/enable", start, "plugins/*"),
        Row("PluginDisable", "POST", "/plugins/{name}/disable", stop, "plugins/*"),
        Row("PluginUpgrade", "POST", "/plugins/{name}/upgrade", change, "plugins/*/upgrade", Kind.PROGRESS),
        Row("PluginPush", "POST", "/plugins/{name}/push", change, "plugins/*/push", Kind.PROGRESS),
        Row("PluginSet", "POST", "/plugins/{name}/set", change, "plugins/*", status=204),
        Row("PluginDelete", "DELETE", "/plugins/{name}", rm, "plugins/*"),
        # Swarm mode
        Row("SwarmInspect", "GET", "/swarm", get, "swarm"),
        Row("SwarmInit", "POST", "/swarm/init", spawn, "swarm"),
        Row("SwarmJoin", "POST", "/swarm/join", change, "swarm/join"),
        Row("SwarmUpdate", "POST", "/swarm/update", change, "swarm/update"),
        Row("SwarmUnlock", "POST", "/swarm/unlock", change, "swarm/unlock"),
        Row("SwarmUnlockkey", "GET", "/swarm/unlockkey", get, "swarm/unlockkey"),
        Row("SwarmLeave", "POST", "/swarm/leave", rm, "swarm"),
        Row("NodeList", "GET", "/nodes", ls, "nodes"),
        Row("NodeInspect", "GET", "/nodes/{id}", get, "nodes/*"),
        Row("NodeUpdate", "POST", "/nodes/{id}/update", change, "nodes/*"),
        Row("NodeDelete", "DELETE", "/nodes/{id}", rm, "nodes/*"),
        Row("ServiceList", "GET", "/services", ls, "services"),
        Row("ServiceCreate", "POST", "/services/create", spawn, "services", status=201),
        Row("ServiceInspect", "GET", "/services/{id}", get, "services/*"),
        Row("ServiceUpdate", "POST", "/services/{id}/update", change, "services/*"),
        Row("ServiceLogs", "GET", "/services/{id}/logs", connect, "services/*/logs", Kind.STREAM),
        Row("ServiceDelete", "DELETE", "/services/{id}", rm, "services/*"),
        Row("TaskList", "GET", "/tasks", ls, "tasks"),
        Row("TaskInspect", "GET", "/tasks/{id}", get, "tasks/*"),
        Row("TaskLogs", "GET", "/tasks/{id}/logs", connect, "tasks/*/logs", Kind.STREAM),
        Row("SecretList", "GET", "/secrets", ls, "secrets"),
        Row("SecretCreate", "POST", "/secrets/create", spawn, "secrets", status=201),
        Row("SecretInspect", "GET", "/secrets/{id}", get, "secrets/*"),
        Row("SecretUpdate", "POST", "/secrets/{id}/update", change, "secrets/*"),
        Row("SecretDelete", "DELETE", "/secrets/{id}", rm, "secrets/*", status=204),
        Row("ConfigList", "GET", "/configs", ls, "configs"),
        Row("ConfigCreate", "POST", "/configs/create", spawn, "configs", status=201),
        Row("ConfigInspect", "GET", "/configs/{id}", get, "configs/*"),
        Row("ConfigUpdate", "POST", "/configs/{id}/update", change, "configs/*"),
        Row("ConfigDelete", "DELETE", "/configs/{id}", rm, "configs/*", status=204),
    )


ROWS: Final = _rows()
