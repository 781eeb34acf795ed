"""Secrets never reach a log or a file (design, section 11): what is taken for one, and what stands in its place."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, cast

from swarmlib import Invalid, Json, SwarmError

HIDDEN: Final = "***"
_SECRET: Final = re.compile("auth|token|password|secret|key|credential", re.IGNORECASE)


def redacted(value: Any, *, secret: bool = False) -> Any:
    """JSON-able data with every secret replaced: the text below a telling key, or of NAME=value, at any depth.

    The shape stays, so that whoever decodes it finds the types that they expect. What JSON has no word for is named.

    secret: all text and all numbers in it are.
    """
    if isinstance(value, Mapping):
        fields = cast("Mapping[Any, Any]", value)
        return {str(k): redacted(v, secret=secret or _SECRET.search(str(k)) is not None) for k, v in fields.items()}
    if isinstance(value, list | tuple):
        return [redacted(item, secret=secret) for item in cast("list[Any]", value)]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _redacted_text(value, secret)
    if isinstance(value, int | float):
        return 0 if secret else value
    return f"<{type(value).__name__}>"


def _redacted_text(text: str, secret: bool) -> str:
    if secret:
        return HIDDEN if text else text
    if text[:1] in ("{", "["):  # the Engine API's queries hold JSON in text (build arguments, filters)
        try:
            return json.dumps(redacted(json.loads(text)))
        except ValueError:
            pass
    name, equals, _ = text.partition("=")
    return f"{name}={HIDDEN}" if equals and _SECRET.search(name) else text


def without_secrets(value: Json | bytes | SwarmError | None) -> Json | bytes | SwarmError | None:
    """A message's value as it may be kept: its own bytes, where there is nothing to hide. What is no JSON (an engine's
    plain OK) is hidden whole where it has a telling name in it.
    """
    if not isinstance(value, Json):
        return value
    try:
        data = value.data
    except Invalid:
        return Json.of(HIDDEN) if _SECRET.search(value.raw.decode("utf-8", "replace")) else value
    shown = redacted(data)
    return value if shown == data else Json.of(shown)
