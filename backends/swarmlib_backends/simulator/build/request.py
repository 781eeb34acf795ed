"""What a call asks of a build: each of its parameters is obeyed, or refused by its name."""

from __future__ import annotations

import re
from typing import Any, Final

from swarmlib import Unsupported

from ...dockerapi.operations import ImageBuild
from ...dockerapi.references import normal
from ...dockerapi.status import refusal
from ...dockerfile.lines import quoted

_SESSION: Final = (
    "experimental session with v1 builder is no longer supported, use builder version v2 (BuildKit) instead"
)


def tags_asked(asked: ImageBuild) -> list[str]:
    """Return the normal references that a build's image gets, and check the parameters that nothing else reads.

    Raises:
        SwarmError: one is wrong, or asks for what is not here.
    """
    if asked.securityopt:
        raise refusal(400, "The daemon on this platform does not support setting security options on build")
    if asked.isolation not in ("", "default"):
        raise refusal(400, f"Unsupported isolation: {quoted(asked.isolation)}")
    _check_version(asked.version)
    if asked.squash:
        raise refusal(400, "squash is only supported with experimental mode")
    tags = [_tag(each) for each in asked.t if each]
    _check_remote(asked.remote)
    for name, given in (("outputs", asked.outputs), ("session", asked.session), ("buildid", asked.buildid)):
        if given:
            raise Unsupported(f"{name} needs BuildKit, which the simulator has not")
    return list(dict.fromkeys(tags))


def host_of(asked: ImageBuild) -> dict[str, Any]:
    """Return the host's side of the configuration of the containers in which the steps of a build run."""
    given = {
        "ShmSize": asked.shmsize,
        "Memory": asked.memory,
        "MemorySwap": asked.memswap,
        "CpuShares": asked.cpushares,
        "CpuPeriod": asked.cpuperiod,
        "CpuQuota": asked.cpuquota,
        "NetworkMode": asked.networkmode,
        "CpusetCpus": asked.cpusetcpus,
        "CpusetMems": asked.cpusetmems,
        "CgroupParent": asked.cgroupparent,
        "Isolation": asked.isolation,
        "ExtraHosts": asked.extrahosts,
        "Ulimits": asked.ulimits,
    }
    return {"LogConfig": {"Type": "none"}} | {name: value for name, value in given.items() if value}


def _check_version(version: str) -> None:
    if version == "2":
        raise Unsupported(
            "the simulator has no BuildKit, which is the builder of version 2; version=1 is the classic one"
        )
    if version != "1":
        raise refusal(500, f"invalid version {quoted(version)}")


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
