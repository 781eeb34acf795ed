"""The shapes of engines' answers, as far as balance and the clients of a merged answer rely on them.

Source: the Engine API's OpenAPI document. Fields that are not declared here may hold anything and are forwarded as
they came. Docker writes `null` for an empty list or object, so every optional field may be null.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Required, TypeAlias, TypedDict

from msgspec import Meta

MAX_OBJECTS: Final = 100_000
"""Objects of one kind that an engine may have."""
MAX_JSON_INT: Final = 2**53
"""Integers up to this one are exact in every client, and sums of them fit into 64 bits."""

_PRINTABLE: Final = r"^[^\x00-\x1f\x7f-\x9f]*\Z"

Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^(?!\.{1,2}\Z)[^\x00-\x20/\x7f-\x9f]+\Z")]
Name: TypeAlias = Annotated[str, Meta(max_length=4096, pattern=_PRINTABLE)]
Number: TypeAlias = Annotated[int, Meta(ge=-MAX_JSON_INT, le=MAX_JSON_INT)] | None
"""A size or a count; -1 where the engine has not computed it."""
Limit: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None
"""A resource limit as the engine keeps it."""
Text: TypeAlias = str | None
Texts: TypeAlias = list[str] | None
Labels: TypeAlias = dict[str, str] | None
Object: TypeAlias = dict[str, Any] | None
Objects: TypeAlias = list[dict[str, Any]] | None
Version: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9]{1,4}(\.[0-9]{1,4}){1,2}\Z")]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_JSON_INT)] | None


class ContainerSummary(TypedDict, total=False):
    """An entry in a list of containers."""

    Id: Required[Id]
    Names: Annotated[list[Name], Meta(max_length=1000)] | None
    Image: Text
    ImageID: Text
    Command: Text
    Created: Number
    Ports: Objects
    SizeRw: Number
    SizeRootFs: Number
    Labels: Labels
    State: Text
    Status: Text
    HostConfig: Object
    NetworkSettings: Object
    Mounts: Objects


class ImageSummary(TypedDict, total=False):
    """An entry in a list of images."""

    Id: Required[Id]
    ParentId: Text
    RepoTags: list[Name] | None
    RepoDigests: list[Name] | None
    Created: Number
    Size: Number
    SharedSize: Number
    VirtualSize: Number
    Labels: Labels
    Containers: Number


class Network(TypedDict, total=False):
    """A network, in a list or inspected."""

    Id: Required[Id]
    Name: Required[Name]
    Created: Text
    Scope: Text
    Driver: Text
    EnableIPv6: bool
    IPAM: Object
    Internal: bool
    Containers: Object
    Options: Labels
    Labels: Labels


class Volume(TypedDict, total=False):
    """A volume, in a list or inspected."""

    Name: Required[Name]
    Driver: Text
    Mountpoint: Text
    CreatedAt: Text
    Status: Object
    Labels: Labels
    Scope: Text
    Options: Labels
    UsageData: Object


class VolumeList(TypedDict, total=False):
    """The answer to a list of volumes."""

    Volumes: Annotated[list[Volume], Meta(max_length=MAX_OBJECTS)] | None
    Warnings: Texts


class Plugin(TypedDict, total=False):
    """An entry in a list of plugins."""

    Id: Text
    Name: Name
    Enabled: bool
    Settings: Object
    PluginReference: Text
    Config: Object


class SwarmInfo(TypedDict, total=False):
    """What `info` says of swarm mode."""

    NodeID: Text
    NodeAddr: Text
    LocalNodeState: Text
    ControlAvailable: bool
    Error: Text
    RemoteManagers: Objects


class Info(TypedDict, total=False):
    """An engine's description of itself."""

    ID: Text
    Name: Text
    Containers: Count
    ContainersRunning: Count
    ContainersPaused: Count
    ContainersStopped: Count
    Images: Count
    NCPU: Annotated[int, Meta(ge=0, le=1_000_000)] | None
    MemTotal: Count
    Driver: Text
    DriverStatus: list[list[str]] | None
    SystemStatus: list[list[str]] | None
    Plugins: dict[str, Texts] | None
    SystemTime: Text
    LoggingDriver: Text
    CgroupDriver: Text
    KernelVersion: Text
    OperatingSystem: Text
    OSType: Text
    Architecture: Text
    IndexServerAddress: Text
    RegistryConfig: Object
    GenericResources: Objects
    HttpProxy: Text
    HttpsProxy: Text
    NoProxy: Text
    Labels: Texts
    ExperimentalBuild: bool
    ServerVersion: Text
    Runtimes: dict[str, Object] | None
    DefaultRuntime: Text
    Swarm: SwarmInfo | None
    LiveRestoreEnabled: bool
    Isolation: Text
    InitBinary: Text
    SecurityOptions: Texts
    DefaultAddressPools: Objects
    Warnings: Texts


class Component(TypedDict, total=False):
    """A part of an engine, with its version."""

    Name: Text
    Version: Text
    Details: Labels


class VersionInfo(TypedDict, total=False):
    """The answer to `version`."""

    ApiVersion: Required[Version]
    MinAPIVersion: Version | None
    Version: Text
    Platform: Object
    Components: list[Component] | None
    Os: Text
    Arch: Text
    KernelVersion: Text
    GitCommit: Text
    GoVersion: Text
    BuildTime: Text
    Experimental: bool


class Usage(TypedDict, total=False):
    """Disk usage; API 1.52 and later reports it in objects beside, or instead of, the lists."""

    LayersSize: Number
    BuilderSize: Number
    Images: list[ImageSummary] | None
    Containers: list[ContainerSummary] | None
    Volumes: list[Volume] | None
    BuildCache: Objects
    ImageUsage: Object
    ContainerUsage: Object
    VolumeUsage: Object
    BuildCacheUsage: Object


class PortBinding(TypedDict, total=False):
    """Where a container's port is published."""

    HostIp: Text
    HostPort: Text


class HostConfig(TypedDict, total=False):
    """The part of a container's host configuration that placement reads."""

    PortBindings: dict[str, list[PortBinding] | None] | None
    Memory: Limit
    MemoryReservation: Limit
    NanoCpus: Limit
    NetworkMode: Text
    IpcMode: Text
    PidMode: Text
    Runtime: Text
    Isolation: Text
    Binds: Texts
    Links: Texts
    VolumesFrom: Texts
    Mounts: Objects


class ContainerConfig(TypedDict, total=False):
    """The part of a container's configuration that placement and rescheduling read."""

    Image: Text
    Hostname: Text
    Env: Texts
    Labels: Labels
    ExposedPorts: dict[str, Any] | None


class ContainerState(TypedDict, total=False):
    """The state of a container."""

    Running: bool
    Status: Text
    StartedAt: Text
    FinishedAt: Text


class NetworkSettings(TypedDict, total=False):
    """The networks that a container is in, by name."""

    Networks: dict[str, Object] | None


class Container(TypedDict, total=False):
    """An inspected container."""

    Id: Id
    Name: Name
    Created: Text
    State: ContainerState | None
    Config: ContainerConfig | None
    HostConfig: HostConfig | None
    Mounts: Objects
    NetworkSettings: NetworkSettings | None


class Created(TypedDict, total=False):
    """The answer to a create of a container, an exec or a network."""

    Id: Id
    Warning: Text
    Warnings: Texts


class Pruned(TypedDict, total=False):
    """What a prune removed."""

    SpaceReclaimed: Count
    ContainersDeleted: Annotated[list[Id], Meta(max_length=MAX_OBJECTS)] | None
    ImagesDeleted: list[dict[str, str]] | None
    NetworksDeleted: Texts
    VolumesDeleted: Texts
    CachesDeleted: Texts


class Actor(TypedDict, total=False):
    """The object that an event is about."""

    ID: Annotated[str, Meta(max_length=4096, pattern=_PRINTABLE)] | None
    Attributes: Labels


class Event(TypedDict, total=False):
    """An event."""

    Type: Required[str]
    Action: Text
    Actor: Actor | None
    scope: Text
    time: Count
    timeNano: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None


Containers: TypeAlias = Annotated[list[ContainerSummary], Meta(max_length=MAX_OBJECTS)]
Images: TypeAlias = Annotated[list[ImageSummary], Meta(max_length=MAX_OBJECTS)]
Networks: TypeAlias = Annotated[list[Network], Meta(max_length=MAX_OBJECTS)]
Plugins: TypeAlias = Annotated[list[Plugin], Meta(max_length=MAX_OBJECTS)]
Removed: TypeAlias = list[dict[str, str]] | None
"""What the removal of an image removed."""
