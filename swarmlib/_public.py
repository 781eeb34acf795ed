"""The public names, listed once; `swarmlib` exports them as its own."""

from .asking import Answer, ask, dispatch, next_reply
from .bytes_stream import BytesStream
from .chain import Chain, Stages
from .client.client import Client, connect
from .client.handles import Attachment, Handle, Workload
from .client.objects import (
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
from .client.watch import Watch
from .errors import (
    ERRORS,
    UNSENT,
    Ambiguous,
    BadAnswer,
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
from .names import Path
from .operation import Meta, Operation
from .options import argument, option
from .refusing import refuse
from .reply import Ack, Error, Log, Reply, Set
from .reply_channel import CLEANUP_SECONDS, ContractError, ReplySender, Tap, discard
from .reply_pair import ReplyReceiver, open_reply
from .request import Handler, Request, Sender
from .service import Backend, Filter, Server, Source, Unhandled
from .trace_context import TraceContext
from .values import Json
from .verbs import Verb

__all__ = [
    "CLEANUP_SECONDS",
    "ERRORS",
    "UNSENT",
    "Ack",
    "Ambiguous",
    "Answer",
    "Attachment",
    "Backend",
    "BadAnswer",
    "BytesStream",
    "Chain",
    "ChainSyntaxError",
    "Client",
    "Conflict",
    "ContractError",
    "Denied",
    "Error",
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
    "Log",
    "Meta",
    "Network",
    "NotFound",
    "Operation",
    "Path",
    "Record",
    "Reply",
    "ReplyReceiver",
    "ReplySender",
    "Request",
    "Sender",
    "Server",
    "Set",
    "Source",
    "Stages",
    "State",
    "SwarmError",
    "Tap",
    "TimedOut",
    "TooLarge",
    "TraceContext",
    "Unavailable",
    "Unhandled",
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
    "discard",
    "dispatch",
    "next_reply",
    "open_reply",
    "option",
    "refuse",
]
