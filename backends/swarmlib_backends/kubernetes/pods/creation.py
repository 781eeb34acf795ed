"""New containers: what a creation asks for, checked as a whole before anything is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...balance.placement import request
from ...dockerapi.nullable import dict_of, list_of
from ...enginekit.networks import PREDEFINED
from . import names
from .connections import bridge_links, is_label, wanted_connections
from .fields import refused
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
    body = _without_idle_links(body)
    _, cleaned = request.read(name, body)
    networks = wanted_connections(body, network_name)
    keep = options.keep and not dict_of(body.get("HostConfig")).get("AutoRemove")
    ruled = cleaned is not None
    record = Record(names.new_id(), name, now, cleaned or dict(body), image, ruled=ruled, networks=networks, keep=keep)
    bindings(record, options.ports)
    _check_links(record, options)
    pod(record, options, run=1, gate=bool(bridge_links(record)))
    record.config_map()
    return record


def _check_links(record: Record, options: PodOptions) -> None:
    """Raise `Unsupported` for links of the default bridge that a Pod can't have."""
    asked = bridge_links(record)
    for _, alias in asked:
        if not is_label(alias):
            raise refused((f"the link {alias!r:.80}", "a name has letters, digits and '-' in a cluster, at most 63"))
    if asked and options.tools == "never":
        raise refused(
            ("HostConfig.Links", "swarmlib's tools give a container its variables, which --tools never forbids")
        )
    first = next(iter((*list_of(record.config.get("Entrypoint")), *list_of(record.config.get("Cmd")))), "")
    if asked and "=" in first:
        raise refused((f"the command {first!r:.80} with links", "their variables are set before it; rename it"))


def _without_idle_links(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the body of a creation without links if they say nothing: those of a host, in a network that was made.

    Source: moby's daemon/daemon_unix.go, `registerLinks`; Compose sends such links.
    """
    host = dict_of(body.get("HostConfig"))
    mode = str(host.get("NetworkMode") or "default")
    if not host.get("Links") or mode == "default" or mode in PREDEFINED:
        return body
    return {**body, "HostConfig": {**host, "Links": None}}
