"""The parameters of each operation of the Engine API that has some, typed (see `parameters`).

Compiled from the official OpenAPI documents (moby/moby, Apache-2.0) by `python -m tests.support.apischema`: don't edit.
"""

from __future__ import annotations

from typing import Any

from .numbers import UINT64
from .parameters import (
    Data,
    EventTime,
    Filters,
    Flag,
    Integer,
    LenientInteger,
    Params,
    StrictFlag,
    Tail,
    TaskTail,
    Text,
    Texts,
    Time,
)


class BuildPrune(Params):
    """Parameters of POST /build/prune."""

    keep_storage = Integer("keep-storage")
    all = Flag()
    filters = Filters()
    reserved_space = Integer("reserved-space")
    max_used_space = Integer("max-used-space")
    min_free_space = Integer("min-free-space")


class ConfigList(Params):
    """Parameters of GET /configs."""

    filters = Filters()


class ConfigUpdate(Params):
    """Parameters of POST /configs/{id}/update."""

    version = Integer(allowed=UINT64)


class ContainerArchive(Params):
    """Parameters of GET /containers/{id}/archive."""

    path = Text()


class ContainerArchiveInfo(ContainerArchive):
    """Parameters of HEAD /containers/{id}/archive."""


class ContainerAttach(Params):
    """Parameters of POST /containers/{id}/attach."""

    detach_keys = Text("detachKeys")
    logs = Flag()
    stream = Flag()
    stdin = Flag()
    stdout = Flag()
    stderr = Flag()


class ContainerAttachWebsocket(ContainerAttach):
    """Parameters of GET /containers/{id}/attach/ws."""


class ContainerCreate(Params):
    """Parameters of POST /containers/create."""

    name = Text()
    platform = Text()


class ContainerDelete(Params):
    """Parameters of DELETE /containers/{id}."""

    v = Flag()
    force = Flag()
    link = Flag()


class ContainerInspect(Params):
    """Parameters of GET /containers/{id}/json."""

    size = Flag()


class ContainerKill(Params):
    """Parameters of POST /containers/{id}/kill."""

    signal = Text(default="SIGKILL")


class ContainerList(Params):
    """Parameters of GET /containers/json."""

    all = Flag()
    limit = Integer()
    size = Flag()
    filters = Filters()
    since = Text()
    before = Text()


class ContainerLogs(Params):
    """Parameters of GET /containers/{id}/logs."""

    follow = Flag()
    stdout = Flag()
    stderr = Flag()
    since = Time()
    until = Time()
    timestamps = Flag()
    tail = Tail()
    details = Flag()


class ContainerPrune(Params):
    """Parameters of POST /containers/prune."""

    filters = Filters()


class ContainerRename(Params):
    """Parameters of POST /containers/{id}/rename."""

    name = Text()


class ContainerResize(Params):
    """Parameters of POST /containers/{id}/resize."""

    h = Integer()
    w = Integer()


class ContainerRestart(Params):
    """Parameters of POST /containers/{id}/restart."""

    t = Integer()
    signal = Text()


class ContainerStart(Params):
    """Parameters of POST /containers/{id}/start."""

    detach_keys = Text("detachKeys")
    checkpoint = Text()
    checkpoint_dir = Text("checkpoint-dir")


class ContainerStats(Params):
    """Parameters of GET /containers/{id}/stats."""

    stream = Flag(default=True)
    one_shot = Flag("one-shot")


class ContainerStop(ContainerRestart):
    """Parameters of POST /containers/{id}/stop."""


class ContainerTop(Params):
    """Parameters of GET /containers/{id}/top."""

    ps_args = Text(default="-ef")


class ContainerWait(Params):
    """Parameters of POST /containers/{id}/wait."""

    condition = Text(default="not-running")


class ExecResize(ContainerResize):
    """Parameters of POST /exec/{id}/resize."""


class GetPluginPrivileges(Params):
    """Parameters of GET /plugins/privileges."""

    remote = Text()


class ImageAttestations(Params):
    """Parameters of GET /images/{name}/attestations."""

    platform = Texts()
    type = Texts()
    statement = Flag()


class ImageBuild(Params):
    """Parameters of POST /build."""

    dockerfile = Text(default="Dockerfile")
    t = Texts()
    extrahosts = Texts()
    remote = Text()
    q = Flag()
    nocache = Flag()
    cachefrom = Data[list[str]](["string"])
    pull = Flag()
    rm = Flag(default=True, empty=False)
    forcerm = Flag()
    memory = LenientInteger()
    memswap = LenientInteger()
    cpushares = LenientInteger()
    cpusetcpus = Text()
    cpuperiod = LenientInteger()
    cpuquota = LenientInteger()
    buildargs = Data[dict[str, str | None]]({"*": "string?"})
    shmsize = Integer()
    squash = Flag()
    labels = Data[dict[str, str]]({"*": "string"})
    networkmode = Text()
    platform = Text()
    target = Text()
    outputs = Data[list[Any]]([{"Type": "string", "Attrs": {"*": "string"}}])
    version = Text(default="1")
    securityopt = Texts()
    ulimits = Data[list[Any]]([{"Name": "string", "Soft": "int64", "Hard": "int64"}])
    cgroupparent = Text()
    cpusetmems = Text()
    isolation = Text()
    session = Text()
    buildid = Text()


class ImageCommit(Params):
    """Parameters of POST /commit."""

    container = Text()
    repo = Text()
    tag = Text()
    comment = Text()
    author = Text()
    pause = Flag(default=True, empty=False)
    changes = Texts()


class ImageCreate(Params):
    """Parameters of POST /images/create."""

    from_image = Text("fromImage")
    from_src = Text("fromSrc")
    repo = Text()
    tag = Text()
    message = Text()
    changes = Texts()
    platform = Text()


class ImageDelete(Params):
    """Parameters of DELETE /images/{name}."""

    force = Flag()
    noprune = Flag()
    platforms = Texts()


class ImageGet(Params):
    """Parameters of GET /images/{name}/get."""

    platform = Texts()


class ImageGetAll(Params):
    """Parameters of GET /images/get."""

    names = Texts()
    platform = Texts()


class ImageHistory(Params):
    """Parameters of GET /images/{name}/history."""

    platform = Text()


class ImageImport(ImageCreate):
    """Parameters of POST /images/create."""


class ImageInspect(Params):
    """Parameters of GET /images/{name}/json."""

    manifests = Flag()
    platform = Text()


class ImageList(Params):
    """Parameters of GET /images/json."""

    all = Flag()
    filters = Filters()
    digests = Flag()
    shared_size = Flag("shared-size")
    manifests = Flag()
    identity = Flag()


class ImageLoad(Params):
    """Parameters of POST /images/load."""

    quiet = Flag()
    platform = Texts()


class ImagePrune(Params):
    """Parameters of POST /images/prune."""

    filters = Filters()


class ImagePush(Params):
    """Parameters of POST /images/{name}/push."""

    tag = Text()
    platform = Text()


class ImageSearch(Params):
    """Parameters of GET /images/search."""

    term = Text()
    limit = Integer()
    filters = Filters()


class ImageTag(Params):
    """Parameters of POST /images/{name}/tag."""

    repo = Text()
    tag = Text()


class NetworkInspect(Params):
    """Parameters of GET /networks/{id}."""

    verbose = StrictFlag()
    scope = Text()


class NetworkList(Params):
    """Parameters of GET /networks."""

    filters = Filters()


class NetworkPrune(Params):
    """Parameters of POST /networks/prune."""

    filters = Filters()


class NodeDelete(Params):
    """Parameters of DELETE /nodes/{id}."""

    force = Flag()


class NodeList(Params):
    """Parameters of GET /nodes."""

    filters = Filters()


class NodeUpdate(Params):
    """Parameters of POST /nodes/{id}/update."""

    version = Integer(allowed=UINT64)


class PluginCreate(Params):
    """Parameters of POST /plugins/create."""

    name = Text()


class PluginDelete(Params):
    """Parameters of DELETE /plugins/{name}."""

    force = Flag()


class PluginDisable(Params):
    """Parameters of POST /plugins/{name}/disable."""

    force = Flag()


class PluginEnable(Params):
    """Parameters of POST /plugins/{name}/enable."""

    timeout = Integer()


class PluginList(Params):
    """Parameters of GET /plugins."""

    filters = Filters()


class PluginPull(Params):
    """Parameters of POST /plugins/pull."""

    remote = Text()
    name = Text()


class PluginUpgrade(Params):
    """Parameters of POST /plugins/{name}/upgrade."""

    remote = Text()


class PutContainerArchive(Params):
    """Parameters of PUT /containers/{id}/archive."""

    path = Text()
    no_overwrite_dir_non_dir = Flag("noOverwriteDirNonDir")
    copy_uidgid = Flag("copyUIDGID")


class SecretList(Params):
    """Parameters of GET /secrets."""

    filters = Filters()


class SecretUpdate(Params):
    """Parameters of POST /secrets/{id}/update."""

    version = Integer(allowed=UINT64)


class ServiceInspect(Params):
    """Parameters of GET /services/{id}."""

    insert_defaults = StrictFlag("insertDefaults")


class ServiceList(Params):
    """Parameters of GET /services."""

    filters = Filters()
    status = StrictFlag()


class ServiceLogs(Params):
    """Parameters of GET /services/{id}/logs."""

    details = Flag()
    follow = Flag()
    stdout = Flag()
    stderr = Flag()
    since = Time()
    timestamps = Flag()
    tail = TaskTail()


class ServiceUpdate(Params):
    """Parameters of POST /services/{id}/update."""

    version = Integer(allowed=UINT64)
    registry_auth_from = Text("registryAuthFrom", default="spec")
    rollback = Text()


class SwarmLeave(Params):
    """Parameters of POST /swarm/leave."""

    force = Flag()


class SwarmUpdate(Params):
    """Parameters of POST /swarm/update."""

    version = Integer(allowed=UINT64)
    rotate_worker_token = StrictFlag("rotateWorkerToken")
    rotate_manager_token = StrictFlag("rotateManagerToken")
    rotate_manager_unlock_key = StrictFlag("rotateManagerUnlockKey")


class SystemDataUsage(Params):
    """Parameters of GET /system/df."""

    type = Texts()
    verbose = Flag()


class SystemEvents(Params):
    """Parameters of GET /events."""

    since = EventTime()
    until = EventTime()
    filters = Filters()


class TaskList(Params):
    """Parameters of GET /tasks."""

    filters = Filters()


class TaskLogs(ServiceLogs):
    """Parameters of GET /tasks/{id}/logs."""


class VolumeDelete(Params):
    """Parameters of DELETE /volumes/{name}."""

    force = Flag()


class VolumeList(Params):
    """Parameters of GET /volumes."""

    filters = Filters()


class VolumePrune(Params):
    """Parameters of POST /volumes/prune."""

    filters = Filters()


class VolumeUpdate(Params):
    """Parameters of PUT /volumes/{name}."""

    version = Integer(allowed=UINT64)
