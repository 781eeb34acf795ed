"""swarmlib: services composed of backends that all speak one set of verbs.

async with swarmlib.connect("debug | docker") as swarm:
    print(await swarm.ls())
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from .chain import Chain
from .channel import CLEANUP_SECONDS, Below, ContractError, Nowhere, Replies, Reply, Sender, Tap, open_reply
from .client import Answer, Attachment, Client, Handle, dispatch, next_reply
from .errors import (
    ERRORS,
    UNSENT,
    Ambiguous,
    Conflict,
    Denied,
    Internal,
    Invalid,
    NotFound,
    SwarmError,
    TimedOut,
    TooLarge,
    Unavailable,
    Unsupported,
)
from .grammar import ChainSyntaxError
from .message import Json, Message, Path, Verb
from .options import argument, option
from .service import Backend, Filter, Server, Source, refuse

__all__ = [
    "CLEANUP_SECONDS",
    "ERRORS",
    "UNSENT",
    "Ambiguous",
    "Answer",
    "Attachment",
    "Backend",
    "Below",
    "Chain",
    "ChainSyntaxError",
    "Client",
    "Conflict",
    "ContractError",
    "Denied",
    "Filter",
    "Handle",
    "Internal",
    "Invalid",
    "Json",
    "Message",
    "NotFound",
    "Nowhere",
    "Path",
    "Replies",
    "Reply",
    "Sender",
    "Server",
    "Source",
    "SwarmError",
    "Tap",
    "TimedOut",
    "TooLarge",
    "Unavailable",
    "Unsupported",
    "Verb",
    "argument",
    "connect",
    "dispatch",
    "next_reply",
    "open_reply",
    "option",
    "refuse",
]


@asynccontextmanager
async def connect(chain: str | Chain) -> AsyncGenerator[Client]:
    """Open a chain and give the verbs over it; leaving the context closes every stage.

    Raises:
        ChainSyntaxError: the text isn't a chain; points at the place.
        SwarmError: a stage can't be opened.
    """
    async with Chain.read(chain).open() as sender:
        yield Client(sender)
