"""Which fields of a container's creation a backend honours. The others are refused by name, never ignored."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeAlias, cast

from swarmlib import Invalid, Unsupported

from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.status import refusal
from ..dockerapi.values import signal_number

Allows: TypeAlias = Callable[[Any], bool]
"""Whether a backend can honour a value."""

ATTACHED: Final = frozenset({"AttachStderr", "AttachStdin", "AttachStdout", "OpenStdin", "StdinOnce", "Tty"})
"""How clients attach to a container."""
USUAL: Final = ATTACHED | {
    *("Cmd", "Entrypoint", "HostConfig", "Image", "Labels", "NetworkingConfig", "StopSignal", "StopTimeout")
}
"""The fields that every `Container` honours; of `HostConfig`, those of `HONOURED`."""


def anything(value: Any) -> bool:
    """Allow every value."""
    return True


def only(*values: Any) -> Allows:
    """Return what allows these values alone."""
    return values.__contains__


_MILLISECOND: Final = 1_000_000
"""Nanoseconds."""
HARMLESS: Final[Mapping[str, Allows]] = MappingProxyType(
    {
        "ConsoleSize": anything,
        "LogConfig": only({"Type": "", "Config": {}}, {"Type": "", "Config": None}),
        "MemorySwappiness": only(-1),
        "NetworkMode": only("default", "bridge"),
        "RestartPolicy": only(
            {"Name": "no", "MaximumRetryCount": 0}, {"Name": "no"}, {"Name": "", "MaximumRetryCount": 0}
        ),
    }
)
"""What clients send in a HostConfig that asks for nothing."""
HONOURED: Final[Mapping[str, Allows]] = MappingProxyType({**HARMLESS, "AutoRemove": anything})
"""What every `Container` can honour of a HostConfig."""


@dataclass(frozen=True)
class Accepted:
    """What the body of a creation may say.

    what: a container of this backend in the words of errors, such as "a local process". fields: those that may be set.
    host: those of HostConfig, each with what allows its value. advice: what a refusal says besides.
    """

    what: str
    fields: Collection[str] = USUAL
    host: Mapping[str, Allows] = field(default_factory=lambda: HONOURED)
    advice: str = ""

    def check(self, body: Any, of: str = "create") -> dict[str, Any]:
        """Return the body, if all of it can be honoured.

        of: what the body is the body of, for errors.

        Raises:
            Invalid: it is not a JSON object. Unsupported: it sets what can't be honoured; names it.
        """
        config = json_object(body, of)
        refused = [name for name, value in config.items() if value and name not in self.fields]
        for name, value in dict_of(config.get("HostConfig")).items():
            if value and not self.host.get(name, _nothing)(value):
                refused.append(f"HostConfig.{name}")
        if refused:
            raise Unsupported(f"{self.what} can't have {', '.join(refused)}{self.advice}")
        return config


def json_object(body: Any, of: str = "create") -> dict[str, Any]:
    """Return the JSON object that is the body of a create, or of what `of` says. Raises `Invalid` if it is not one."""
    if not isinstance(body, dict):
        raise Invalid(f"the body of {of} must be a JSON object")
    return cast("dict[str, Any]", body)


def check_process(config: Mapping[str, Any]) -> None:
    """Raise what an engine says of the configuration of a process that can't be, in the order in which it says it."""
    folder = str(config.get("WorkingDir") or "/")
    if not folder.startswith("/"):
        raise refusal(400, f"the working directory '{folder}' is invalid, it needs to be an absolute path")
    signal_number(config.get("StopSignal") or "TERM")
    for entry in list_of(config.get("Env")):
        if not entry or entry.startswith("="):
            raise refusal(400, f"invalid environment variable: {entry}")


def check_config(config: Mapping[str, Any]) -> None:
    """Raise what is said of a configuration that can't be."""
    check_process(config)
    health = dict_of(config.get("Healthcheck"))
    for name in ("Interval", "Timeout", "StartPeriod", "StartInterval"):
        if 0 != int(health.get(name) or 0) < _MILLISECOND:
            raise refusal(400, f"{name} in Healthcheck cannot be less than 1ms")
    if int(health.get("Retries") or 0) < 0:
        raise refusal(400, "Retries in Healthcheck cannot be negative")


def check_restarts(host: Mapping[str, Any]) -> None:
    """Raise `Invalid` unless the restart policy of a HostConfig is one of an engine's, and agrees with the rest."""
    policy = dict_of(host.get("RestartPolicy"))
    if host.get("AutoRemove") and policy.get("Name") not in (None, "", "no"):
        raise refusal(400, "can't create 'AutoRemove' container with restart policy")
    check_restart_policy(policy)


def check_restart_policy(policy: Mapping[str, Any]) -> None:
    """Raise `Invalid` unless it is one of an engine's."""
    name, count = policy.get("Name") or "", int(policy.get("MaximumRetryCount") or 0)
    if name in ("always", "unless-stopped", "no"):
        if count:
            raise refusal(400, f"maximum retry count cannot be used with restart policy '{name}'")
    elif name == "on-failure":
        if count < 0:
            raise refusal(400, "maximum retry count cannot be negative")
    elif name:
        raise refusal(400, f"invalid restart policy '{name}'")


def _nothing(value: Any) -> bool:
    return False
