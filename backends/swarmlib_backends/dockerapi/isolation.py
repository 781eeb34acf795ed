"""Isolation: how a workload is separated from its machine and its neighbours, in one vocabulary for every backend.

    --label swarmlib.isolation=NAME     a demand: a backend that can't isolate so refuses, and says what it has
    --runtime NAME, --isolation NAME    the Engine API's own words (HostConfig.Runtime, .Isolation), passed as they are

NAME is one that the backend has: a runtime of an engine (runc, runsc, kata), process or hyperv on a Windows engine,
bubblewrap in `exec`, trusted or confidential for a machine on Azure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from swarmlib import Invalid, Unsupported

from .nullable import dict_of

LABEL: Final = "swarmlib.isolation"
_WINDOWS: Final = ("process", "hyperv")
_WORDS: Final = ("Runtime", "Isolation")


def demanded(body: Mapping[str, Any]) -> str:
    """Return the isolation that the label in the body of a create demands; "" without the label.

    Raises:
        Invalid: the label's value is empty, or not text; or the labels are not an object.
    """
    labels = _object(body, "Labels")
    name = labels.get(LABEL)
    if LABEL in labels and not (isinstance(name, str) and name):
        raise Invalid(f"invalid label {LABEL}={name!r}: expected the name of an isolation")
    return name or ""


def named(body: Mapping[str, Any]) -> str:
    """Return the runtime or isolation in the HostConfig of a create; "" if there is none, or the default.

    Raises:
        Invalid: the HostConfig is not an object.
    """
    host = _object(body, "HostConfig")
    found = next((str(host[name]) for name in _WORDS if host.get(name)), "")
    return "" if found == "default" else found


def offered(about: Mapping[str, Any]) -> list[str]:
    """Return the isolations that an engine offers, according to its `info`."""
    return [*_WINDOWS] if about.get("OSType") == "windows" else sorted(dict_of(about.get("Runtimes")))


def lacking(name: str, have: list[str]) -> str:
    """Return the message about an isolation that a backend lacks."""
    return f"it has no isolation {name}, only {', '.join(have) or 'none at all'}"


def translated(body: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a create, with the label's demand expressed by the Engine API's own fields.

    about: the engine's `info`.

    Raises:
        Invalid: the HostConfig names another isolation than the label demands.
        Unsupported: the engine lacks the demanded isolation.
    """
    name = demanded(body)
    agree(name, named(body))
    if name not in (have := offered(about)):
        raise Unsupported(f"this engine can't isolate the container: {lacking(name, have)}")
    word = "Isolation" if about.get("OSType") == "windows" else "Runtime"
    return {**body, "HostConfig": {**_object(body, "HostConfig"), word: name}}


def agree(demand: str, name: str) -> None:
    """Raise Invalid if the label and another field both name an isolation, and these differ."""
    if demand and name and demand != name:
        raise Invalid(f"the label {LABEL} demands {demand}, but {name} is asked for besides: leave one out")


def _object(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    value: Any = body.get(name) or {}
    if not isinstance(value, dict):
        raise Invalid(f"{name} must be a JSON object, not {value!r}")
    return cast("dict[str, Any]", value)
