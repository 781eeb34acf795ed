"""What a mount demands, of a container or of a service's tasks: folders of the host, volumes, and their drivers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from . import names
from .demands import FIELDS, Demand, Reader, keys, nothing, other, struct, text

_HARMLESS_BIND_OPTIONS: Final = frozenset(
    {"", "ro", "rw", "nocopy", "private", "rprivate", "consistent", "cached", "delegated"}
)
VOLUME_DRIVER: Final = text("volume_drivers", "local")
_OPTION_NAMES: Final = keys("volume_options")
_ELSEWHERE: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "tmpfs", "overlay"})
"""The types of file systems whose device is no path of the host."""


def options(place: str, value: Any) -> Iterator[Demand]:
    """Read the options of a volume's driver: those of `local` can make any folder of the host a volume."""
    yield from _OPTION_NAMES(place, value)
    for path in host_paths(value):
        yield Demand("binds", path, place)


def host_paths(options: Mapping[str, str]) -> Iterator[str]:
    """Yield the paths of the host that a volume of the driver `local` mounts with these options."""
    flags = options.get("o", "").split(",")
    if options.get("device") and (options.get("type") not in _ELSEWHERE or not {"bind", "rbind"}.isdisjoint(flags)):
        yield options["device"]
    for name, _, value in (flag.partition("=") for flag in flags):
        if "dir" in name:  # lowerdir, upperdir, workdir and their like
            yield from value.split(":")


def bind(place: str, value: Any) -> Iterator[Demand]:
    """Read an entry of `Binds`: a folder of the host or a volume, and options."""
    source, _, rest = value.partition(":")
    yield Demand("binds" if source.startswith("/") else "volumes", source, place)
    for option in rest.partition(":")[2].split(","):
        if option not in _HARMLESS_BIND_OPTIONS:
            yield Demand("bind_options", option, place)


def mount(place: str, value: Any) -> Iterator[Demand]:
    """Read an entry of `Mounts`, by its type."""
    yield from _TYPES.get(value.get("Type", ""), _unknown)(place, value)


def _unknown(place: str, value: Any) -> Iterator[Demand]:
    yield Demand(FIELDS, place.partition("[")[0], place)


_HEAD: Final[Mapping[str, Reader]] = dict.fromkeys(("Type", "Target", "ReadOnly", "Consistency"), nothing)
_BIND: Final[Mapping[str, Reader]] = {
    **_HEAD,
    "Source": text("binds"),
    "BindOptions": struct(
        {
            "Propagation": text("bind_options", "private", "rprivate"),
            **dict.fromkeys(("NonRecursive", "ReadOnlyNonRecursive", "ReadOnlyForceRecursive"), nothing),
            "CreateMountpoint": other,
        }
    ),
}
_VOLUME: Final[Mapping[str, Reader]] = {
    **_HEAD,
    "Source": text("volumes"),
    "VolumeOptions": struct(
        {
            **dict.fromkeys(("NoCopy", "Subpath"), nothing),
            "Labels": keys("volume_labels"),  # with another's label, it would be another's volume
            "DriverConfig": struct({"Name": VOLUME_DRIVER, "Options": options}),
        }
    ),
}
_TMPFS: Final[Mapping[str, Reader]] = {
    **_HEAD,
    "Source": other,
    "TmpfsOptions": struct({"SizeBytes": nothing, "Mode": nothing, "Options": other}),
}
_IMAGE: Final[Mapping[str, Reader]] = {
    **_HEAD,
    "Source": names.image,
    "ImageOptions": struct({"Subpath": nothing}),
}
_TYPES: Final[Mapping[str, Reader]] = {
    "bind": struct(_BIND),
    "volume": struct(_VOLUME),
    "tmpfs": struct(_TMPFS),
    "image": struct(_IMAGE),
}
