"""The keywords of the client: the parameters of the Engine API's operations, and the fields of two bodies.

In keywords, the hyphens of parameters are underscores. Compiled from the official OpenAPI documents (moby/moby,
Apache-2.0) by `python -m tests.support.apischema`: don't edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, TypedDict

Param: TypeAlias = str | int | float | bool | Sequence[Any] | Mapping[str, Any] | None
"""The value of a keyword of the client: a parameter of the Engine API, or a field of its JSON."""


class ConnectParams(TypedDict, total=False):
    """What `connect` takes, of all its operations."""

    detachKeys: Param
    details: Param
    follow: Param
    logs: Param
    method: Param
    since: Param
    stderr: Param
    stdin: Param
    stdout: Param
    stream: Param
    tail: Param
    target: Param
    timestamps: Param
    until: Param
    upgrade: Param


class FileParams(TypedDict, total=False):
    """What `file` takes, of all its operations."""

    copyUIDGID: Param
    names: Param
    noOverwriteDirNonDir: Param
    path: Param
    platform: Param
    quiet: Param


class GetParams(TypedDict, total=False):
    """What `get` takes, of all its operations."""

    filters: Param
    insertDefaults: Param
    limit: Param
    manifests: Param
    path: Param
    platform: Param
    ps_args: Param
    remote: Param
    scope: Param
    size: Param
    statement: Param
    term: Param
    type: Param
    verbose: Param


class LsParams(TypedDict, total=False):
    """What `ls` takes, of all its operations."""

    all: Param
    before: Param
    digests: Param
    filters: Param
    identity: Param
    limit: Param
    manifests: Param
    shared_size: Param
    since: Param
    size: Param
    status: Param


class RmParams(TypedDict, total=False):
    """What `rm` takes, of all its operations."""

    all: Param
    filters: Param
    force: Param
    keep_storage: Param
    link: Param
    max_used_space: Param
    min_free_space: Param
    noprune: Param
    platforms: Param
    reserved_space: Param
    v: Param


class SetParams(TypedDict, total=False):
    """What `set` takes, of all its operations."""

    h: Param
    name: Param
    platform: Param
    registryAuthFrom: Param
    remote: Param
    repo: Param
    rollback: Param
    rotateManagerToken: Param
    rotateManagerUnlockKey: Param
    rotateWorkerToken: Param
    signal: Param
    t: Param
    tag: Param
    version: Param
    w: Param


class SpawnParams(TypedDict, total=False):
    """What `spawn` takes, of all its operations."""

    author: Param
    buildargs: Param
    buildid: Param
    cachefrom: Param
    cgroupparent: Param
    changes: Param
    comment: Param
    container: Param
    cpuperiod: Param
    cpuquota: Param
    cpusetcpus: Param
    cpusetmems: Param
    cpushares: Param
    dockerfile: Param
    extrahosts: Param
    forcerm: Param
    fromImage: Param
    fromSrc: Param
    isolation: Param
    labels: Param
    memory: Param
    memswap: Param
    message: Param
    name: Param
    networkmode: Param
    nocache: Param
    outputs: Param
    pause: Param
    platform: Param
    pull: Param
    q: Param
    remote: Param
    repo: Param
    rm: Param
    securityopt: Param
    session: Param
    shmsize: Param
    squash: Param
    t: Param
    tag: Param
    target: Param
    ulimits: Param
    version: Param


class StartParams(TypedDict, total=False):
    """What `start` takes, of all its operations."""

    checkpoint: Param
    checkpoint_dir: Param
    detachKeys: Param


class StopParams(TypedDict, total=False):
    """What `stop` takes, of all its operations."""

    force: Param
    signal: Param
    t: Param


class WatchParams(TypedDict, total=False):
    """What `watch` takes, of all its operations."""

    condition: Param
    filters: Param
    one_shot: Param
    since: Param
    stream: Param
    until: Param


class ContainerFields(TypedDict, total=False):
    """The fields of the body that makes a container."""

    Annotations: Param
    ArgsEscaped: Param
    AttachStderr: Param
    AttachStdin: Param
    AttachStdout: Param
    AutoRemove: Param
    Binds: Param
    BlkioDeviceReadBps: Param
    BlkioDeviceReadIOps: Param
    BlkioDeviceWriteBps: Param
    BlkioDeviceWriteIOps: Param
    BlkioWeight: Param
    BlkioWeightDevice: Param
    CapAdd: Param
    CapDrop: Param
    Cgroup: Param
    CgroupParent: Param
    CgroupnsMode: Param
    Cmd: Param
    ConsoleSize: Param
    ContainerIDFile: Param
    CpuCount: Param
    CpuPercent: Param
    CpuPeriod: Param
    CpuQuota: Param
    CpuRealtimePeriod: Param
    CpuRealtimeRuntime: Param
    CpuShares: Param
    Cpuset: Param
    CpusetCpus: Param
    CpusetMems: Param
    DeviceCgroupRules: Param
    DeviceRequests: Param
    Devices: Param
    Dns: Param
    DnsOptions: Param
    DnsSearch: Param
    Domainname: Param
    Entrypoint: Param
    Env: Param
    ExposedPorts: Param
    ExtraHosts: Param
    GroupAdd: Param
    Healthcheck: Param
    HostConfig: Param
    Hostname: Param
    IOMaximumBandwidth: Param
    IOMaximumIOps: Param
    Image: Param
    Init: Param
    IpcMode: Param
    Isolation: Param
    KernelMemory: Param
    KernelMemoryTCP: Param
    Labels: Param
    Links: Param
    LogConfig: Param
    MacAddress: Param
    MaskedPaths: Param
    Memory: Param
    MemoryReservation: Param
    MemorySwap: Param
    MemorySwappiness: Param
    Mounts: Param
    NanoCpus: Param
    NetworkDisabled: Param
    NetworkMode: Param
    NetworkingConfig: Param
    OnBuild: Param
    OomKillDisable: Param
    OomScoreAdj: Param
    OpenStdin: Param
    PidMode: Param
    PidsLimit: Param
    PortBindings: Param
    Privileged: Param
    PublishAllPorts: Param
    ReadonlyPaths: Param
    ReadonlyRootfs: Param
    RestartPolicy: Param
    Runtime: Param
    SecurityOpt: Param
    Shell: Param
    ShmSize: Param
    StdinOnce: Param
    StopSignal: Param
    StopTimeout: Param
    StorageOpt: Param
    Sysctls: Param
    Tmpfs: Param
    Tty: Param
    UTSMode: Param
    Ulimits: Param
    User: Param
    UsernsMode: Param
    VolumeDriver: Param
    Volumes: Param
    VolumesFrom: Param
    WorkingDir: Param


class ExecFields(TypedDict, total=False):
    """The fields of the body that makes an exec."""

    AttachStderr: Param
    AttachStdin: Param
    AttachStdout: Param
    Cmd: Param
    ConsoleSize: Param
    Detach: Param
    DetachKeys: Param
    Env: Param
    Privileged: Param
    Tty: Param
    User: Param
    WorkingDir: Param


PARAMETERS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("connect", "containers/*"): ("detachKeys", "logs", "stderr", "stdin", "stdout", "stream"),
    ("connect", "containers/*/logs"): ("details", "follow", "since", "stderr", "stdout", "tail", "timestamps", "until"),
    ("connect", "containers/*/ws"): ("detachKeys", "logs", "stderr", "stdin", "stdout", "stream"),
    ("connect", "exec/*"): (),
    ("connect", "services/*/logs"): ("details", "follow", "since", "stderr", "stdout", "tail", "timestamps"),
    ("connect", "tasks/*/logs"): ("details", "follow", "since", "stderr", "stdout", "tail", "timestamps"),
    ("connect", "whole"): ("method", "target", "upgrade"),
    ("file", "containers/*/archive"): ("copyUIDGID", "noOverwriteDirNonDir", "path"),
    ("file", "containers/*/export"): (),
    ("file", "images"): ("names", "platform", "quiet"),
    ("file", "images/*"): ("platform",),
    ("get", ""): (),
    ("get", "configs/*"): (),
    ("get", "containers/*"): ("size",),
    ("get", "containers/*/archive"): ("path",),
    ("get", "containers/*/changes"): (),
    ("get", "containers/*/top"): ("ps_args",),
    ("get", "df"): ("type", "verbose"),
    ("get", "distribution/*"): (),
    ("get", "exec/*"): (),
    ("get", "images/*"): ("manifests", "platform"),
    ("get", "images/*/attestations"): ("platform", "statement", "type"),
    ("get", "images/*/history"): ("platform",),
    ("get", "networks/*"): ("scope", "verbose"),
    ("get", "nodes/*"): (),
    ("get", "ping"): (),
    ("get", "ping/head"): (),
    ("get", "plugin-privileges"): ("remote",),
    ("get", "plugins/*"): (),
    ("get", "search"): ("filters", "limit", "term"),
    ("get", "secrets/*"): (),
    ("get", "services/*"): ("insertDefaults",),
    ("get", "swarm"): (),
    ("get", "swarm/unlockkey"): (),
    ("get", "tasks/*"): (),
    ("get", "version"): (),
    ("get", "volumes/*"): (),
    ("ls", "configs"): ("filters",),
    ("ls", "containers"): ("all", "before", "filters", "limit", "since", "size"),
    ("ls", "images"): ("all", "digests", "filters", "identity", "manifests", "shared-size"),
    ("ls", "networks"): ("filters",),
    ("ls", "nodes"): ("filters",),
    ("ls", "plugins"): ("filters",),
    ("ls", "secrets"): ("filters",),
    ("ls", "services"): ("filters", "status"),
    ("ls", "tasks"): ("filters",),
    ("ls", "volumes"): ("filters",),
    ("rm", "build"): ("all", "filters", "keep-storage", "max-used-space", "min-free-space", "reserved-space"),
    ("rm", "configs/*"): (),
    ("rm", "containers"): ("filters",),
    ("rm", "containers/*"): ("force", "link", "v"),
    ("rm", "images"): ("filters",),
    ("rm", "images/*"): ("force", "noprune", "platforms"),
    ("rm", "networks"): ("filters",),
    ("rm", "networks/*"): (),
    ("rm", "nodes/*"): ("force",),
    ("rm", "plugins/*"): ("force",),
    ("rm", "secrets/*"): (),
    ("rm", "services/*"): (),
    ("rm", "swarm"): ("force",),
    ("rm", "volumes"): ("filters",),
    ("rm", "volumes/*"): ("force",),
    ("set", "auth"): (),
    ("set", "configs/*"): ("version",),
    ("set", "containers/*/pause"): (),
    ("set", "containers/*/rename"): ("name",),
    ("set", "containers/*/resize"): ("h", "w"),
    ("set", "containers/*/restart"): ("signal", "t"),
    ("set", "containers/*/unpause"): (),
    ("set", "containers/*/update"): (),
    ("set", "exec/*/resize"): ("h", "w"),
    ("set", "images/*/push"): ("platform", "tag"),
    ("set", "images/*/tag"): ("repo", "tag"),
    ("set", "networks/*/connect"): (),
    ("set", "networks/*/disconnect"): (),
    ("set", "nodes/*"): ("version",),
    ("set", "plugins/*"): (),
    ("set", "plugins/*/push"): (),
    ("set", "plugins/*/upgrade"): ("remote",),
    ("set", "secrets/*"): ("version",),
    ("set", "services/*"): ("registryAuthFrom", "rollback", "version"),
    ("set", "swarm/join"): (),
    ("set", "swarm/unlock"): (),
    ("set", "swarm/update"): ("rotateManagerToken", "rotateManagerUnlockKey", "rotateWorkerToken", "version"),
    ("set", "volumes/*"): ("version",),
    ("spawn", "build"): (
        "buildargs",
        "buildid",
        "cachefrom",
        "cgroupparent",
        "cpuperiod",
        "cpuquota",
        "cpusetcpus",
        "cpusetmems",
        "cpushares",
        "dockerfile",
        "extrahosts",
        "forcerm",
        "isolation",
        "labels",
        "memory",
        "memswap",
        "networkmode",
        "nocache",
        "outputs",
        "platform",
        "pull",
        "q",
        "remote",
        "rm",
        "securityopt",
        "session",
        "shmsize",
        "squash",
        "t",
        "target",
        "ulimits",
        "version",
    ),
    ("spawn", "commit"): ("author", "changes", "comment", "container", "pause", "repo", "tag"),
    ("spawn", "configs"): (),
    ("spawn", "containers"): ("name", "platform"),
    ("spawn", "containers/*/exec"): (),
    ("spawn", "images"): ("changes", "fromImage", "fromSrc", "message", "platform", "repo", "tag"),
    ("spawn", "networks"): (),
    ("spawn", "plugins"): ("name", "remote"),
    ("spawn", "secrets"): (),
    ("spawn", "services"): (),
    ("spawn", "swarm"): (),
    ("spawn", "volumes"): (),
    ("start", "containers/*"): ("checkpoint", "checkpoint-dir", "detachKeys"),
    ("start", "plugins/*"): (),
    ("stop", "containers/*"): ("signal", "t"),
    ("stop", "containers/*/kill"): ("signal",),
    ("stop", "plugins/*"): ("force",),
    ("watch", ""): ("filters", "since", "until"),
    ("watch", "containers/*/stats"): ("one-shot", "stream"),
    ("watch", "containers/*/wait"): ("condition",),
}
"""The parameters of each operation, by its verb and its path, in which `*` stands for a name."""
