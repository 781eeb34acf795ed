"""New containers: what a creation asks for, checked as a whole before anything is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...balance.placement import request
from . import names
from .options import PodOptions
from .pod import pod
from .record import Image, Record


def new(name: str, body: Mapping[str, Any], image: Image | None, options: PodOptions, now: float) -> Record:
    """Return the record of a new container.

    Rules for its placement move from its environment to its labels, as `balance` has them. Rules that are in its labels
    already were followed by a `balance` in front.

    name: its Docker name without a slash, a valid one. body: of its creation, in canonical form. image: None if
    nothing is known of it. now: seconds since the epoch.

    Raises:
        Unsupported: a Pod can't have what is asked for; the error names it. SwarmError: a value is wrong.
        TooLarge: it is more than the cluster's objects can hold.
    """
    _, cleaned = request.read(name, body)
    record = Record(names.new_id(), name, now, cleaned or dict(body), image, ruled=cleaned is not None)
    pod(record, options, run=1)
    record.config_map()
    return record
