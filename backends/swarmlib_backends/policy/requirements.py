"""What a rule requires of containers: limits on memory, CPUs and processes, a user, less privileges, a runtime.

They hold for whatever can set them: the creation and the update of a container, a command in one, a service, a build.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from swarmlib import Request
from swarmlib.quantities import shown_bytes

from ..dockerapi import capabilities, limits, references
from ..dockerapi.operations import ImageBuild
from ..globs import Match, globs
from .demands import Demand
from .names import IMAGES

_NO_NEW_PRIVILEGES: Final = re.compile(r"no-new-privileges(?:[:=](true|false))?")
_NOT_ROOT: Final = "nonroot"
_OTHER_THAN_ROOT: Final = re.compile(r"[1-9][0-9]{0,8}(?::[1-9][0-9]{0,8})?")


def users(given: Sequence[str]) -> Match:
    """Match the users of containers by shell patterns; `nonroot` is any number but 0, also for the group.

    A name can be that of root in an image, so only numbers say that a user is not.
    """
    match, not_root = globs([each for each in given if each != _NOT_ROOT]), _NOT_ROOT in given
    return lambda user: match(user) or (not_root and _OTHER_THAN_ROOT.fullmatch(user) is not None)


@dataclass(frozen=True)
class Container:
    """A container as a request describes it. None: the request does not say it, and can't change it.

    Attributes:
        memory: bytes; 0 for no limit, as in the other limits.
        swap: bytes of memory and swap; 0 for the engine's default, -1 for no limit.
        cpus: cores.
        pids: processes and threads.
        user: the user of its processes; "" for the image's own.
        runtime: the OCI runtime; "" for the engine's default.
        read_only: whether its root file system is.
        no_new_privileges: whether its processes can't get more privileges.
        dropped: the capabilities that it does without.
    """

    memory: int | None = None
    swap: int | None = None
    cpus: float | None = None
    pids: int | None = None
    user: str | None = None
    runtime: str | None = None
    read_only: bool | None = None
    no_new_privileges: bool | None = None
    dropped: frozenset[str] | None = None


@dataclass(frozen=True)
class Requirements:
    """What a container must have. None, False and an empty set require nothing.

    Attributes:
        memory: bytes, at most.
        cpus: cores, at most.
        pids: processes and threads, at most.
        users: the users that it may run as.
        runtime: the OCI runtime.
        read_only: whether its root file system must be read-only.
        no_new_privileges: whether its processes must not get more privileges.
        dropped: the capabilities that it must do without.
        pinned: whether images must be named by digest.
    """

    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None
    users: Match | None = None
    runtime: str | None = None
    read_only: bool = False
    no_new_privileges: bool = False
    dropped: frozenset[str] = frozenset()
    pinned: bool = False

    def missed_by(self, operation: str, request: Request, demands: Sequence[Demand]) -> Iterator[str]:
        """Yield what a request of an operation misses, which makes these demands, in words."""
        for demand in demands:
            if demand.kind == IMAGES and not self.accepts(demand):
                yield f"an image that is named by its digest ({demand.place})"
        describe = _DESCRIBED.get(operation)
        if describe is not None and self != _NONE:
            container = describe(request)
            yield from self._limits_missed(container)
            yield from self._security_missed(container)

    def accepts(self, image: Demand) -> bool:
        """Return whether an image is named as it must be."""
        return not self.pinned or "@" in image.value or references.is_digest(image.value)

    def _limits_missed(self, it: Container) -> Iterator[str]:
        if self.memory is not None:
            if it.memory is not None and not 0 < it.memory <= self.memory:
                yield f"a limit of at most {shown_bytes(self.memory)} of memory (Memory)"
            if it.swap and not 0 < it.swap <= 2 * self.memory:  # 0 is twice the memory, which is what an engine uses
                yield f"a limit of at most {shown_bytes(2 * self.memory)} of memory and swap (MemorySwap)"
        if self.cpus is not None and it.cpus is not None and not 0 < it.cpus <= self.cpus:
            yield f"a limit of at most {self.cpus:g} CPUs (NanoCpus, or CpuQuota)"
        if self.pids is not None and it.pids is not None and not 0 < it.pids <= self.pids:
            yield f"a limit of at most {self.pids} processes (PidsLimit)"

    def _security_missed(self, it: Container) -> Iterator[str]:
        if self.users is not None and it.user is not None and not self.users(it.user):
            yield f"one of the users that the rule lists (User), not {it.user[:60]!r}"
        if self.runtime is not None and it.runtime is not None and it.runtime != self.runtime:
            yield f"the runtime {self.runtime!r} (Runtime)"
        if self.read_only and it.read_only is False:
            yield "a read-only root file system (ReadonlyRootfs)"
        if self.no_new_privileges and it.no_new_privileges is False:
            yield "the security option no-new-privileges (SecurityOpt)"
        if it.dropped is not None and "ALL" not in it.dropped and (missed := self.dropped - it.dropped):
            yield f"to do without the capabilities {', '.join(sorted(missed))} (CapDrop)"


_NONE: Final = Requirements()


def _created(request: Request) -> Container:
    body: Mapping[str, Any] = request.json or {}
    host = _inside(body, "HostConfig")
    return Container(
        memory=host.get("Memory", 0),
        swap=host.get("MemorySwap", 0),
        cpus=_cpus(host),
        pids=host.get("PidsLimit", 0),
        user=body.get("User", ""),
        runtime=host.get("Runtime", ""),
        read_only=host.get("ReadonlyRootfs", False),
        no_new_privileges=_takes_privileges_away(host.get("SecurityOpt", ())),
        dropped=_dropped(host.get("CapDrop", ())),
    )


def _updated(request: Request) -> Container:
    """Describe what an update says: what it leaves out, or sets to an engine's sign for that, stays as it is."""
    body: Mapping[str, Any] = request.json or {}
    shares_cpus = any(body.get(name) for name in ("NanoCpus", "CpuQuota", "CpuPeriod"))  # a period needs its quota
    return Container(
        memory=body.get("Memory") or None,
        swap=body.get("MemorySwap"),
        cpus=_cpus(body) if shares_cpus else None,
        pids=body.get("PidsLimit"),
    )


def _command(request: Request) -> Container:
    body: Mapping[str, Any] = request.json or {}
    return Container(user=body.get("User", ""))


def _service(request: Request) -> Container:
    task = _inside(request.json or {}, "TaskTemplate")
    resources = _inside(task, "Resources")
    most = _inside(resources, "Limits")
    spec = _inside(task, "ContainerSpec")
    return Container(
        memory=most.get("MemoryBytes", 0),
        swap=resources.get("SwapBytes", 0),
        cpus=most.get("NanoCPUs", 0) / 1e9,
        pids=most.get("Pids", 0),
        user=spec.get("User", ""),
        runtime="",
        read_only=spec.get("ReadOnly", False),
        no_new_privileges=_inside(spec, "Privileges").get("NoNewPrivileges", False),
        dropped=_dropped(spec.get("CapabilityDrop", ())),
    )


def _built(request: Request) -> Container:
    """Describe the containers of a build; the other requirements can't be met by a build, nor missed."""
    asked = ImageBuild.of(request)
    cpus = _cpus({"CpuQuota": asked.cpuquota, "CpuPeriod": asked.cpuperiod})
    return Container(memory=asked.memory, swap=asked.memswap, cpus=cpus)


_DESCRIBED: Final[Mapping[str, Callable[[Request], Container]]] = {
    "ContainerCreate": _created,
    "ContainerUpdate": _updated,
    "ContainerExec": _command,
    **dict.fromkeys(("ServiceCreate", "ServiceUpdate"), _service),
    "ImageBuild": _built,
}


def _inside(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", data.get(name) or {})


def _cpus(host: Mapping[str, Any]) -> float:
    return (limits.cpus(host) or 0) / 1e9


def _takes_privileges_away(options: Sequence[str]) -> bool:
    """Return what the last of the options about new privileges says."""
    found = [given for option in options if (given := _NO_NEW_PRIVILEGES.fullmatch(option))]
    return bool(found) and found[-1][1] != "false"


def to_drop(given: Sequence[str]) -> frozenset[str]:
    """Return the capabilities that a rule wants dropped.

    Raises:
        Invalid: one of them is none that Linux has.
    """
    return frozenset(map(capabilities.known, given))


def _dropped(given: Sequence[str]) -> frozenset[str]:
    return frozenset(map(capabilities.plain, given))
