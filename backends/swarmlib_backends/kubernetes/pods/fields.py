"""What becomes of each field of a container's creation in a Pod: see `enginekit.fields`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from swarmlib import Unsupported

from ...enginekit import fields
from ...enginekit.bodies import HARMLESS, only
from ...enginekit.fields import (
    FILLED_IN,
    MASKED_PATHS,
    READONLY_PATHS,
    WINDOWS,
    Each,
    Entry,
    Field,
    ignored,
    mapped,
    unsupported,
)


def refused(*refusals: tuple[str, str]) -> Unsupported:
    """Return the refusal of fields: each with its place and why it can't be had."""
    return fields.refused("a Pod", *refusals)


def check(body: Mapping[str, Any]) -> None:
    """Refuse a creation that sets what a Pod can't have: see `enginekit.fields.check`."""
    fields.check(TABLE, body, "a Pod")


_DISK: Final = unsupported("Kubernetes does not limit the rates of disks; a storage class may")
_ADDRESS: Final = unsupported("the cluster gives addresses to Pods; use names")
_HEALTH: Final = mapped("swarmlib's tools make the check in the Pod")
_NODE_CPUS: Final = unsupported("the CPU manager of a node assigns CPUs; limit them by --cpus")
_REALTIME: Final = unsupported("Kubernetes has no real-time scheduling; use --cpus")
_OPTION: Final = unsupported("it is of a folder of the host, which a Pod doesn't get")
_RESOURCES: Final[Mapping[str, Entry]] = {
    "Memory": mapped("resources.limits.memory"),
    "MemoryReservation": mapped("resources.requests.memory"),
    "MemorySwap": ignored("it limits swap, of which a cluster's node has none"),
    "MemorySwappiness": ignored("a cluster's node has no swap"),
    "NanoCpus": mapped("resources.limits.cpu"),
    **dict.fromkeys(("CpuQuota", "CpuPeriod"), mapped("resources.limits.cpu")),
    "CpuShares": mapped("resources.requests.cpu: 1024 shares are a CPU"),
    "DeviceRequests": mapped("resources.limits of nvidia.com/gpu"),
    "Init": mapped("shareProcessNamespace: the Pod's own init reaps processes"),
    "PidsLimit": unsupported("a node limits the processes of a Pod, by its kubelet's podPidsLimit", -1),
    "Ulimits": unsupported("Kubernetes has no ulimits; the container runtime of the node sets them"),
    "OomKillDisable": unsupported("Kubernetes can't turn it off; give more memory by --memory"),
    **dict.fromkeys(("KernelMemory", "KernelMemoryTCP"), unsupported("Kubernetes has one limit, --memory")),
    **dict.fromkeys(("CpusetCpus", "CpusetMems"), _NODE_CPUS),
    **dict.fromkeys(("CpuRealtimePeriod", "CpuRealtimeRuntime"), _REALTIME),
    "CgroupParent": unsupported("the kubelet places the cgroups of Pods"),
    **dict.fromkeys(("BlkioWeight", "BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps"), _DISK),
    **dict.fromkeys(("BlkioDeviceReadIOps", "BlkioDeviceWriteIOps"), _DISK),
    "Devices": unsupported("devices come from device plugins; ask for one by --gpus or --pod-template"),
    "DeviceCgroupRules": unsupported("devices come from device plugins"),
    **dict.fromkeys(("CpuCount", "CpuPercent", "IOMaximumIOps", "IOMaximumBandwidth"), WINDOWS),
}
_MOUNT: Final[Mapping[str, Entry]] = {
    **dict.fromkeys(("Target", "Source", "ReadOnly"), mapped("a volume and where it is mounted")),
    "Type": Field(only("volume", "tmpfs", "bind"), "volume, tmpfs and bind are the types that it can have"),
    "Consistency": ignored("it is for Docker Desktop"),
    "BindOptions": {
        "Propagation": unsupported("mounts do not propagate between a node and a Pod", "private", "rprivate"),
        "CreateMountpoint": ignored("a folder that is not there can't be copied"),
        **dict.fromkeys(("NonRecursive", "ReadOnlyNonRecursive", "ReadOnlyForceRecursive"), _OPTION),
    },
    "VolumeOptions": {
        "NoCopy": mapped("whether the volume gets what the image has there"),
        "Labels": mapped("labels of the volume"),
        "DriverConfig": {
            "Name": unsupported("a storage class makes the volumes of a cluster: see --storage-class", "local"),
            "Options": mapped("the size and the storage class of the volume's claim"),
        },
        "Subpath": mapped("volumeMounts.subPath"),
    },
    "TmpfsOptions": {
        "SizeBytes": mapped("emptyDir.sizeLimit"),
        "Mode": unsupported("a volume in memory has the mode 1777 or 777", 0o777, 0o1777),
        "Options": unsupported("a volume in memory has no options but its size"),
    },
    "ImageOptions": {"Subpath": unsupported("images can't be mounted")},
}
_HOST: Final[Mapping[str, Entry]] = {
    **_RESOURCES,
    **dict.fromkeys(("Binds", "Tmpfs", "ShmSize"), mapped("volumes and volumeMounts")),
    "Mounts": Each(_MOUNT),
    "VolumeDriver": unsupported("a storage class makes the volumes of a cluster: see --storage-class", "local"),
    "VolumesFrom": unsupported("Pods don't share a container's volumes; name a volume in both"),
    "StorageOpt": unsupported("the node's container runtime keeps a container's files"),
    "ContainerIDFile": ignored("a client writes it"),
    "LogConfig": {
        "Type": unsupported("a node keeps the logs of its containers", "json-file", "local", "journald"),
        "Config": unsupported("a node keeps the logs of its containers; its kubelet rotates them"),
    },
    "NetworkMode": mapped("hostNetwork, or the search domain of the network's Service"),
    **dict.fromkeys(("PortBindings", "PublishAllPorts"), mapped("the gateway listens there")),
    "RestartPolicy": {
        "Name": mapped("restartPolicy"),
        "MaximumRetryCount": mapped("the gateway ends a Pod that was restarted so often"),
    },
    "AutoRemove": mapped("the gateway removes the container when it has ended"),
    "CapAdd": mapped("securityContext.capabilities.add"),
    "CapDrop": mapped("securityContext.capabilities.drop"),
    "CgroupnsMode": unsupported("the node's container runtime decides about it", "private"),
    "Dns": mapped("dnsConfig.nameservers"),
    "DnsOptions": mapped("dnsConfig.options"),
    "DnsSearch": mapped("dnsConfig.searches"),
    "ExtraHosts": mapped("hostAliases"),
    "GroupAdd": mapped("securityContext.supplementalGroups"),
    "IpcMode": Field(only("private", "shareable", "host"), "Pods share no memory with each other"),
    "PidMode": Field(only("host"), "Pods don't share their processes with each other"),
    "UTSMode": unsupported("a Pod has its own host name; --network host gives it the node's"),
    "UsernsMode": unsupported("the node's container runtime decides about it", "host"),
    "Cgroup": unsupported("the kubelet places the cgroups of Pods"),
    "Links": mapped("hostnames in an EndpointSlice of the container's own, and variables of its runs"),
    "OomScoreAdj": unsupported("the kubelet sets it, by what is requested and limited"),
    "Privileged": mapped("securityContext.privileged"),
    "ReadonlyRootfs": mapped("securityContext.readOnlyRootFilesystem"),
    "SecurityOpt": mapped("securityContext"),
    "Sysctls": mapped("securityContext.sysctls"),
    "Runtime": mapped("runtimeClassName"),
    "Isolation": unsupported("a runtime isolates a Pod: see --runtime", "default"),
    "ConsoleSize": Field(HARMLESS["ConsoleSize"], "a client resizes the terminal"),
    "MaskedPaths": Field(MASKED_PATHS, "a Pod masks what its container runtime masks", empty=False),
    "ReadonlyPaths": Field(READONLY_PATHS, "a Pod protects what its container runtime protects", empty=False),
    "Annotations": unsupported("they are for a container runtime; --pod-template gives a Pod annotations"),
}
_ENDPOINT: Final[Mapping[str, Entry]] = {
    "Aliases": mapped("hostnames in the EndpointSlice of the network"),
    "IPAMConfig": dict.fromkeys(("IPv4Address", "IPv6Address", "LinkLocalIPs"), _ADDRESS),
    "Links": mapped("hostnames in an EndpointSlice of the container's own, whose domain it searches"),
    "MacAddress": _ADDRESS,
    "DriverOpts": unsupported("the cluster's network plugin connects Pods"),
    "GwPriority": unsupported("a Pod has one gateway"),
    **dict.fromkeys(("NetworkID", "EndpointID", "Gateway", "IPAddress", "IPPrefixLen", "IPv6Gateway"), FILLED_IN),
    **dict.fromkeys(("GlobalIPv6Address", "GlobalIPv6PrefixLen", "DNSNames"), FILLED_IN),
}
TABLE: Final[Mapping[str, Entry]] = MappingProxyType(
    {
        "Image": mapped("image"),
        **dict.fromkeys(("Entrypoint", "Cmd"), mapped("command and args, by the shim if it starts the container")),
        "Env": mapped("env, or the shim for names that Kubernetes doesn't allow"),
        "WorkingDir": mapped("workingDir"),
        "User": mapped("securityContext.runAsUser and runAsGroup"),
        "Hostname": mapped("hostname"),
        "Domainname": unsupported("the domain of a Pod is the cluster's; --dns-search has names completed"),
        "Labels": mapped("an annotation; labels too where Kubernetes allows them"),
        **dict.fromkeys(("Tty", "OpenStdin", "StdinOnce"), mapped("tty, stdin and stdinOnce")),
        **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr"), ignored("a client says it when it attaches")),
        "ExposedPorts": mapped("ports"),
        "Volumes": mapped("an emptyDir each"),
        "StopSignal": mapped("a preStop hook that sends it"),
        "StopTimeout": mapped("terminationGracePeriodSeconds"),
        "Healthcheck": dict.fromkeys(
            ("Test", "Interval", "Timeout", "Retries", "StartPeriod", "StartInterval"), _HEALTH
        ),
        "Shell": mapped("the shell of the health check"),
        "ArgsEscaped": ignored("it is for Windows, of images"),
        "OnBuild": ignored("an engine keeps it for commits, which a cluster can't make"),
        "NetworkDisabled": unsupported("every Pod has a network"),
        "MacAddress": _ADDRESS,
        "HostConfig": _HOST,
        "NetworkingConfig": {"EndpointsConfig": Each(_ENDPOINT)},
    }
)
"""What becomes of each field of a creation."""
