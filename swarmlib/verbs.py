"""The verbs: the operations of a service."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Verb(StrEnum):
    """The operation that a request asks for."""

    SPAWN = "spawn"
    ATTACH = "attach"
    START = "start"
    STOP = "stop"
    LS = "ls"
    GET = "get"
    SET = "set"
    RM = "rm"
    WATCH = "watch"
    CONNECT = "connect"
    FILE = "file"


CONVERSATIONS: Final = frozenset({Verb.ATTACH, Verb.WATCH})
"""The verbs whose replies continue after the `ack`, until the end or an `error`, which says that they broke off."""
