"""What services demand of a swarm's engines: the same as containers do, in the words of their specifications."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from . import containers, mounts, names
from .demands import FIELDS, Demand, Reader, always, both, each, harmless, keys, nothing, other, struct, text


def _network(place: str, value: Any) -> Iterator[Demand]:
    for name, inner in value.items():
        if name == "Target":
            yield from containers.network_mode(f"{place}.Target", inner)
        else:
            yield from _ATTACHMENT(place, {name: inner})


def _port(place: str, value: Any) -> Iterator[Demand]:
    yield Demand("ports", f"*:{value.get('PublishedPort') or 'any'}", place)


def _disabled(place: str, value: Any) -> Iterator[Demand]:
    if value:
        yield Demand("security", "label=disable", place)


def _label(part: str) -> Reader:
    """Make the reader of a part of an SELinux context, in the form of a container's security option."""

    def read(place: str, value: Any) -> Iterator[Demand]:
        if value:
            yield Demand("security", f"label={part}:{value}", place)

    return read


def _mode(profile: str) -> Reader:
    """Make the reader of a profile's mode: the engine's default is harmless."""

    def read(place: str, value: Any) -> Iterator[Demand]:
        if value not in ("", "default"):
            yield Demand("security", f"{profile}={value}", place)

    return read


def _generic(place: str, value: Any) -> Iterator[Demand]:
    yield Demand("devices", value.get("Kind", ""), place)


_ATTACHMENT: Final = struct({"Aliases": nothing, "DriverOpts": keys("network_options")})
LOG_DRIVER: Final = struct({"Name": text("log_drivers"), "Options": containers.log_options})
_PORT: Final = both(_port, harmless("Name", "Protocol", "TargetPort", "PublishedPort", "PublishMode"))
_GENERIC: Final = struct(
    dict.fromkeys(("NamedResourceSpec", "DiscreteResourceSpec"), both(_generic, harmless("Kind", "Value")))
)
_ROLLOUT: Final = harmless("Parallelism", "Delay", "FailureAction", "Monitor", "MaxFailureRatio", "Order")


def _referred(kind: str, name: str) -> Reader:
    """Make the reader of a reference: an engine refuses one whose name is not that of its id."""

    def read(place: str, value: Any) -> Iterator[Demand]:
        yield Demand(kind, value.get(name, ""), place)

    return read


_FILE: Final[Mapping[str, Reader]] = {"File": harmless("Name", "UID", "GID", "Mode")}
_SECRET: Final = both(
    _referred("secrets", "SecretName"), struct({**_FILE, **dict.fromkeys(("SecretID", "SecretName"), nothing)})
)
_CONFIG: Final = both(
    _referred("configs", "ConfigName"),
    struct({**_FILE, "Runtime": harmless(), **dict.fromkeys(("ConfigID", "ConfigName"), nothing)}),
)
_PLACEMENT: Final = struct(
    {
        **dict.fromkeys(("Constraints", "MaxReplicas"), nothing),
        "Preferences": each(struct({"Spread": harmless("SpreadDescriptor")})),
        "Platforms": each(harmless("Architecture", "OS")),
    }
)
"""Where tasks run: any part of a service can run anywhere."""
_MODE: Final = struct(
    {
        "Replicated": harmless("Replicas"),
        "Global": harmless(),
        "ReplicatedJob": harmless("MaxConcurrent", "TotalCompletions"),
        "GlobalJob": harmless(),
    }
)
_PRIVILEGES: Final = struct(
    {
        "CredentialSpec": other,
        "SELinuxContext": struct(
            {
                "Disable": _disabled,
                **{name: _label(name.lower()) for name in ("User", "Role", "Type", "Level")},
            }
        ),
        "Seccomp": struct({"Mode": _mode("seccomp"), "Profile": nothing}),
        "AppArmor": struct({"Mode": _mode("apparmor")}),
        "NoNewPrivileges": nothing,
    }
)
_CONTAINER: Final = struct(
    {
        **dict.fromkeys(
            ("Labels", "Command", "Args", "Hostname", "Env", "Dir", "TTY", "OpenStdin", "ReadOnly"), nothing
        ),
        **dict.fromkeys(("StopSignal", "StopGracePeriod", "Hosts", "Init", "CapabilityDrop"), nothing),
        "User": nothing,  # a rule can require one
        "DNSConfig": harmless("Nameservers", "Search", "Options"),
        "Healthcheck": containers.HEALTH,
        "Image": names.named_image,
        "Groups": each(always("groups")),
        "Privileges": _PRIVILEGES,
        "Mounts": each(mounts.mount),
        "Secrets": each(_SECRET),
        "Configs": each(_CONFIG),
        "Isolation": text(FIELDS, "default"),
        "Sysctls": keys("sysctls"),
        "CapabilityAdd": each(containers.capability),
        "Ulimits": each(containers.ulimit),
        "OomScoreAdj": containers.oom_score,
    }
)
_LIMITS: Final = struct(dict.fromkeys(("NanoCPUs", "MemoryBytes", "Pids"), containers.limit))
_RESOURCES: Final = struct(
    {
        "Limits": _LIMITS,
        "Reservations": struct(
            {**dict.fromkeys(("NanoCPUs", "MemoryBytes"), nothing), "GenericResources": each(_GENERIC)}
        ),
        "SwapBytes": containers.limit,
        "MemorySwappiness": nothing,
    }
)


def _privilege(name: str, value: str) -> Reader:
    """Make the reader of a privilege that a plugin gets, such as `mount=/dev`, by the names of its fields."""

    def read(place: str, given: Any) -> Iterator[Demand]:
        for inner in given.get(value) or [""]:
            yield Demand("plugin_privileges", f"{given.get(name, '')}={inner}", place)

    return read


def plugin_setting(place: str, value: Any) -> Iterator[Demand]:
    """Read a plugin's variable by its name alone: the value may be a secret."""
    yield Demand("plugin_settings", value.partition("=")[0], place)


plugin_privilege: Final = both(_privilege("Name", "Value"), harmless("Name", "Description", "Value"))
_PLUGIN: Final = struct(
    {
        "remote": names.plugin,
        "privileges": each(both(_privilege("name", "value"), harmless("name", "description", "value"))),
        **dict.fromkeys(("name", "disabled"), nothing),
        "env": each(plugin_setting),
    }
)
_TASK: Final[Mapping[str, Reader]] = {
    "PluginSpec": _PLUGIN,
    "ContainerSpec": _CONTAINER,
    "NetworkAttachmentSpec": other,
    "Resources": _RESOURCES,
    "RestartPolicy": harmless("Condition", "Delay", "MaxAttempts", "Window"),
    "Placement": _PLACEMENT,
    "ForceUpdate": nothing,
    "Runtime": text(FIELDS, "container"),
    "Networks": each(_network),
    "LogDriver": LOG_DRIVER,
}
service: Final = struct(
    {
        "Name": names.new,
        "Labels": nothing,
        "Mode": _MODE,
        **dict.fromkeys(("UpdateConfig", "RollbackConfig"), _ROLLOUT),
        "TaskTemplate": struct(_TASK),
        "Networks": each(_network),
        "EndpointSpec": struct({"Mode": nothing, "Ports": each(_PORT)}),
    }
)
