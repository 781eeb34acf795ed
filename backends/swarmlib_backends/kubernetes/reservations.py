"""The ConfigMaps that reserve the names of containers, as the cluster answers them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swarmlib import BadAnswer

from ..dockerapi.nullable import dict_of


def reserved_name(config_map: Mapping[str, Any]) -> str:
    """Return the name that is reserved. Raises `BadAnswer` if the ConfigMap does not say it."""
    return _text(config_map, "name")


def holder(config_map: Mapping[str, Any]) -> str:
    """Return the id of the container that has the name. Raises `BadAnswer` if the ConfigMap does not say it."""
    return _text(config_map, "id")


def _text(config_map: Mapping[str, Any], key: str) -> str:
    found = dict_of(config_map.get("data")).get(key)
    if not isinstance(found, str):
        raise BadAnswer(f"the ConfigMap {config_map['metadata']['name']} reserves no name: it lacks the field {key}")
    return found
