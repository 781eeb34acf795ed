"""Streams of a real cluster, as they were recorded: the bytes of each direction after the 101."""

import base64
import json
from typing import Any, NamedTuple

from tests.support.paths import ROOT

PATH = ROOT / "tests" / "data" / "kubernetes" / "streams-1.20.2.json"


class Recorded(NamedTuple):
    """A connection: its name, its dialect, and what the client received and sent."""

    name: str
    dialect: str
    received: bytes
    sent: bytes


def recorded() -> list[Recorded]:
    """All connections."""
    found: list[dict[str, Any]] = json.loads(PATH.read_text())
    return [
        Recorded(each["name"], each["dialect"], base64.b64decode(each["received"]), base64.b64decode(each["sent"]))
        for each in found
    ]
