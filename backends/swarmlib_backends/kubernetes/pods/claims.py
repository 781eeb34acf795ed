"""The claims of named volumes: how large they are, which storage class makes them, and who may mount them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from swarmlib import Invalid, Unsupported
from swarmlib.quantities import number_of_bytes

from ...dockerapi.nullable import dict_of
from ...enginekit.mounts import Mount

AccessMode: TypeAlias = Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"]

SIZE: Final = "size"
CLASS: Final = "storage-class"


@dataclass(frozen=True)
class Claim:
    """What is claimed of a storage class. size: in bytes. storage_class: "" for the cluster's default."""

    size: int = 2**30
    storage_class: str = ""
    access_mode: AccessMode = "ReadWriteOnce"

    def spec(self) -> dict[str, Any]:
        """Return the specification of a PersistentVolumeClaim."""
        named = {"storageClassName": self.storage_class} if self.storage_class else {}
        return {
            "accessModes": [self.access_mode],
            "resources": {"requests": {"storage": str(self.size)}},
            **named,
        }


def claim(name: str, options: Mapping[str, str], default: Claim) -> Claim:
    """Return the claim of a volume.

    name: the volume's. options: those of its driver, such as `size=5g`. default: what they leave open.

    Raises:
        Unsupported: there is no such option in a cluster. Invalid: the size is not one.
    """
    if strange := sorted(options.keys() - {SIZE, CLASS}):
        why = f"a volume of a cluster has the options {SIZE} and {CLASS}"
        raise Unsupported(f"create {name}: the option {strange[0]!r:.40} is not supported: {why}")
    return Claim(
        _size(name, options[SIZE]) if SIZE in options else default.size,
        options.get(CLASS) or default.storage_class,
        default.access_mode,
    )


def _size(name: str, text: str) -> int:
    try:
        size = number_of_bytes(text)
    except ValueError as exc:
        raise Invalid(f"create {name}: invalid size {text!r:.40}: {exc}") from exc
    if size < 1:
        raise Invalid(f"create {name}: the size must be 1 byte or more, not {text!r:.40}")
    return size


def options_of(mount: Mount) -> dict[str, str]:
    """Return the options that a mount gives the driver of its volume."""
    return dict_of(dict_of(dict_of(mount.given.get("VolumeOptions")).get("DriverConfig")).get("Options"))
