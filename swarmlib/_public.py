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
from .message import CALLER, Json, Message, Path, Verb
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
from .request import Answer, ask, dispatch, next_reply
from .service import Backend, Filter, Handler, Server, Source, refuse
from .streams import BytesStream
from .watch import Watch

__all__ = [
    "CALLER",
    "CLEANUP_SECONDS",
    "ERRORS",
    "UNSENT",
    "Ambiguous",
    "Answer",
    "Attachment",
    "Backend",
    "Below",
    "BytesStream",
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
    "Handler",
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
    "ask",
    "connect",
    "dispatch",
    "next_reply",
    "open_reply",
    "option",
    "refuse",
]
