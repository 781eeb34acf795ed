"""What containers demand: the bodies of ContainerCreate and ContainerUpdate, in canonical form."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from swarmlib import Request

from ..dockerapi import capabilities
from . import mounts, names
from .demands import (
    FIELDS,
    Demand,
    Reader,
    always,
    assigned,
    both,
    each,
    flag,
    given,
    harmless,
    keys,
    nothing,
    other,
    pairs,
    struct,
    text,
)

_NO_NEW_PRIVILEGES: Final = re.compile(r"no-new-privileges(?:[:=]true)?")
_HARMLESS_LOG_OPTIONS: Final = frozenset(
    {"max-size", "max-file", "compress", "mode", "max-buffer-size", "labels", "labels-regex", "env", "env-regex", "tag"}
)
_DEFAULT_NETWORK: Final = "default"
_USUAL_SHARES: Final = 1024
"""The weight that an engine gives a container without one."""


def _namespace(kind: str, *own: str) -> Reader:
    """Make the reader of a namespace's mode: a container's own demands nothing."""

    def read(place: str, value: Any) -> Iterator[Demand]:
        if value and value not in own:
            yield Demand("namespaces", f"{kind}={value}", place)

    return read


def network_mode(place: str, value: Any) -> Iterator[Demand]:
    """Read the network of a container or a build: the engine's default demands nothing."""
    if value == "host" or value.startswith("container:"):
        yield from _namespace("network")(place, value)
    elif value not in ("", "none", _DEFAULT_NETWORK):
        yield Demand("networks", value, place)


def capability(place: str, value: Any) -> Iterator[Demand]:
    """Read a capability, in the form of the kernel without `CAP_`."""
    yield Demand("capabilities", capabilities.plain(value), place)


def _device(place: str, value: Any) -> Iterator[Demand]:
    yield Demand("devices", value.get("PathOnHost", ""), place)


def _device_request(place: str, value: Any) -> Iterator[Demand]:
    yield Demand("devices", value.get("Driver") or "any", place)


def security(place: str, value: Any) -> Iterator[Demand]:
    """Read a security option: what only takes privileges away is harmless."""
    if not _NO_NEW_PRIVILEGES.fullmatch(value):
        yield Demand("security", value, place)


def _port(place: str, value: Any) -> Iterator[Demand]:
    yield Demand("ports", f"{value.get('HostIp') or '*'}:{value.get('HostPort') or 'any'}", place)


def _ports(place: str, value: Any) -> Iterator[Demand]:
    published: Mapping[str, Sequence[Mapping[str, str]] | None] = value
    for port, bindings in published.items():
        for binding in bindings or ():
            yield from _PORT(f"{place}.{port}", binding)


def _publish_all(place: str, value: Any) -> Iterator[Demand]:
    if value:
        yield Demand("ports", "*:any", place)


def log_options(place: str, value: Any) -> Iterator[Demand]:
    """Read the options of a log driver: some are addresses to which the engine connects, or files of its host."""
    for name, inner in value.items():
        if name not in _HARMLESS_LOG_OPTIONS:
            yield Demand("log_options", f"{name}={inner}", f"{place}.{name}")


def _endpoints(place: str, value: Any) -> Iterator[Demand]:
    joined: Mapping[str, Any] = value
    for name, inner in joined.items():
        if name != _DEFAULT_NETWORK:
            yield Demand("networks", name, f"{place}.{name}")
        yield from endpoint(f"{place}.{name}", inner)


def limit(place: str, value: Any) -> Iterator[Demand]:
    """Read a limit: a negative one lifts it, whatever the engine's own default is."""
    if value < 0:
        yield Demand(FIELDS, place, place)


def shm(place: str, value: Any) -> Iterator[Demand]:
    """Read the size of `/dev/shm` in bytes; 0 is the engine's default."""
    if value:
        yield Demand("shm", str(value), place)


def shares(place: str, value: Any) -> Iterator[Demand]:
    """Read a share of the CPUs: one above the usual takes from other containers."""
    if value > _USUAL_SHARES:
        yield from assigned("priorities")(place, value)


def oom_score(place: str, value: Any) -> Iterator[Demand]:
    """Read what the kernel kills first: with a negative one, it kills other processes before."""
    if value < 0:
        yield from assigned("priorities")(place, value)


def _ulimit(place: str, value: Any) -> Iterator[Demand]:
    """Read a limit of processes, as docker writes it: `nofile=1024:2048`."""
    yield Demand("ulimits", f"{value.get('Name', '')}={value.get('Soft', 0)}:{value.get('Hard', 0)}", place)


ulimit: Final = both(_ulimit, harmless("Name", "Soft", "Hard"))
_PORT: Final = both(_port, harmless("HostIp", "HostPort"))
endpoint: Final = struct(
    {
        **dict.fromkeys(("Aliases", "MacAddress", "GwPriority", "DNSNames"), nothing),
        "IPAMConfig": harmless("IPv4Address", "IPv6Address", "LinkLocalIPs"),
        # What an engine fills in, and ignores where a client repeats it.
        **dict.fromkeys(("NetworkID", "EndpointID", "Gateway", "IPAddress", "IPPrefixLen", "IPv6Gateway"), nothing),
        **dict.fromkeys(("GlobalIPv6Address", "GlobalIPv6PrefixLen"), nothing),
        "Links": each(always("links")),
        "DriverOpts": keys("network_options"),
    }
)
HEALTH: Final = harmless("Test", "Interval", "Timeout", "Retries", "StartPeriod", "StartInterval")
_LIMITS: Final = ("Memory", "MemorySwap", "MemoryReservation", "NanoCpus", "CpuQuota", "CpuPeriod", "PidsLimit")
"""The fields that a rule's requirements judge, and nothing else."""
_RESOURCES: Final[Mapping[str, Reader]] = {
    **dict.fromkeys(_LIMITS, limit),
    **dict.fromkeys(("Init", "MemorySwappiness"), nothing),
    "CpuShares": shares,
    **dict.fromkeys(
        ("BlkioWeight", "CpuRealtimePeriod", "CpuRealtimeRuntime", "OomKillDisable"), assigned("priorities")
    ),
    **dict.fromkeys(("CpusetCpus", "CpusetMems"), text("cpusets")),
    "CgroupParent": text("cgroups"),
    "Devices": each(both(_device, harmless("PathOnHost", "PathInContainer", "CgroupPermissions"))),
    "DeviceCgroupRules": each(always("devices")),
    "DeviceRequests": each(both(_device_request, harmless("Driver", "Count", "DeviceIDs", "Capabilities", "Options"))),
    "Ulimits": each(ulimit),
    # The rest has no kind: what limits a device's rates names the device, and some is for Windows or no longer used.
    **dict.fromkeys(
        (
            *("BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps"),
            *("BlkioDeviceWriteIOps", "KernelMemory", "KernelMemoryTCP", "CpuCount", "CpuPercent", "IOMaximumIOps"),
            "IOMaximumBandwidth",
        ),
        other,
    ),
}
RESTARTS: Final = struct({"Name": text("restarts", "no"), "MaximumRetryCount": nothing})
_HOST: Final[Mapping[str, Reader]] = {
    **_RESOURCES,
    **dict.fromkeys(("AutoRemove", "ReadonlyRootfs", "CapDrop", "ConsoleSize"), nothing),
    **dict.fromkeys(("Dns", "DnsOptions", "DnsSearch", "ExtraHosts", "Tmpfs"), nothing),
    "Binds": each(mounts.bind),
    "Mounts": each(mounts.mount),
    "VolumesFrom": each(always("volumes_from")),
    "VolumeDriver": mounts.VOLUME_DRIVER,
    "StorageOpt": pairs("storage"),
    "NetworkMode": network_mode,
    "IpcMode": _namespace("ipc", "private", "none", "shareable"),
    "PidMode": _namespace("pid"),
    "UTSMode": _namespace("uts"),
    "UsernsMode": _namespace("user"),
    "CgroupnsMode": _namespace("cgroup", "private"),
    "Cgroup": text("cgroups"),
    "Privileged": flag("privileged"),
    "CapAdd": each(capability),
    "SecurityOpt": each(security),
    "MaskedPaths": given,
    "ReadonlyPaths": given,
    "Sysctls": keys("sysctls"),
    "GroupAdd": each(always("groups")),
    "Runtime": text("runtimes"),
    "Annotations": keys("annotations"),
    "Links": each(always("links")),
    "PortBindings": _ports,
    "PublishAllPorts": _publish_all,
    "LogConfig": struct({"Type": text("log_drivers"), "Config": log_options}),
    "RestartPolicy": RESTARTS,
    "OomScoreAdj": oom_score,
    "ShmSize": shm,
    "Isolation": text(FIELDS, "default"),
    "ContainerIDFile": other,
}
_CONFIG: Final[Mapping[str, Reader]] = {
    **dict.fromkeys(("Hostname", "Domainname", "MacAddress", "WorkingDir", "StopSignal", "StopTimeout"), nothing),
    **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"), nothing),
    **dict.fromkeys(("Env", "Cmd", "Entrypoint", "Shell", "OnBuild", "ArgsEscaped"), nothing),
    "Healthcheck": HEALTH,
    **dict.fromkeys(("ExposedPorts", "Volumes", "Labels", "NetworkDisabled"), nothing),
    "User": nothing,  # a rule can require one
}


def from_nothing(request: Request) -> Iterator[Demand]:
    """Read the creation of a container without an image: an engine makes it of an empty folder."""
    body: Mapping[str, Any] = request.json or {}
    if not body.get("Image"):
        yield Demand(names.IMAGES, "", "Image")


read: Final = struct(
    {
        **_CONFIG,
        "Image": names.image,
        "HostConfig": struct(_HOST),
        "NetworkingConfig": struct({"EndpointsConfig": _endpoints}),
    }
)
"""Yields what the body of ContainerCreate demands: `read("", body)`."""
update: Final = struct({**_RESOURCES, "RestartPolicy": RESTARTS})
commit: Final = struct({**_CONFIG, "Image": nothing})
"""Reads the configuration of an image that is made of a container: what its name says, an engine ignores."""
