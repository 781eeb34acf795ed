"""The names of the objects that stand for Docker's, and the labels and annotations by which they are found again.

A container is a ConfigMap `c-<id>` (its record), a ConfigMap `n-<hash>` that reserves its Docker name, and a Pod.
Docker allows names that Kubernetes doesn't (`My_App.1`): what is looked up by its name is named by the name's hash.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

import orjson

from swarmlib import TooLarge

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
OWNER: Final = "swarmlib"
PREFIX: Final = f"{OWNER}/"
"""The beginning of all labels and annotations that only swarmlib sets."""
KIND: Final = f"{PREFIX}kind"
CONTAINER: Final = f"{PREFIX}container"
"""The label of all that belongs to a container; its value is the beginning of the container's id (`short`)."""
NAME: Final = f"{PREFIX}name"
LABELS: Final = f"{PREFIX}labels"
"""The annotation that holds all of Docker's labels, as a JSON object."""
RUN: Final = f"{PREFIX}run"
"""The annotation of a Pod that tells which run of its container it is."""
MAIN: Final = "main"
"""The name of the container in a Pod that is Docker's."""
STDERR: Final = "swarm-stderr"
"""The name of the container beside it that writes what it writes to stderr (`--logs capture`)."""

_SHORT: Final = 32
"""How many digits of an id are in names and labels: 64 don't fit into a label's 63 characters."""
_IN_POD_NAME: Final = 12
_IN_DOMAIN: Final = 20
_LONGEST: Final = 63
"""The most characters of a label's value and of a part of a domain name."""
_LONGEST_PREFIX: Final = 253
_MOST_LABELS: Final = 224 * 1024
"""The most bytes of labels in an annotation: Kubernetes allows 256 KiB of annotations, and some are others'."""
_NAME_PART: Final = re.compile(r"[a-zA-Z0-9](?:[\w.-]{0,61}[a-zA-Z0-9])?", re.ASCII)
_PREFIX_PART: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")


def new_id() -> str:
    """Return the id of a new container: 64 hexadecimal digits."""
    return secrets.token_hex(32)


def short(id: str) -> str:
    """Return the beginning of a container's id that is in labels, and in the name of its record."""
    return id[:_SHORT]


def record_name(id: str) -> str:
    """Return the name of the ConfigMap that is a container's record."""
    return f"c-{short(id)}"


def reservation_name(name: str) -> str:
    """Return the name of the ConfigMap that reserves a container's Docker name: two of one name can't be created."""
    return f"n-{hashed(name)}"


def pod_name(name: str, id: str) -> str:
    """Return the name of a container's Pod: its Docker name, as far as Kubernetes allows it, and the id's beginning.

    >>> pod_name("My_App.1", "0123456789abcdef")
    'my-app-1-0123456789ab'
    """
    fitting = re.sub("[^a-z0-9]+", "-", name.lower())[: _LONGEST - _IN_POD_NAME - 1].strip("-")
    return f"{fitting}-{id[:_IN_POD_NAME]}" if fitting else id[:_IN_POD_NAME]


def network_name(name: str) -> str:
    """Return the name of the Service that is a network, and of its EndpointSlice.

    It is part of a search domain, of which several must fit into the 256 characters that C libraries read.
    """
    return f"n-{hashed(name)[:_IN_DOMAIN]}"


def links_name(id: str) -> str:
    """Return the name of the Service whose domain has the names that a container's links give, for this one alone."""
    return f"l-{id[:_IN_DOMAIN]}"


def ports_name(id: str) -> str:
    """Return the name of the Service that publishes a container's ports at the nodes."""
    return f"p-{short(id)}"


def image_name(name: str) -> str:
    """Return the name of the ConfigMap that says where an image with a name of its own is."""
    return f"i-{hashed(name)}"


def volume_name(name: str) -> str:
    """Return the name of the PersistentVolumeClaim that is a named volume."""
    return f"v-{hashed(name)}"


def volume_label(name: str) -> str:
    """Return the label of the Pods that mount a named volume."""
    return f"{PREFIX}volume-{hashed(name)}"


def hashed(name: str) -> str:
    """Return what stands for a name in the names of objects, and in labels: 32 hexadecimal digits."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_SHORT]


def own_labels(kind: str, id: str = "") -> dict[str, str]:
    """Return the labels of an object of swarmlib's.

    kind: what it stands for, such as `container`. id: of the container that it belongs to, if it belongs to one.
    """
    return {MANAGED_BY: OWNER, KIND: kind} | ({CONTAINER: short(id)} if id else {})


def selector(labels: Mapping[str, str]) -> str:
    """Return the label selector that finds the objects with these labels."""
    return ",".join(f"{name}={value}" for name, value in labels.items())


def fitting_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return those of Docker's labels that Kubernetes can have as labels, and that are not swarmlib's own."""
    return {name: value for name, value in labels.items() if _is_key(name) and _is_value(value)}


def _is_key(name: str) -> bool:
    prefix, slash, last = name.rpartition("/")
    if name == MANAGED_BY or name.startswith(PREFIX) or not _NAME_PART.fullmatch(last):
        return False
    return not slash or (len(prefix) <= _LONGEST_PREFIX and _PREFIX_PART.fullmatch(prefix) is not None)


def _is_value(value: str) -> bool:
    return not value or _NAME_PART.fullmatch(value) is not None


def labels_annotation(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the annotation that holds all of Docker's labels; none for no labels.

    Raises:
        TooLarge: they are more than annotations may hold.
    """
    if not labels:
        return {}
    text = orjson.dumps(labels)
    if len(text) > _MOST_LABELS:
        raise TooLarge(f"the labels have {len(text)} bytes: the maximum is {_MOST_LABELS} in a cluster")
    return {LABELS: text.decode()}


def owner_reference(name: str, uid: str) -> dict[str, Any]:
    """Return the reference by which an object is removed together with the ConfigMap that is a container's record."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid}
