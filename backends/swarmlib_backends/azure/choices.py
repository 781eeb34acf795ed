"""The choices for a new machine, in the order in which they are tried: its price, its size and its zone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Final

from swarmlib import Invalid

from .choice import Choice
from .images import Image
from .sizes import Size, size_in
from .spec import Spec

_SUGGESTED: Final = 3


def choices(spec: Spec, known: Mapping[str, Size] | None, images: Sequence[Image]) -> list[Choice]:
    """Return the choices that a description leaves: first all spot ones; of each kind, the sizes in their order.

    known: the sizes of the region, or None if they are not known. images: the variants of the image.

    Raises:
        Invalid: none of them is possible; the error says why, and which sizes would do.
    """
    refused: dict[str, str] = {}
    found: list[Choice] = []
    for spot, size, zone in product(_prices(spec), spec.sizes, spec.zones):
        fitting = _fitting(spec, size_in(known, size), images, zone, spot=spot)
        if isinstance(fitting, Image):
            found.append(Choice(size, zone, spot, fitting.reference, fitting.plan))
        else:
            refused[size] = fitting
    if found:
        return found
    listed = "; ".join(f"{size}: {why}" for size, why in refused.items())
    would_do = ", ".join(_suggestions(spec, known or {}, images))
    raise Invalid(f"no size that was given is possible in {spec.location}: {listed}"
                  f"{f'. What to do: use --size {would_do}' if would_do else ''}")  # fmt: skip


def _prices(spec: Spec) -> Sequence[bool]:
    return (True, False) if spec.spot and spec.spot_fallback else (spec.spot,)


def _fitting(spec: Spec, size: Size | None, images: Sequence[Image], zone: str, *, spot: bool) -> Image | str:
    """Return the variant of the image that fits a size, or why the size is not possible."""
    if size is None:
        return "the region has no such size"
    if size.withheld:
        return "this subscription can't have it there; ask for it by a support request"
    if zone and size.zones is not None and zone not in size.zones:
        return f"it is not in zone {zone}"
    if spot and not size.spot:
        return "it can't be a spot machine"
    if spec.security == "confidential" and not size.confidential:
        return "it can't be confidential"
    if spec.security == "trusted" and not size.trusted:
        return "it does not support the security type trusted"
    misfits = [image.misfit(size, spec.security) for image in images]
    return next((image for image, misfit in zip(images, misfits, strict=True) if not misfit), misfits[0])


def _suggestions(spec: Spec, known: Mapping[str, Size], images: Sequence[Image]) -> Iterator[str]:
    """Yield the smallest sizes that would do."""
    wanted = known.get(spec.sizes[0].lower())
    least = (wanted.cpus, wanted.memory) if wanted else (1, 2**30)
    larger = [each for each in known.values() if each.cpus >= least[0] and each.memory >= least[1]]
    current = [each for each in larger if "V2" in each.generations]  # those of the first generation are old
    fit = [
        each.name
        for each in sorted(current, key=lambda size: (size.cpus, size.memory, size.name))
        if any(isinstance(_fitting(spec, each, images, zone, spot=spec.spot), Image) for zone in spec.zones)
    ]
    yield from fit[:_SUGGESTED]
