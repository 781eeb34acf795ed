"""The record of a container: all that the cluster must remember of it, in a ConfigMap that owns all the rest.

Records are read strictly: people and other programs can edit a ConfigMap. What is no record is an error that says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import orjson

from swarmlib import TooLarge

from ...dockerapi.nullable import dict_of
from ...enginekit.configs import completed
from ...enginekit.container import Configured
from ...enginekit.health import Probe
from . import names
from .options import Publishing

Wanted: TypeAlias = Literal["created", "running", "stopped", "removed"]
"""What was asked for last: nothing yet, a start, an end, or its removal."""

CONTAINER: Final = "container"
"""The kind (`names.KIND`) of the ConfigMaps that are records."""
RESERVATION: Final = "container-name"
"""The kind of the ConfigMaps that reserve the names of containers."""
KEY: Final = "container.json"
"""The key of a ConfigMap's data under which the record is."""
LATEST: Final = 2.0**37
"""Seconds since the epoch, more than three thousand years: what is later can't be shown as a date."""
VERSION: Final = 1
"""The version of the form in which records are written."""
_LARGEST: Final = 960 * 1024
"""The most bytes of a record: a ConfigMap holds 1 MiB."""


@dataclass(frozen=True)
class Image:
    """What is known of a container's image.

    reference: what the cluster pulls, if that is not the name in the body. digest: its id, as it is shown; "" if
    unknown. config: what its registry says of it, as the `Config` of an engine's inspection. secret: the name of the
    Secret with the credentials that pull it; "" if it needs none.
    """

    reference: str = ""
    digest: str = ""
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    secret: str = ""


@dataclass(frozen=True)
class Ended:
    """The end of a run. Times are seconds since the epoch, 0 for never."""

    run: int
    exit_code: int
    started: float = 0.0
    finished: float = 0.0
    oom_killed: bool = False
    error: str = ""


@dataclass(frozen=True)
class Health:
    """How healthy a container is, and its last checks."""

    status: str = "starting"
    failing: int = 0
    log: tuple[Probe, ...] = ()

    @property
    def latest(self) -> float:
        """When the last check began, in seconds since the epoch; 0 for none."""
        return self.log[-1].start if self.log else 0.0


@dataclass(frozen=True)
class Record(Configured):
    """A container as the cluster remembers it. Times are seconds since the epoch, 0 for never.

    Attributes:
        id, name: its own id, and its Docker name without a slash.
        body: of its creation, in canonical form and whole.
        image: None if nothing is known of it.
        run: the number of the run that was started last, 0 for none.
        started: when that run was started.
        wanted: what was asked for last.
        paused: whether it was paused.
        restarts: how often it was restarted, besides what its Pod tells.
        error: why its last start failed.
        last: its last end, if its Pod does not tell that, or no longer. That of an earlier run may stand there.
        health: None if it has no health check, or has not run.
        networks: the networks that it is connected to, by their names, with what each connection asks for; None for
            those that its body asks for.
        ports: its published ports (`publishing.PortMap`).
        via: how these are reached.
        linked: the variables that its links on the default bridge have made for its last run.
        keep: whether its Pod outlives its runs, so that it runs again with its files.
        uid, version: the identity and the `resourceVersion` of its ConfigMap; "" if the cluster doesn't have it yet.
        ruled: whether the rules for its placement in its labels are the cluster's to follow: those that came in labels
            have been followed by a `balance` in front, which moves them there.
        config: its configuration as an inspection shows it, completed by its image's.
    """

    id: str
    name: str
    created: float
    body: dict[str, Any]
    image: Image | None = None
    run: int = 0
    started: float = 0.0
    wanted: Wanted = "created"
    paused: bool = False
    restarts: int = 0
    error: str = ""
    last: Ended | None = None
    health: Health | None = None
    uid: str = ""
    version: str = ""
    ruled: bool = False
    keep: bool = False
    networks: Mapping[str, Mapping[str, Any]] | None = None
    ports: Mapping[str, Any] = field(default_factory=dict[str, Any])
    via: Publishing = "forward"
    linked: Mapping[str, str] = field(default_factory=dict[str, str])
    config: dict[str, Any] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        own: Mapping[str, Any] = self.image.config if self.image else {}
        object.__setattr__(self, "config", completed(self.body, own, self.id[:12]))

    @property
    def host(self) -> dict[str, Any]:
        """The host's side of its configuration."""
        return dict_of(self.body.get("HostConfig"))

    @property
    def retries(self) -> int:
        """How often it is restarted at the most; 0 for any number of times."""
        return int(dict_of(self.host.get("RestartPolicy")).get("MaximumRetryCount") or 0)

    @property
    def may_restart(self) -> bool:
        """Whether its restart policy has it run again after some of its ends."""
        return dict_of(self.host.get("RestartPolicy")).get("Name") in ("always", "unless-stopped", "on-failure")

    @property
    def restarts_again(self) -> bool:
        """Whether its restart policy has it run again after its last end."""
        if self.last is None or self.last.run != self.run or self.wanted != "running":
            return False
        match dict_of(self.host.get("RestartPolicy")).get("Name"):
            case "always" | "unless-stopped":
                return True
            case "on-failure":
                return self.last.exit_code != 0 and not 0 < self.retries <= self.restarts
            case _:
                return False

    @property
    def reference(self) -> str:
        """The reference of its image that the cluster pulls."""
        known = self.image.reference if self.image else ""
        return known or str(self.body.get("Image") or "")

    def config_map(self) -> dict[str, Any]:
        """Return the ConfigMap that holds the record; its version is in it, so that it replaces no newer one.

        Raises:
            TooLarge: it is larger than a ConfigMap may be.
        """
        text = orjson.dumps(_written(self))
        if len(text) > _LARGEST:
            raise TooLarge(f"the description of the container has {len(text)} bytes: the maximum is {_LARGEST}")
        known = {"uid": self.uid, "resourceVersion": self.version} if self.uid else {}
        labels = names.own_labels(CONTAINER, self.id)
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": names.record_name(self.id), "labels": labels, **known},
            "data": {KEY: text.decode()},
        }


KEPT: Final = (
    *("id", "name", "created", "body", "image", "run", "started", "wanted", "paused", "restarts", "error", "last"),
    *("health", "networks", "ports", "via", "linked", "ruled", "keep"),
)
"""What is written of a record: the rest is the ConfigMap's own, or computed."""


def _written(record: Record) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in KEPT}
    return {"version": VERSION, **{name: value for name, value in values.items() if value is not None}}


def reservation(record: Record) -> dict[str, Any]:
    """Return the ConfigMap that reserves a container's name.

    Its creation is refused (`AlreadyExists`) while another container has the name, over all gateways; it goes away
    with the container's record.

    record: as the cluster has it, with its `uid`.
    """
    owner = names.owner_reference(names.record_name(record.id), record.uid)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.reservation_name(record.name),
            "labels": names.own_labels(RESERVATION, record.id),
            "ownerReferences": [owner],
        },
        "data": {"name": record.name, "id": record.id},
    }
