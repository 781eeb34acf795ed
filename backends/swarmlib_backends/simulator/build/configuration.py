"""What the instructions of a Dockerfile change of an image's configuration, in builds, imports and commits.

Source: builder/dockerfile/dispatchers.go of github.com/moby/moby.
"""

from __future__ import annotations

import copy
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from swarmlib import Invalid

from ...dockerapi.nullable import dict_of, list_of
from ...dockerapi.status import refusal, restated
from ...dockerapi.values import signal_number
from ...dockerfile.expansion import Expander, expanded
from ...dockerfile.instructions import Instruction, health, instruction
from ...dockerfile.lines import quoted, read
from ..addresses import address_in

_SHELL: Final = ["/bin/sh", "-c"]
_OF_CHANGES: Final = (
    *("cmd", "entrypoint", "healthcheck", "env", "expose", "label", "onbuild", "user", "volume", "workdir"),
)
"""Those that imports and commits take."""
_MOST_PORTS: Final = 3 * 65536
"""Ports of one EXPOSE, at most: all of each protocol."""
_UNITS: Final = (("h", 3600), ("m", 60))


def with_changes(config: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Return a configuration after some lines of a Dockerfile.

    Raises:
        Invalid: a line is none of those that change a configuration, or wrong.
    """
    if not changes:
        return config
    dockerfile = read("\n".join(changes))
    for line in dockerfile.lines:
        if line.name not in _OF_CHANGES:
            raise Invalid(f"{line.name} is not a valid change command")
    changed = Configuration(copy.deepcopy(config))
    for step in [instruction(line) for line in dockerfile.lines]:
        expander = Expander(changed.environment, dockerfile.escape)
        with restated("", 400):
            changed.change(expanded(step, expander), expander)
    return changed.values


@dataclass
class Configuration:
    """A configuration that is being made."""

    values: dict[str, Any]
    command_set: bool = False
    """Whether there was a CMD, which an ENTRYPOINT then leaves as it is."""

    @property
    def environment(self) -> list[str]:
        """NAME=VALUE."""
        return list_of(self.values["Env"])

    @property
    def shell(self) -> list[str]:
        """What runs a command that is no list of words."""
        return [*(self.values.get("Shell") or _SHELL)]

    def command(self, step: Instruction) -> list[str]:
        """Return the words of a step that says what to run."""
        return list(step.args) if step.json else [*self.shell, *(step.args or [])]

    def change(self, step: Instruction, expander: Expander) -> str:
        """Do what an expanded step says; returns what history says of it, "" if nothing is changed here.

        Raises:
            SwarmError: what it says can't be.
        """
        change = _CHANGES.get(step.name)
        return "" if change is None else change(self, step, expander)


def _env(config: Configuration, step: Instruction, _: Expander) -> str:
    found = list(config.environment)
    for name, value in step.pairs:
        at = next((at for at, entry in enumerate(found) if entry.partition("=")[0] == name), len(found))
        found[at : at + 1] = [f"{name}={value}"]
    config.values["Env"] = found
    return _assigned("ENV", step.pairs)


def _label(config: Configuration, step: Instruction, _: Expander) -> str:
    config.values["Labels"] = dict_of(config.values["Labels"]) | dict(step.pairs)
    return _assigned("LABEL", step.pairs)


def _cmd(config: Configuration, step: Instruction, _: Expander) -> str:
    config.values["Cmd"] = config.command(step)
    config.command_set = config.command_set or bool(step.args)
    return f"CMD {_quoted(config.values['Cmd'])}"


def _entrypoint(config: Configuration, step: Instruction, _: Expander) -> str:
    config.values["Entrypoint"] = config.command(step) if step.args else None
    if not config.command_set:
        config.values["Cmd"] = None
    return f"ENTRYPOINT {_quoted(list_of(config.values['Entrypoint']))}"


def _user(config: Configuration, step: Instruction, _: Expander) -> str:
    config.values["User"] = step.args[0]
    return f"USER {step.args[0]}"


def _workdir(config: Configuration, step: Instruction, _: Expander) -> str:
    config.values["WorkingDir"] = _folder(config.values["WorkingDir"], step.args[0])
    return f"WORKDIR {config.values['WorkingDir']}"


def _expose(config: Configuration, step: Instruction, expander: Expander) -> str:
    ports = [port for word in step.args for port in expander.words(word)]
    config.values["ExposedPorts"] = dict_of(config.values.get("ExposedPorts")) | {port: {} for port in _exposed(ports)}
    return f"EXPOSE {' '.join(ports)}"


def _volume(config: Configuration, step: Instruction, _: Expander) -> str:
    if "" in step.args:
        raise refusal(500, "VOLUME specified can not be an empty string")
    config.values["Volumes"] = dict_of(config.values["Volumes"]) | {path: {} for path in step.args}
    return f"VOLUME [{' '.join(step.args)}]"


def _stopsignal(config: Configuration, step: Instruction, _: Expander) -> str:
    signal_number(step.args[0])
    config.values["StopSignal"] = step.args[0]
    return f"STOPSIGNAL {step.args[0]}"


def _shell(config: Configuration, step: Instruction, _: Expander) -> str:
    config.values["Shell"] = list(step.args)
    return f"SHELL [{' '.join(step.args)}]"


def _healthcheck(config: Configuration, step: Instruction, _: Expander) -> str:
    config.values["Healthcheck"] = health(step.args, step.flags, step.json)
    return f"HEALTHCHECK {_shown_health(config.values['Healthcheck'])}"


def _onbuild(config: Configuration, step: Instruction, _: Expander) -> str:
    config.values["OnBuild"] = [*list_of(config.values["OnBuild"]), step.args[0]]
    return f"ONBUILD {step.args[0]}"


_CHANGES: Final[Mapping[str, Callable[[Configuration, Instruction, Expander], str]]] = {
    "env": _env,
    "label": _label,
    "cmd": _cmd,
    "entrypoint": _entrypoint,
    "user": _user,
    "workdir": _workdir,
    "expose": _expose,
    "volume": _volume,
    "stopsignal": _stopsignal,
    "shell": _shell,
    "healthcheck": _healthcheck,
    "onbuild": _onbuild,
}
"""What each instruction changes; each gives what history says of it."""


def _assigned(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    return " ".join([name, *(f"{key}={value}" for key, value in pairs)])


def _quoted(words: Iterable[str]) -> str:
    return f"[{' '.join(map(quoted, words))}]"


def _folder(current: str, asked: str) -> str:
    if not asked:
        raise refusal(500, "cannot normalize nothing")
    return asked if asked.startswith("/") else posixpath.normpath(f"/{current}/{asked}").replace("//", "/")


def _shown_health(found: dict[str, Any]) -> str:
    """Show it as Go shows the struct."""
    times = " ".join(f'"{_shown_duration(found.get(name, 0))}"' for name in ("Interval", "Timeout", "StartPeriod"))
    return f"&{{{_quoted(found['Test'])} {times} '\\x{found.get('Retries', 0):02x}'}}"


def _shown_duration(nanoseconds: int) -> str:
    """Show it as Go shows a duration."""
    seconds, text = nanoseconds / 10**9, ""
    if 0 < seconds < 1:
        return f"{nanoseconds / 10**6:g}ms"
    for unit, size in _UNITS:
        if seconds >= size or text:
            text += f"{int(seconds // size)}{unit}"
            seconds %= size
    return f"{text}{seconds:g}s"


def _exposed(specs: Iterable[str]) -> list[str]:
    found: list[str] = []
    for spec in dict.fromkeys(specs):
        found += _ports(spec)
        if len(found) > _MOST_PORTS:
            raise refusal(400, f"EXPOSE names over {_MOST_PORTS} ports")
    return found


def _ports(spec: str) -> list[str]:
    """Return the ports of the container that a specification such as `8080:80/udp` names, each with its protocol."""
    ports, _, protocol = spec.partition("/")
    *before, container = ports.split(":")
    host, ip = before[-1] if before else "", ":".join(before[:-1])
    if not container:
        raise refusal(500, f"No port specified: {spec}<empty>")
    if ip and address_in(ip) is None:
        raise refusal(500, f"Invalid ip address: {ip}")
    inside, outside = _range(container), _range(host or container)
    if inside is None:
        raise refusal(500, f"Invalid containerPort: {container}")
    if outside is None:
        raise refusal(500, f"Invalid hostPort: {host}")
    if len(outside) != len(inside) != 1:
        raise refusal(500, f"Invalid ranges specified for container and host Ports: {container} and {host}")
    if (protocol := protocol.lower() or "tcp") not in ("tcp", "udp", "sctp"):
        raise refusal(500, f"Invalid proto: {protocol}")
    return [f"{port}/{protocol}" for port in inside]


def _range(text: str) -> range | None:
    found = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", text)
    if found is None:
        return None
    first, last = int(found[1]), int(found[2] or found[1])
    return range(first, last + 1) if first <= last <= 65535 else None
