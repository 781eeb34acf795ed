"""The description of a virtual machine, typed and with sound defaults."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, TypeAlias, get_args, get_type_hints

import orjson

from swarmlib import Invalid

from ..dockerapi import isolation
from .cloudinit import custom_data
from .tag_rules import check_tags

Body: TypeAlias = dict[str, Any]
Security: TypeAlias = Literal["standard", "trusted", "confidential"]

LABEL: Final = "azure."
"""The prefix of labels that describe the machine itself; all other labels become its tags."""
TAG: Final = "swarmlib"
"""The tag of all that swarmlib creates; its value is the role."""
MADE: Final = f"{TAG}.made"
SPEC: Final = f"{TAG}.spec"
ATTEMPT: Final = f"{TAG}.attempt"
MAKING: Final = f"{TAG}.making"
"""The tag of a machine that is not complete yet; its value is the time until which its creation may take."""
MAKING_SECONDS: Final = 1200.0
STARTED: Final = f"{TAG}.started"
"""The tag that says when swarmlib last started a machine."""
MAX_HOURS: Final = f"{TAG}.max-hours"
"""The tag of a machine that Azure deallocates after so many hours."""
VM: Final = f"{TAG}.vm"
REACH: Final = f"{TAG}.reach"
"""The tag of a machine whose engine is not reached by ssh; its value is tls."""
NETWORK: Final = "swarmlib"
"""The name of all that the machines of a group share: the network, the security group, the NAT gateway."""
SSH_PORT: Final = 22
TLS_PORT: Final = 2376

_NAME: Final = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9_.]{0,62}[a-zA-Z0-9_])?")
_HOST: Final = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9.]{0,62}[a-zA-Z0-9])?")
"""https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules, for Linux."""
_ZONE: Final = re.compile(r"[1-9]")
DEFAULT_SIZE: Final = "Standard_B2s_v2"
"""The smallest size with enough memory for containers of a series that Microsoft isn't retiring."""


def part(body: Body, *names: str) -> Body:
    """Return an object within one of ARM's; empty if it, or an object on the way, is missing or null."""
    for name in names:
        body = body.get(name) or {}
    return body


def parts(body: Body, name: str) -> list[Body]:
    """Return a list of objects within one of ARM's; empty if it is missing or null."""
    return body.get(name) or []


def tags_of(body: Body) -> dict[str, str]:
    """Return the tags of a resource."""
    return body.get("tags") or {}


def region(location: str) -> str:
    """Return the canonical name of a region, such as westeurope for West Europe."""
    return location.replace(" ", "").lower()


def ip_name(machine: str) -> str:
    """Return the name of a machine's public address."""
    return f"{machine}-ip"


def nic_name(machine: str) -> str:
    """Return the name of a machine's interface."""
    return f"{machine}-nic"


def is_reserved(label: str) -> bool:
    """Return whether a label is one of the tags by which swarmlib recognises what it created.

    Clients must not set those, but tools that recreate a machine from its inspection send them back.
    """
    return label == TAG or (label.startswith(f"{TAG}.") and label != isolation.LABEL)


@dataclass(frozen=True)
class Spec:
    """The description of a machine to create.

    size, zone: the possible ones, separated by commas, in the order in which they are tried; zone "" is any. image: as
    `images.check_image`. plan: PUBLISHER:PRODUCT:NAME, for an image that does not say it itself. disk: GB; 0 is the
    image's own size. spot_fallback: whether a machine that can't be a spot one may be a regular one. host: the name of
    its system; "" for one like `name`. network: an existing VNET/SUBNET of the group, or a subnet's id; "" for
    swarmlib's own. private: no public address. nat: whether swarmlib's own network must have a NAT gateway. identity:
    "system", or the id of a user-assigned one; "" for none. key: the ssh public key of `admin`. tls: whether its
    engine is reached by TLS. cloud_init: the parts of its cloud-init data. max_hours: after how many hours Azure
    deallocates it; 0 for never.
    """

    name: str
    location: str
    size: str = DEFAULT_SIZE
    image: str = "ubuntu"
    plan: str = ""
    disk: int = 0
    zone: str = ""
    spot: bool = False
    spot_fallback: bool = False
    host: str = ""
    network: str = ""
    private: bool = False
    nat: bool = False
    identity: str = ""
    security: Security = "standard"
    admin: str = "swarm"
    key: str = ""
    tls: bool = False
    cloud_init: tuple[bytes, ...] = field(default=(), repr=False)  # may hold secrets
    max_hours: int = 0
    role: str = "workload"
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    shared_tags: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise Invalid(f"invalid name {self.name!r}: expected at most 64 letters, digits, '-', '_' and '.'")
        if self.host and not _HOST.fullmatch(self.host):
            raise Invalid(f"invalid host name {self.host!r}: expected at most 64 letters, digits, '-' and '.', and no"
                          " '-' or '.' at an end")  # fmt: skip
        if not all(self.sizes):
            raise Invalid(f"invalid size {self.size!r}: expected NAME, or several with commas between them")
        if not all(_ZONE.fullmatch(each) or not self.zone for each in self.zones):
            raise Invalid(f"invalid zone {self.zone!r}: expected 1, 2 or 3, or several with commas between them")
        if self.plan and (self.plan.count(":") != 2 or not all(self.plan.split(":"))):
            raise Invalid(f"invalid plan {self.plan!r}: expected PUBLISHER:PRODUCT:NAME")
        check_tags(self.tags)

    @property
    def sizes(self) -> list[str]:
        """The possible sizes, in the order in which they are tried."""
        return self.size.split(",")

    @property
    def zones(self) -> list[str]:
        """The possible zones, in the order in which they are tried; [""] for any."""
        return self.zone.split(",")

    def described_by(self, labels: Mapping[str, str]) -> Spec:
        """Return this spec, changed by labels such as azure.size=Standard_D2s_v5; others become tags, unless reserved.

        swarmlib.isolation is the name of azure.security that all backends share; it becomes a tag, too.

        Raises:
            Invalid: there is no such property, or the value is not valid for it.
        """
        own = {key.removeprefix(LABEL): value for key, value in labels.items() if key.startswith(LABEL)}
        if demand := isolation.demanded({"Labels": labels}):
            isolation.agree(demand, own.get("security", ""))
            own["security"] = demand
        tags = {key: value for key, value in labels.items() if not key.startswith(LABEL) and not is_reserved(key)}
        return replace(self, **_typed(own), tags={**self.tags, **tags})

    @property
    def hash(self) -> str:
        """A hash that equal descriptions share."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        data = custom_data(self.cloud_init)
        told |= {"cloud_init": hashlib.sha256(data).hexdigest(), "tags": dict(sorted(self.tags.items()))}
        del told["shared_tags"], told["nat"]  # of what machines share
        return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]

    @property
    def region(self) -> str:
        """The canonical name of the location."""
        return region(self.location)

    @property
    def port(self) -> int:
        """The port at which the machine is reached."""
        return TLS_PORT if self.tls else SSH_PORT

    @property
    def ip_name(self) -> str:
        """The name of the machine's public address."""
        return ip_name(self.name)

    @property
    def nic_name(self) -> str:
        """The name of the machine's interface."""
        return nic_name(self.name)


_SETTABLE: Final = (
    "size",
    "image",
    "plan",
    "disk",
    "zone",
    "spot",
    "spot_fallback",
    "network",
    "private",
    "nat",
    "identity",
    "security",
    "location",
)


def _typed(given: Mapping[str, str]) -> dict[str, Any]:
    hints = get_type_hints(Spec)
    given = {name.replace("-", "_"): text for name, text in given.items()}
    return {name: _value(name, hints.get(name), text) for name, text in given.items()}


def _value(name: str, kind: Any, text: str) -> Any:
    if name not in _SETTABLE:
        raise Invalid(f"unknown label {LABEL}{name}; expected one of {', '.join(LABEL + each for each in _SETTABLE)}")
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0", ""):
            raise Invalid(f"{LABEL}{name} must be true or false, not {text!r}")
        return text.lower() in ("true", "1", "")
    if choices := get_args(kind):
        if text not in choices:
            raise Invalid(f"{LABEL}{name} must be one of {', '.join(choices)}, not {text!r}")
        return text
    try:
        return kind(text)
    except ValueError as exc:
        raise Invalid(f"{LABEL}{name} must be a number, not {text!r}") from exc
