"""What becomes of each field of a container's creation: it is mapped, asks for nothing, or is refused by its name.

The table has every field of the Engine API's schema. A field that it does not have is refused as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias, cast

from swarmlib import Unsupported

from ...enginekit.bodies import HARMLESS, Allows, anything, only


@dataclass(frozen=True)
class Field:
    """A field: which values are accepted, and either what becomes of them, or why others are refused.

    empty: whether an empty value asks for nothing, as it does in most fields.
    """

    allows: Allows
    why: str
    empty: bool = True


@dataclass(frozen=True)
class Each:
    """A list, or an object whose keys are data, of which each item has these fields."""

    fields: Mapping[str, Entry]


Entry: TypeAlias = "Field | Each | Mapping[str, Entry]"


def _mapped(what: str) -> Field:
    return Field(anything, what)


def _ignored(why: str) -> Field:
    """Return a field that asks for nothing, whatever it says."""
    return Field(anything, why)


def _refused(why: str, *but: Any) -> Field:
    """Return a field that is refused unless it has one of these values, which ask for nothing."""
    return Field(only(*but), why)


def refused(*refusals: tuple[str, str]) -> Unsupported:
    """Return the refusal of fields: each with its place and why it can't be had."""
    return Unsupported(f"a Pod can't have {', '.join(f'{place} ({why})' for place, why in refusals)}")


def check(body: Mapping[str, Any]) -> None:
    """Refuse a creation that sets what a Pod can't have.

    body: in canonical form.

    Raises:
        Unsupported: it does; the error names each such field, and says why.
    """
    if found := [*_refusals(TABLE, body, "")]:
        raise refused(*found)


def _refusals(table: Mapping[str, Entry], value: Mapping[str, Any], before: str) -> Iterator[tuple[str, str]]:
    for name, each in value.items():
        place, entry = f"{before}{name}", table.get(name, _UNKNOWN)
        if isinstance(entry, Field):
            if not ((entry.empty and not each) or entry.allows(each)):
                yield place, entry.why
        elif isinstance(entry, Each):
            for key, item in _items(each):
                yield from _refusals(entry.fields, item, f"{place}{key}.")
        else:
            yield from _refusals(entry, each, f"{place}.")


def _items(value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the items of a list or of an object, each with what leads to it."""
    if isinstance(value, dict):
        yield from ((f".{key}", item or {}) for key, item in cast("dict[str, Any]", value).items())
    else:
        yield from ((f"[{n}]", item) for n, item in enumerate(cast("list[Any]", value or [])))


_UNKNOWN: Final = _refused("swarmlib does not know this field")
_WINDOWS: Final = _refused("it is for Windows")
_DISK: Final = _refused("Kubernetes does not limit the rates of disks; a storage class may")
_FILLED_IN: Final = _ignored("an engine fills it in, and ignores what a client says")
_ADDRESS: Final = _refused("the cluster gives addresses to Pods; use names")
_HEALTH: Final = _mapped("the gateway runs the check in the Pod")
_LINKS: Final = _refused("links don't reach over nodes; put both containers into one network, and use their names")
_NODE_CPUS: Final = _refused("the CPU manager of a node assigns CPUs; limit them by --cpus")
_REALTIME: Final = _refused("Kubernetes has no real-time scheduling; use --cpus")
_OPTION: Final = _refused("it is of a folder of the host, which a Pod doesn't get")
_PATHS: Final = (
    [
        *("/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list"),
        *("/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"),
    ],
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
)
"""What an engine masks and makes read-only of itself, as its inspections show it."""
_RESOURCES: Final[Mapping[str, Entry]] = {
    "Memory": _mapped("resources.limits.memory"),
    "MemoryReservation": _mapped("resources.requests.memory"),
    "MemorySwap": _ignored("it limits swap, of which a cluster's node has none"),
    "MemorySwappiness": _ignored("a cluster's node has no swap"),
    "NanoCpus": _mapped("resources.limits.cpu"),
    **dict.fromkeys(("CpuQuota", "CpuPeriod"), _mapped("resources.limits.cpu")),
    "CpuShares": _mapped("resources.requests.cpu: 1024 shares are a CPU"),
    "DeviceRequests": _mapped("resources.limits of nvidia.com/gpu"),
    "Init": _mapped("shareProcessNamespace: the Pod's own init reaps processes"),
    "PidsLimit": _refused("a node limits the processes of a Pod, by its kubelet's podPidsLimit", -1),
    "Ulimits": _refused("Kubernetes has no ulimits; the container runtime of the node sets them"),
    "OomKillDisable": _refused("Kubernetes can't turn it off; give more memory by --memory"),
    **dict.fromkeys(("KernelMemory", "KernelMemoryTCP"), _refused("Kubernetes has one limit, --memory")),
    **dict.fromkeys(("CpusetCpus", "CpusetMems"), _NODE_CPUS),
    **dict.fromkeys(("CpuRealtimePeriod", "CpuRealtimeRuntime"), _REALTIME),
    "CgroupParent": _refused("the kubelet places the cgroups of Pods"),
    **dict.fromkeys(("BlkioWeight", "BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps"), _DISK),
    **dict.fromkeys(("BlkioDeviceReadIOps", "BlkioDeviceWriteIOps"), _DISK),
    "Devices": _refused("devices come from device plugins; ask for one by --gpus or --pod-template"),
    "DeviceCgroupRules": _refused("devices come from device plugins"),
    **dict.fromkeys(("CpuCount", "CpuPercent", "IOMaximumIOps", "IOMaximumBandwidth"), _WINDOWS),
}
_MOUNT: Final[Mapping[str, Entry]] = {
    **dict.fromkeys(("Target", "Source", "ReadOnly"), _mapped("a volume and where it is mounted")),
    "Type": Field(only("volume", "tmpfs", "bind"), "volume, tmpfs and bind are the types that it can have"),
    "Consistency": _ignored("it is for Docker Desktop"),
    "BindOptions": {
        "Propagation": _refused("mounts do not propagate between a node and a Pod", "private", "rprivate"),
        "CreateMountpoint": _ignored("a folder that is not there can't be copied"),
        **dict.fromkeys(("NonRecursive", "ReadOnlyNonRecursive", "ReadOnlyForceRecursive"), _OPTION),
    },
    "VolumeOptions": {
        "NoCopy": _mapped("whether the volume gets what the image has there"),
        "Labels": _mapped("labels of the volume"),
        "DriverConfig": {
            "Name": _refused("a storage class makes the volumes of a cluster: see --storage-class", "local"),
            "Options": _mapped("the size and the storage class of the volume's claim"),
        },
        "Subpath": _mapped("volumeMounts.subPath"),
    },
    "TmpfsOptions": {
        "SizeBytes": _mapped("emptyDir.sizeLimit"),
        "Mode": _refused("a volume in memory has the mode 1777 or 777", 0o777, 0o1777),
        "Options": _refused("a volume in memory has no options but its size"),
    },
    "ImageOptions": {"Subpath": _refused("images can't be mounted")},
}
_HOST: Final[Mapping[str, Entry]] = {
    **_RESOURCES,
    **dict.fromkeys(("Binds", "Tmpfs", "ShmSize"), _mapped("volumes and volumeMounts")),
    "Mounts": Each(_MOUNT),
    "VolumeDriver": _refused("a storage class makes the volumes of a cluster: see --storage-class", "local"),
    "VolumesFrom": _refused("Pods don't share a container's volumes; name a volume in both"),
    "StorageOpt": _refused("the node's container runtime keeps a container's files"),
    "ContainerIDFile": _ignored("a client writes it"),
    "LogConfig": {
        "Type": _refused("a node keeps the logs of its containers", "json-file", "local", "journald"),
        "Config": _refused("a node keeps the logs of its containers; its kubelet rotates them"),
    },
    "NetworkMode": _mapped("hostNetwork, or the search domain of the network's Service"),
    **dict.fromkeys(("PortBindings", "PublishAllPorts"), _mapped("the gateway listens there")),
    "RestartPolicy": {
        "Name": _mapped("restartPolicy"),
        "MaximumRetryCount": _mapped("the gateway ends a Pod that was restarted so often"),
    },
    "AutoRemove": _mapped("the gateway removes the container when it has ended"),
    "CapAdd": _mapped("securityContext.capabilities.add"),
    "CapDrop": _mapped("securityContext.capabilities.drop"),
    "CgroupnsMode": _refused("the node's container runtime decides about it", "private"),
    "Dns": _mapped("dnsConfig.nameservers"),
    "DnsOptions": _mapped("dnsConfig.options"),
    "DnsSearch": _mapped("dnsConfig.searches"),
    "ExtraHosts": _mapped("hostAliases"),
    "GroupAdd": _mapped("securityContext.supplementalGroups"),
    "IpcMode": Field(only("private", "shareable", "host"), "Pods share no memory with each other"),
    "PidMode": Field(only("host"), "Pods don't share their processes with each other"),
    "UTSMode": _refused("a Pod has its own host name; --network host gives it the node's"),
    "UsernsMode": _refused("the node's container runtime decides about it", "host"),
    "Cgroup": _refused("the kubelet places the cgroups of Pods"),
    "Links": _LINKS,
    "OomScoreAdj": _refused("the kubelet sets it, by what is requested and limited"),
    "Privileged": _mapped("securityContext.privileged"),
    "ReadonlyRootfs": _mapped("securityContext.readOnlyRootFilesystem"),
    "SecurityOpt": _mapped("securityContext"),
    "Sysctls": _mapped("securityContext.sysctls"),
    "Runtime": _mapped("runtimeClassName"),
    "Isolation": _refused("a runtime isolates a Pod: see --runtime", "default"),
    "ConsoleSize": Field(HARMLESS["ConsoleSize"], "a client resizes the terminal"),
    "MaskedPaths": Field(only(_PATHS[0]), "a Pod masks what its container runtime masks", empty=False),
    "ReadonlyPaths": Field(only(_PATHS[1]), "a Pod protects what its container runtime protects", empty=False),
    "Annotations": _refused("they are for a container runtime; --pod-template gives a Pod annotations"),
}
_ENDPOINT: Final[Mapping[str, Entry]] = {
    "Aliases": _mapped("hostnames in the EndpointSlice of the network"),
    "IPAMConfig": dict.fromkeys(("IPv4Address", "IPv6Address", "LinkLocalIPs"), _ADDRESS),
    "Links": _LINKS,
    "MacAddress": _ADDRESS,
    "DriverOpts": _refused("the cluster's network plugin connects Pods"),
    "GwPriority": _refused("a Pod has one gateway"),
    **dict.fromkeys(("NetworkID", "EndpointID", "Gateway", "IPAddress", "IPPrefixLen", "IPv6Gateway"), _FILLED_IN),
    **dict.fromkeys(("GlobalIPv6Address", "GlobalIPv6PrefixLen", "DNSNames"), _FILLED_IN),
}
TABLE: Final[Mapping[str, Entry]] = MappingProxyType(
    {
        "Image": _mapped("image"),
        **dict.fromkeys(("Entrypoint", "Cmd"), _mapped("command and args, by the shim if it starts the container")),
        "Env": _mapped("env, or the shim for names that Kubernetes doesn't allow"),
        "WorkingDir": _mapped("workingDir"),
        "User": _mapped("securityContext.runAsUser and runAsGroup"),
        "Hostname": _mapped("hostname"),
        "Domainname": _refused("the domain of a Pod is the cluster's; --dns-search has names completed"),
        "Labels": _mapped("an annotation; labels too where Kubernetes allows them"),
        **dict.fromkeys(("Tty", "OpenStdin", "StdinOnce"), _mapped("tty, stdin and stdinOnce")),
        **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr"), _ignored("a client says it when it attaches")),
        "ExposedPorts": _mapped("ports"),
        "Volumes": _mapped("an emptyDir each"),
        "StopSignal": _mapped("a preStop hook that sends it"),
        "StopTimeout": _mapped("terminationGracePeriodSeconds"),
        "Healthcheck": dict.fromkeys(
            ("Test", "Interval", "Timeout", "Retries", "StartPeriod", "StartInterval"), _HEALTH
        ),
        "Shell": _mapped("the shell of the health check"),
        "ArgsEscaped": _ignored("it is for Windows, of images"),
        "OnBuild": _ignored("an engine keeps it for commits, which a cluster can't make"),
        "NetworkDisabled": _refused("every Pod has a network"),
        "MacAddress": _ADDRESS,
        "HostConfig": _HOST,
        "NetworkingConfig": {"EndpointsConfig": Each(_ENDPOINT)},
    }
)
"""What becomes of each field of a creation."""
