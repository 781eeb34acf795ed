"""Who answers behind a stage: the phrase that `Backend.greet` returns about an engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from swarmlib import BadAnswer, Request, Sender, Verb
from swarmlib.asking import call

_FIELDS: Final = ("Version", "ApiVersion", "Os", "Arch")


async def introduction(sender: Sender, name: str) -> str:
    """Ask an engine for its version, and return a phrase about it.

    name: what errors call it.

    Raises:
        BadAnswer: it does not describe itself as the Engine API says.
        SwarmError: it does not answer, or with an error.
    """
    told: object = (await call(sender, Request(Verb.GET, ("version",)))).value
    fields: Mapping[str, object] = cast("Mapping[str, object]", told) if isinstance(told, dict) else {}
    found = [fields.get(field) for field in _FIELDS]
    if not all(isinstance(each, str) for each in found):
        raise BadAnswer(f"{name}: its version must be an object with the texts {', '.join(_FIELDS)}")
    version, api, system, processor = found
    return f"Docker {version}, API {api}, {system}/{processor}"
