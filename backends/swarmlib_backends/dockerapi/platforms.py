"""Platforms as requests name them (`linux`, `arm64`, `linux/arm/v7`), read by the rules of containerd's `platforms`."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import orjson

from swarmlib import Invalid

_COMPONENT: Final = re.compile(r"[A-Za-z0-9_-]+")
_SYSTEMS: Final = frozenset(
    {
        *("aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "js", "linux", "nacl", "netbsd"),
        *("openbsd", "plan9", "solaris", "windows", "zos"),
    }
)
_MACHINES: Final = frozenset(
    {
        *("386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "ppc64", "ppc64le", "mips", "mipsle"),
        *("mips64", "mips64le", "mips64p32", "mips64p32le", "ppc", "riscv", "riscv64", "s390", "s390x", "sparc"),
        *("sparc64", "wasm"),
    }
)
_OTHER_NAMES: Final = {
    "macos": "darwin",
    "i386": "386",
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "armel": "arm",
}


class Platform(NamedTuple):
    """A platform, with the variant of its machine if one is named."""

    system: str
    machine: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, self))


HERE: Final = Platform("linux", "amd64")
"""The platform of the engine that `simulator` and `exec` emulate."""


def read(text: str) -> Platform:
    """Return the platform that a text names; what the text leaves out is taken from `HERE`.

    Raises:
        Invalid: the text names no platform; the message is an engine's.

    >>> str(read("arm64")), str(read("Linux/x86_64")), str(read("linux/arm/v7"))
    ('linux/arm64', 'linux/amd64', 'linux/arm/v7')
    """
    parts = text.split("/")
    if "*" in text:
        raise _wrong(text, "wildcards not yet supported")
    for part in parts:
        if not _COMPONENT.fullmatch(part):
            of = _quoted(text)
            rule = f"platform specifier component must match {_quoted(f'^{_COMPONENT.pattern}$')}"
            raise _wrong(part, f"is an invalid component of {of}: {rule}", joined=" ")
    names = [_OTHER_NAMES.get(part.lower(), part.lower()) for part in parts]
    if len(names) == 1:
        if names[0] in _SYSTEMS:
            return Platform(names[0], HERE.machine)
        if names[0] in _MACHINES:
            return Platform(HERE.system, names[0])
        raise _wrong(text, "unknown operating system or architecture")
    if len(names) > 3:
        raise _wrong(text, "cannot parse platform specifier")
    return Platform(*names)


def _wrong(text: str, what: str, joined: str = ": ") -> Invalid:
    return Invalid(f"{_quoted(text)}{joined}{what}: invalid argument")


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()
