"""New containers: what a creation asks for, checked as a whole before anything is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...balance.placement import request
from ...dockerapi.nullable import dict_of
from . import names
from .connections import wanted_connections
from .options import PodOptions
from .pod import pod
from .publishing import bindings
from .record import Image, Record


def new(
    name: str,
    body: Mapping[str, Any],
    image: Image | None,
    options: PodOptions,
    now: float,
    network_name: Callable[[str], str] = str,
) -> Record:
    """Return the record of a new container.

    Rules for its placement move from its environment to its labels, as `balance` has them. Rules that are in its labels
    already were followed by a `balance` in front.

    name: its Docker name without a slash, a valid one. body: of its creation, in canonical form. image: None if
    nothing is known of it. now: seconds since the epoch. network_name: returns the name of the network that an id or a
    name refers to.

    Raises:
        Unsupported: a Pod can't have what is asked for; the error names it. SwarmError: a value is wrong.
        TooLarge: it is more than the cluster's objects can hold.
    """
    _, cleaned = request.read(name, body)
    networks = wanted_connections(body, network_name)
    keep = options.keep and not dict_of(body.get("HostConfig")).get("AutoRemove")
    ruled = cleaned is not None
    record = Record(names.new_id(), name, now, cleaned or dict(body), image, ruled=ruled, networks=networks, keep=keep)
    bindings(record)
    pod(record, options, run=1)
    record.config_map()
    return record
