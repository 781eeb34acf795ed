"""A virtual machine as an object of the Docker Engine API's, with ARM's own beneath it, under `Azure`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from swarmlib import Request

from ..dockerapi.values import NEVER
from ..enginekit.filters import FILTERS, Filter, chosen, one_of
from ..enginekit.views import counted
from .spec import TAG, Body, part, parts, tags_of

_STATES: Final[Mapping[str, str]] = {
    "starting": "restarting",
    "running": "running",
    "stopping": "running",
    "stopped": "exited",
    "deallocating": "running",
    "deallocated": "exited",
}
"""What Docker calls a power state."""
_PROVISIONING: Final[Mapping[str, str]] = {"Creating": "created", "Deleting": "removing", "Failed": "dead"}
_TEXTS: Final[Mapping[str, str]] = {
    "created": "Created",
    "removing": "Removal In Progress",
    "dead": "Dead",
    "restarting": "Restarting (0) starting",
    "running": "Up",
    "": "Created",
}


@dataclass(frozen=True)
class Machine:
    """A virtual machine: ARM's body, and its power, such as running or deallocated ("" where that isn't known)."""

    body: Body
    power: str

    @classmethod
    def of(cls, body: Body, view: Body | None = None) -> Machine:
        """From a body with its instance view, or with that of another body of the same machine."""
        return cls(body, power_of(part(view or body, "properties", "instanceView")))

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.body["name"])

    @property
    def arm_id(self) -> str:
        """Its id in ARM."""
        return str(self.body["id"])

    @property
    def id(self) -> str:
        """Its id as a workload: 64 hexadecimal digits, as clients expect, others for one made anew."""
        return hashlib.sha256(str(self.body["properties"]["vmId"]).encode()).hexdigest()

    @property
    def labels(self) -> dict[str, str]:
        """Its tags, which are what Docker calls labels."""
        return self.tags

    @property
    def tags(self) -> dict[str, str]:
        """Its tags."""
        return tags_of(self.body)

    @property
    def status(self) -> str:
        """Docker's word for how it is."""
        provisioning = self.body["properties"].get("provisioningState", "")
        return _PROVISIONING.get(provisioning, "") if not self.power else _STATES.get(self.power, "created")

    @property
    def running(self) -> bool:
        """Whether its power is on."""
        return self.status == "running"

    @property
    def image(self) -> str:
        """Its image: a URN, or an image's id."""
        reference = part(self.body, "properties", "storageProfile", "imageReference")
        words = [str(reference[key]) for key in ("publisher", "offer", "sku", "version") if key in reference]
        return ":".join(words) or str(reference.get("id", ""))

    @property
    def size(self) -> str:
        """Its size."""
        return str(part(self.body, "properties", "hardwareProfile").get("vmSize", ""))

    @property
    def created(self) -> float:
        """When it was made, in seconds since the epoch."""
        return seconds(str(self.body["properties"].get("timeCreated") or ""))

    @property
    def interfaces(self) -> list[str]:
        """The ids of its interfaces."""
        profile = part(self.body, "properties", "networkProfile")
        return [str(each["id"]) for each in parts(profile, "networkInterfaces")]


_FILTERS: Final[Mapping[str, Filter[Machine]]] = {
    **FILTERS,
    "ancestor": one_of(lambda each, image: each.image == image),
}


def seconds(text: str) -> float:
    """The time of RFC 3339, which Azure writes with up to seven digits behind the point; 0 for none."""
    if not text:
        return 0.0
    plain = re.sub(r"(\.\d{6})\d+", r"\1", text.replace("Z", "+00:00"))
    return datetime.fromisoformat(plain).timestamp()


def power_of(view: Body) -> str:
    """The power in an instance view."""
    codes = [str(each.get("code", "")) for each in parts(view, "statuses")]
    return next((code.partition("/")[2] for code in codes if code.startswith("PowerState/")), "")


def listed(machines: Iterable[Machine], request: Request) -> list[Body]:
    """Return the summaries that a list asks for, the newest first.

    Raises:
        Invalid, Unsupported: its filters are wrong.
    """
    newest = sorted(machines, key=lambda each: each.created, reverse=True)
    return [summary(each) for each in chosen(newest, request, _FILTERS)]


def summary(machine: Machine) -> Body:
    """A machine in a list."""
    return {
        "Id": machine.id,
        "Names": [f"/{machine.name}"],
        "Image": machine.image,
        "ImageID": machine.image,
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
        return f"Exited (0) {billed}"
    return _TEXTS[machine.status]


def inspect(machine: Machine, public: str, private: str) -> Body:
    """All there is to know of a machine; public, private: its addresses, "" for none."""
    address = {"IPAddress": private, "Gateway": "", "MacAddress": ""}
    return {
        "Id": machine.id,
        "Created": str(machine.body["properties"].get("timeCreated") or NEVER),
        "Path": "",
        "Args": [],
        "State": state(machine),
        "Image": machine.image,
        "Name": f"/{machine.name}",
        "RestartCount": 0,
        "Driver": "azure",
        "Platform": "linux",
        "Mounts": [],
        "Config": {
            "Hostname": part(machine.body, "properties", "osProfile").get("computerName", machine.name),
            "Image": machine.image,
            "Labels": machine.tags,
            "Tty": True,  # its console is a terminal: what it shows has no second stream
            "OpenStdin": True,
            "Env": None,
            "Cmd": None,
        },
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {"Networks": {"azure": address}, "IPAddress": private, "Ports": {}},
        "Azure": machine.body | {"powerState": machine.power, "publicIPAddress": public, "privateIPAddress": private},
    }


def state(machine: Machine) -> Body:
    """How a machine is."""
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
        "StartedAt": str(machine.body["properties"].get("timeCreated") or NEVER),
        "FinishedAt": NEVER,
    }


def info(machines: Iterable[Machine], name: str) -> Body:
    """What the service is, and how much of it there is."""
    return {
        "ID": name,
        "Name": name,
        "ServerVersion": "azure",
        "Driver": "azure",
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
