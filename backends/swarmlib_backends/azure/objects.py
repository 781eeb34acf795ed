"""A virtual machine as an object of the Docker Engine API, with ARM's own fields beneath it, under `Azure`."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from swarmlib import Request

from ..dockerapi.ages import human
from ..dockerapi.values import NEVER
from ..enginekit.filters import FILTERS, Filter, chosen, one_of
from ..enginekit.views import counted
from .images import short_name
from .spec import STARTED, TAG, Body, part, parts, tags_of

_STATES: Final[Mapping[str, str]] = {
    "starting": "restarting",
    "running": "running",
    "stopping": "running",
    "stopped": "exited",
    "deallocating": "running",
    "deallocated": "exited",
}
"""Docker's state for each power state."""
_PROVISIONING: Final[Mapping[str, str]] = {"Creating": "created", "Deleting": "removing", "Failed": "dead"}
_TEXTS: Final[Mapping[str, str]] = {
    "created": "Created",
    "removing": "Removal In Progress",
    "dead": "Dead",
    "restarting": "Restarting (0) starting",
    "": "Created",
}


@dataclass(frozen=True)
class Machine:
    """A virtual machine: ARM's body, and its power state, such as running or deallocated ("" if unknown)."""

    body: Body
    power: str
    changed: float = 0.0
    """When the last operation on it ended, in seconds since the epoch; 0 if unknown."""

    @classmethod
    def of(cls, body: Body, view: Body | None = None) -> Machine:
        """Return the machine of a body that has its instance view, or whose instance view is in another body."""
        shown = part(view or body, "properties", "instanceView")
        return cls(body, power_of(shown), _changed(shown))

    @property
    def name(self) -> str:
        """The machine's name."""
        return str(self.body["name"])

    @property
    def arm_id(self) -> str:
        """The machine's id in ARM."""
        return str(self.body["id"])

    @property
    def id(self) -> str:
        """The id as a workload: 64 hexadecimal digits, as clients expect; a recreated machine gets another one."""
        return hashlib.sha256(str(self.body["properties"]["vmId"]).encode()).hexdigest()

    @property
    def labels(self) -> dict[str, str]:
        """The machine's tags, which Docker calls labels."""
        return self.tags

    @property
    def tags(self) -> dict[str, str]:
        """The machine's tags."""
        return tags_of(self.body)

    @property
    def status(self) -> str:
        """Docker's word for the machine's state."""
        provisioning = self.body["properties"].get("provisioningState", "")
        return _PROVISIONING.get(provisioning, "") if not self.power else _STATES.get(self.power, "created")

    @property
    def running(self) -> bool:
        """Whether the machine's power is on."""
        return self.status == "running"

    @property
    def image(self) -> str:
        """The machine's image: a URN, or an image's id."""
        reference = part(self.body, "properties", "storageProfile", "imageReference")
        words = [str(reference[key]) for key in ("publisher", "offer", "sku", "version") if key in reference]
        ids = ("id", "communityGalleryImageId", "sharedGalleryImageId")
        return ":".join(words) or str(next((reference[each] for each in ids if reference.get(each)), ""))

    @property
    def image_name(self) -> str:
        """The short name of the machine's image, if it has one; else as `image`."""
        return short_name(self.image)

    @property
    def started(self) -> float:
        """When swarmlib last started the machine, in seconds since the epoch; else, when it was created."""
        return _seconds_or_0(self.tags.get(STARTED, "")) or self.created

    @property
    def size(self) -> str:
        """The machine's size."""
        return str(part(self.body, "properties", "hardwareProfile").get("vmSize", ""))

    @property
    def created(self) -> float:
        """When the machine was created, in seconds since the epoch."""
        return seconds(str(self.body["properties"].get("timeCreated") or ""))

    @property
    def interfaces(self) -> list[str]:
        """The ids of the machine's network interfaces."""
        profile = part(self.body, "properties", "networkProfile")
        return [str(each["id"]) for each in parts(profile, "networkInterfaces")]


def kept(machine: Body) -> list[str]:
    """Return the ids of the disk and the interfaces that Azure does not delete with a machine, but goes on billing."""
    disk = part(machine, "properties", "storageProfile", "osDisk")
    interfaces = parts(part(machine, "properties", "networkProfile"), "networkInterfaces")
    options = [(part(disk, "managedDisk"), disk), *((each, part(each, "properties")) for each in interfaces)]
    found = [each.get("id") for each, option in options if option.get("deleteOption") != "Delete"]
    return [str(id) for id in found if id]


_FILTERS: Final[Mapping[str, Filter[Machine]]] = {
    **FILTERS,
    "ancestor": one_of(lambda each, image: image in (each.image, each.image_name)),
}


def seconds(text: str) -> float:
    """Return the seconds since the epoch of a time in RFC 3339, to which Azure gives up to seven decimals; 0 for ""."""
    if not text:
        return 0.0
    plain = re.sub(r"(\.\d{6})\d+", r"\1", text.replace("Z", "+00:00"))
    return datetime.fromisoformat(plain).timestamp()


def power_of(view: Body) -> str:
    """Return the power state in an instance view, or "" if it has none."""
    codes = [str(each.get("code", "")) for each in parts(view, "statuses")]
    return next((code.partition("/")[2] for code in codes if code.startswith("PowerState/")), "")


def _seconds_or_0(text: str) -> float:
    try:
        return seconds(text)
    except ValueError:
        return 0.0  # anybody can write a tag


def _changed(view: Body) -> float:
    """Return the time of the last operation in an instance view; 0 if it has none."""
    return max((_seconds_or_0(str(each.get("time") or "")) for each in parts(view, "statuses")), default=0.0)


def listed(machines: Iterable[Machine], request: Request) -> list[Body]:
    """Return the summaries of the machines that a list request selects, the newest first.

    Raises:
        Invalid, Unsupported: its filters are invalid.
    """
    newest = sorted(machines, key=lambda each: each.created, reverse=True)
    return [summary(each) for each in chosen(newest, request, _FILTERS)]


def summary(machine: Machine) -> Body:
    """Return a machine's entry in a list."""
    return {
        "Id": machine.id,
        "Names": [f"/{machine.name}"],
        "Image": machine.image_name,
        "ImageID": _image_id(machine),
        "Command": machine.size,
        "Created": int(machine.created),
        "State": machine.status or "created",
        "Status": _text(machine),
        "Ports": [],
        "Labels": machine.tags,
        "Mounts": [],
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {"Networks": {}},
        "Azure": {"id": machine.arm_id, "powerState": machine.power, "location": machine.body.get("location")},
    }


def _text(machine: Machine) -> str:
    if machine.status == "exited":
        billed = "deallocated" if machine.power == "deallocated" else "stopped, but allocated and billed"
        return f"Exited (0) {_ago(machine.changed)}{billed}"
    if machine.running:
        return f"Up {human(time.time() - machine.started)[0]}"
    return _TEXTS[machine.status]


def _ago(at: float) -> str:
    return f"{human(time.time() - at)[0]} ago, " if at else ""


def _image_id(machine: Machine) -> str:
    return f"sha256:{hashlib.sha256(machine.image.encode()).hexdigest()}"


def inspect(machine: Machine, public: str, private: str) -> Body:
    """Return a machine's full description; public, private: its addresses, "" for none."""
    address = {"IPAddress": private, "Gateway": "", "MacAddress": ""}
    return {
        "Id": machine.id,
        "Created": str(machine.body["properties"].get("timeCreated") or NEVER),
        "Path": "",
        "Args": [],
        "State": state(machine),
        "Image": _image_id(machine),
        "Name": f"/{machine.name}",
        "RestartCount": 0,
        "Driver": "azure",
        "Platform": "linux",
        "Mounts": [],
        "Config": {
            "Hostname": part(machine.body, "properties", "osProfile").get("computerName", machine.name),
            "Image": machine.image_name,
            "Labels": machine.tags,
            "Tty": True,  # a serial console has no second stream
            "OpenStdin": True,
            "Env": None,
            "Cmd": None,
        },
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {"Networks": {"azure": address}, "IPAddress": private, "Ports": {}},
        "Azure": machine.body | {"powerState": machine.power, "publicIPAddress": public, "privateIPAddress": private},
    }


def state(machine: Machine) -> Body:
    """Return a machine's state as Docker describes it."""
    status = machine.status or "created"
    return {
        "Status": status,
        "Running": machine.running,
        "Paused": False,
        "Restarting": status == "restarting",
        "OOMKilled": False,
        "Dead": status == "dead",
        "Pid": 0,
        "ExitCode": 0,
        "Error": "",
        "StartedAt": _rfc3339(machine.started),
        "FinishedAt": _rfc3339(machine.changed) if status == "exited" else NEVER,
    }


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z") if at else NEVER


def info(machines: Iterable[Machine], name: str, status: list[list[str]]) -> Body:
    """Return the description of the service, with its number of machines, and lines about them."""
    return {
        "ID": name,
        "Name": name,
        "ServerVersion": "azure",
        "Driver": "azure",
        "DriverStatus": status,
        "OperatingSystem": "Azure virtual machines",
        "OSType": "linux",
        "Architecture": "x86_64",
        "NCPU": 0,
        "MemTotal": 0,
        "Images": 0,
        **counted(each.status for each in machines),
        "Labels": [f"{TAG}=azure"],
        "Warnings": None,
    }
