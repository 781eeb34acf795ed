"""What a call asks of a build: each of its parameters is obeyed, or refused by its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from swarmlib import Unsupported

from ...dockerapi.references import normal
from ...dockerapi.status import refusal
from ...dockerapi.values import is_true
from ..asked import as_list
from .context import DEFAULT

_OF_BUILDKIT: Final = ("outputs", "session", "buildid")
_SESSION: Final = (
    "experimental session with v1 builder is no longer supported, use builder version v2 (BuildKit) instead"
)
_NUMBERS: Final = {
    "shmsize": "ShmSize",
    "memory": "Memory",
    "memswap": "MemorySwap",
    "cpushares": "CpuShares",
    "cpuperiod": "CpuPeriod",
    "cpuquota": "CpuQuota",
}
_TEXTS: Final = {
    "networkmode": "NetworkMode",
    "cpusetcpus": "CpusetCpus",
    "cpusetmems": "CpusetMems",
    "cgroupparent": "CgroupParent",
    "isolation": "Isolation",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One build's wishes."""

    dockerfile: str
    tags: list[str]
    """Normal references."""
    arguments: dict[str, str | None]
    labels: dict[str, str]
    cache_from: list[str]
    """Only these images and their parents are taken for cached, if there is one."""
    target: str
    platform: str
    host: dict[str, Any]
    """The host's side of the configuration of the containers in which steps run."""
    quiet: bool
    cached: bool
    pulls: bool
    removes: bool
    """Whether a step's container is removed when it has succeeded."""
    always_removes: bool
    """Whether it is removed too when it has failed."""


def asked(args: Mapping[str, Any]) -> Asked:
    """What the parameters of a build say.

    Raises:
        SwarmError: one is wrong, or asks for what is not here.
    """
    if as_list(args.get("securityopt")):
        raise refusal(400, "The daemon on this platform does not support setting security options on build")
    if args.get("isolation") not in (None, "", "default"):
        raise refusal(400, f"Unsupported isolation: {orjson.dumps(args['isolation']).decode()}")
    _check_version(str(args.get("version") or "1"))
    if is_true(args.get("squash")):
        raise refusal(400, "squash is only supported with experimental mode")
    tags = [_tag(each) for each in as_list(args.get("t")) if each]
    _check_remote(str(args.get("remote") or ""))
    for name in _OF_BUILDKIT:
        if args.get(name) not in (None, "", "[]"):
            raise Unsupported(f"{name} needs BuildKit, which the simulator has not")
    always = is_true(args.get("forcerm"))
    return Asked(
        dockerfile=str(args.get("dockerfile") or DEFAULT),
        tags=list(dict.fromkeys(tags)),
        arguments=_json(args, "buildargs", {}),
        labels=_json(args, "labels", {}),
        cache_from=_json(args, "cachefrom", []),
        target=str(args.get("target") or ""),
        platform=str(args.get("platform") or ""),
        host=_host(args),
        quiet=is_true(args.get("q")),
        cached=not is_true(args.get("nocache")),
        pulls=is_true(args.get("pull")),
        removes=always or is_true(args.get("rm", "1")),
        always_removes=always,
    )


def _json(args: Mapping[str, Any], name: str, otherwise: Any) -> Any:
    return orjson.loads(args[name]) if args.get(name) else otherwise


def _host(args: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"LogConfig": {"Type": "none"}}
    found |= {field: int(args[name]) for name, field in _NUMBERS.items() if args.get(name)}
    found |= {field: str(args[name]) for name, field in _TEXTS.items() if args.get(name)}
    hosts = as_list(args.get("extrahosts"))
    ulimits = _json(args, "ulimits", None)
    return found | ({"ExtraHosts": hosts} if hosts else {}) | ({"Ulimits": ulimits} if ulimits else {})


def _check_version(version: str) -> None:
    if version == "2":
        raise Unsupported(
            "the simulator has no BuildKit, which is the builder of version 2; version=1 is the classic one"
        )
    if version != "1":
        raise refusal(500, f"invalid version {orjson.dumps(version).decode()}")


def _tag(text: str) -> str:
    found = normal(text, status=500)
    if "@" in found:
        raise refusal(500, "build tag cannot contain a digest")
    return found


def _check_remote(url: str) -> None:
    if url == "client-session":
        raise refusal(400, _SESSION)
    if re.match(r"(https?|git)://|git@|github\.com/", url):
        raise Unsupported(f"the simulator builds what is sent to it, not what a URL such as {url} names")
    if url:
        raise refusal(500, f"remoteURL ({url}) could not be recognized as URL")
