"""The public names, listed once; `swarmlib` gives them as its own."""

from .chain import Chain, Stages
from .channel import CLEANUP_SECONDS, Below, ContractError, Nowhere, Replies, Reply, Sender, Tap, open_reply
from .client import Client, connect
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
from .handles import Attachment, Handle, Workload
from .message import Json, Message, Path, Verb
from .objects import (
    Event,
    Failed,
    Finished,
    Image,
    Line,
    Network,
    Record,
    State,
    Volume,
    WorkloadDetails,
    WorkloadSummary,
)
from .options import argument, option
from .request import Answer, dispatch, next_reply
from .service import Backend, Filter, Server, Source, refuse
from .watch import Watch

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
    "Event",
    "Failed",
    "Filter",
    "Finished",
    "Handle",
    "Image",
    "Internal",
    "Invalid",
    "Json",
    "Line",
    "Message",
    "Network",
    "NotFound",
    "Nowhere",
    "Path",
    "Record",
    "Replies",
    "Reply",
    "Sender",
    "Server",
    "Source",
    "Stages",
    "State",
    "SwarmError",
    "Tap",
    "TimedOut",
    "TooLarge",
    "Unavailable",
    "Unsupported",
    "Verb",
    "Volume",
    "Watch",
    "Workload",
    "WorkloadDetails",
    "WorkloadSummary",
    "argument",
    "connect",
    "dispatch",
    "next_reply",
    "open_reply",
    "option",
    "refuse",
]
