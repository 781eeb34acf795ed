"""The lines of a Dockerfile that change an image's configuration, as import and commit take them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Any, cast

import orjson

from swarmlib import Invalid

from ..dockerapi.nulls import fields, items


def with_changes(config: dict[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """A configuration after some lines of a Dockerfile.

    Raises:
        Invalid: a line is none of those that change a configuration.
    """
    for line in changes:
        instruction, _, rest = line.strip().partition(" ")
        _change(config, instruction.upper(), rest.strip(), line)
    return config


def _change(config: dict[str, Any], instruction: str, rest: str, line: str) -> None:
    match instruction:
        case "CMD" | "ENTRYPOINT":
            config[instruction.capitalize()] = _command(rest)
        case "ENV":
            config["Env"] = [*items(config["Env"]), *_pairs(rest)]
        case "LABEL":
            config["Labels"] = fields(config["Labels"]) | dict(pair.split("=", 1) for pair in _pairs(rest))
        case "USER":
            config["User"] = rest
        case "WORKDIR":
            config["WorkingDir"] = rest
        case "EXPOSE":
            ports = [each if "/" in each else f"{each}/tcp" for each in rest.split()]
            config["ExposedPorts"] = fields(config.get("ExposedPorts")) | {port: {} for port in ports}
        case "VOLUME":
            config["Volumes"] = fields(config["Volumes"]) | {path: {} for path in _command(rest, shell=False)}
        case _:
            raise Invalid(
                f"{line!r} can't change an image; CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, VOLUME, WORKDIR can"
            )


def _command(text: str, *, shell: bool = True) -> list[str]:
    try:
        return [str(each) for each in cast("list[Any]", orjson.loads(text))]
    except (orjson.JSONDecodeError, TypeError):
        return ["/bin/sh", "-c", text] if shell else text.split()


def _pairs(text: str) -> list[str]:
    words = shlex.split(text)
    return words if all("=" in word for word in words) else ["=".join(text.split(None, 1))]
