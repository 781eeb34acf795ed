"""What services demand of a swarm's engines: the same as containers do, in the words of their specifications."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from . import containers, mounts, names
from .demands import FIELDS, Demand, Reader, always, each, harmless, keys, nothing, other, struct, text


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
    for inner in value.values():
        yield Demand("devices", inner.get("Kind", ""), place)


_ATTACHMENT: Final = struct({"Aliases": nothing, "DriverOpts": keys("network_options")})
LOG_DRIVER: Final = struct({"Name": text("log_drivers"), "Options": containers.log_options})
_ROLLOUT: Final = harmless("Parallelism", "Delay", "FailureAction", "Monitor", "MaxFailureRatio", "Order")
_REFERENCE: Final[Mapping[str, Reader]] = {"File": harmless("Name", "UID", "GID", "Mode"), "Runtime": harmless()}
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
        "Groups": each(text("groups")),
        "Privileges": _PRIVILEGES,
        "Mounts": each(mounts.mount),
        # An engine refuses a reference whose name is not that of the id.
        "Secrets": each(struct({**_REFERENCE, "SecretName": always("secrets"), "SecretID": nothing})),
        "Configs": each(struct({**_REFERENCE, "ConfigName": always("configs"), "ConfigID": nothing})),
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
            {**dict.fromkeys(("NanoCPUs", "MemoryBytes"), nothing), "GenericResources": each(_generic)}
        ),
        "SwapBytes": containers.limit,
        "MemorySwappiness": nothing,
    }
)


def _plugin_privilege(place: str, value: Any) -> Iterator[Demand]:
    yield from plugin_privilege(place, {name.capitalize(): inner for name, inner in value.items()})


def plugin_privilege(place: str, value: Any) -> Iterator[Demand]:
    """Read a privilege that a plugin gets, such as `mount=/dev`."""
    for inner in value.get("Value") or [""]:
        yield Demand("plugin_privileges", f"{value.get('Name', '')}={inner}", place)


_PLUGIN: Final = struct(
    {
        "remote": names.plugin,
        "privileges": each(_plugin_privilege),
        **dict.fromkeys(("name", "disabled"), nothing),
        "env": each(text("plugin_settings")),
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
        "EndpointSpec": struct({"Mode": nothing, "Ports": each(_port)}),
    }
)
