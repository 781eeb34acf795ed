"""The fields of the Engine API's answers that a rule may redact, by operation.

Source: the Engine API's OpenAPI documents, versions 1.41 to 1.56, whose responses a test compares with these fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, TypeAlias


class Kind(Enum):
    """What a field holds, which decides what is left of it."""

    ENV = "environment variables, NAME=VALUE each"
    VALUE = "the value of an environment variable"
    LABELS = "labels: an object, or a list of NAME=VALUE"
    ATTRIBUTES = "the labels of an event's object, among what the engine says of the event"
    ARGS = "a command, or words of one"
    ACTION = "what happened, which may hold a command"
    PROCESSES = "rows of `ps`, each with the command at its end"
    SOURCE = "a path on the host"
    BINDS = "a path on the host or a volume, and where it is mounted"
    OPTIONS = "options of a volume's driver, of which one may be a path on the host"
    TEXT = "text that may quote any of these"


Fields: TypeAlias = Kind | Mapping[str, "Fields"]
"""A kind; or an object, or a list of objects, with such fields. Fields that are not declared are shown."""

_CONFIG: Final[Fields] = {
    "Env": Kind.ENV,
    "Cmd": Kind.ARGS,
    "Entrypoint": Kind.ARGS,
    "Shell": Kind.ARGS,
    "Healthcheck": {"Test": Kind.ARGS},
    "OnBuild": Kind.TEXT,
    "Labels": Kind.LABELS,
}
_MOUNT_POINT: Final[Fields] = {"Source": Kind.SOURCE}
_MOUNT: Final[Fields] = {
    "Source": Kind.SOURCE,
    "VolumeOptions": {"Labels": Kind.LABELS, "DriverConfig": {"Options": Kind.OPTIONS}},
}
_HOST_CONFIG: Final[Fields] = {"Binds": Kind.BINDS, "Mounts": _MOUNT, "Annotations": Kind.LABELS}
_CONTAINER: Final[Fields] = {
    "Path": Kind.ARGS,
    "Args": Kind.ARGS,
    "Config": _CONFIG,
    "HostConfig": _HOST_CONFIG,
    "Mounts": _MOUNT_POINT,
    "State": {"Error": Kind.TEXT, "Health": {"Log": {"Output": Kind.TEXT}}},
}
_CONTAINER_SUMMARY: Final[Fields] = {
    "Command": Kind.ARGS,
    "Labels": Kind.LABELS,
    "Mounts": _MOUNT_POINT,
    "HostConfig": {"Annotations": Kind.LABELS},
}
_IMAGE: Final[Fields] = {"Config": _CONFIG, "ContainerConfig": _CONFIG}
_LABELLED: Final[Fields] = {"Labels": Kind.LABELS}
_SPECIFIED: Final[Fields] = {"Spec": _LABELLED}
_VOLUME: Final[Fields] = {"Labels": Kind.LABELS, "Mountpoint": Kind.SOURCE, "Options": Kind.OPTIONS}
_EVENT: Final[Fields] = {
    "Action": Kind.ACTION,
    "status": Kind.ACTION,
    "Actor": {"Attributes": Kind.ATTRIBUTES},
}
_TASK_TEMPLATE: Final[Fields] = {
    "ContainerSpec": {
        "Env": Kind.ENV,
        "Command": Kind.ARGS,
        "Args": Kind.ARGS,
        "Healthcheck": {"Test": Kind.ARGS},
        "HealthCheck": {"Test": Kind.ARGS},  # so the documents; engines write the other
        "Mounts": _MOUNT,
        "Labels": Kind.LABELS,
    },
    "PluginSpec": {"Env": Kind.ENV},
}
_SERVICE_SPEC: Final[Fields] = {"Labels": Kind.LABELS, "TaskTemplate": _TASK_TEMPLATE}
_SERVICE: Final[Fields] = {
    "Spec": _SERVICE_SPEC,
    "PreviousSpec": _SERVICE_SPEC,
    "UpdateStatus": {"Message": Kind.TEXT},
}
_TASK: Final[Fields] = {
    "Labels": Kind.LABELS,
    "Spec": _TASK_TEMPLATE,
    "Status": {"Message": Kind.TEXT, "Err": Kind.TEXT},
    "NetworksAttachments": {"Network": {"Labels": Kind.LABELS, "Spec": _LABELLED}},
}
_NODE: Final[Fields] = {"Spec": _LABELLED, "Description": {"Engine": _LABELLED}}
_PLUGIN: Final[Fields] = {
    "Settings": {"Args": Kind.ARGS, "Env": Kind.ENV, "Mounts": _MOUNT_POINT},
    "Config": {
        "Args": {"Value": Kind.ARGS},
        "Entrypoint": Kind.ARGS,
        "Env": {"Value": Kind.VALUE},
        "Mounts": _MOUNT_POINT,
    },
}
_BUILD_CACHE: Final[Fields] = {"Description": Kind.TEXT}
_USAGE: Final[Fields] = {
    "Containers": _CONTAINER_SUMMARY,
    "Images": _LABELLED,
    "Volumes": _VOLUME,
    "BuildCache": _BUILD_CACHE,
    "ContainerUsage": {"Items": _CONTAINER_SUMMARY},
    "ImageUsage": {"Items": _LABELLED},
    "VolumeUsage": {"Items": _VOLUME},
    "BuildCacheUsage": {"Items": _BUILD_CACHE},
}

ANSWERS: Final[Mapping[str, Fields]] = {
    "SystemInfo": {"Labels": Kind.LABELS, "Swarm": {"Cluster": _SPECIFIED}},
    "SystemDataUsage": _USAGE,
    "SystemEvents": _EVENT,
    "ContainerList": _CONTAINER_SUMMARY,
    "ContainerInspect": _CONTAINER,
    "ContainerTop": {"Processes": Kind.PROCESSES},
    "ContainerWait": {"Error": {"Message": Kind.TEXT}},
    "ExecInspect": {"ProcessConfig": {"entrypoint": Kind.ARGS, "arguments": Kind.ARGS}},
    "ImageList": _LABELLED,
    "ImageInspect": _IMAGE,
    "ImageHistory": {"CreatedBy": Kind.TEXT},
    "ImageAttestations": Kind.TEXT,
    "NetworkList": _LABELLED,
    "NetworkInspect": _LABELLED,
    "VolumeList": {"Volumes": _VOLUME},
    "VolumeInspect": _VOLUME,
    "VolumeCreate": _VOLUME,
    "PluginList": _PLUGIN,
    "PluginInspect": _PLUGIN,
    "PluginDelete": _PLUGIN,
    "SwarmInspect": _SPECIFIED,
    "NodeList": _NODE,
    "NodeInspect": _NODE,
    "ServiceList": _SERVICE,
    "ServiceInspect": _SERVICE,
    "TaskList": _TASK,
    "TaskInspect": _TASK,
    "SecretList": _SPECIFIED,
    "SecretInspect": _SPECIFIED,
    "ConfigList": _SPECIFIED,
    "ConfigInspect": _SPECIFIED,
}
"""The fields of the value that an operation answers with."""
