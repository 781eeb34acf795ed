"""What a backend that plays a Docker engine needs: all of it for one whose containers are its own, parts for others.

A `ContainerServer` answers the operations of containers, events and the system; its author writes a `Container` that
runs, and says which fields of a creation it honours (`Accepted`). An `EngineServer` answers whatever operations it is
given: methods that are marked with the rows that they are for (`answers`). The rest are the parts of both, which can be
used without them.
"""

from .bodies import ATTACHED, HARMLESS, HONOURED, USUAL, Accepted, anything, only
from .clock import Clock
from .container import Container
from .containers import ContainerOperations
from .events import Events
from .execs import ExecOperations, PlayedExec, StreamedExecOperations
from .filters import FILTERS, Filter, chosen, one_of
from .finishing import Finisher
from .lifecycle import Lifecycle, Runner
from .operations import Operations, answers, operations_of
from .output import Output, Piece
from .played import Played
from .server import ContainerServer, EngineServer
from .stdio import Stdio, send_lines, send_logs, stdio
from .store import ContainerStore
from .streams import StreamedContainerOperations
from .views import pong

__all__ = [
    "ATTACHED",
    "FILTERS",
    "HARMLESS",
    "HONOURED",
    "USUAL",
    "Accepted",
    "Clock",
    "Container",
    "ContainerOperations",
    "ContainerServer",
    "ContainerStore",
    "EngineServer",
    "Events",
    "ExecOperations",
    "Filter",
    "Finisher",
    "Lifecycle",
    "Operations",
    "Output",
    "Piece",
    "Played",
    "PlayedExec",
    "Runner",
    "Stdio",
    "StreamedContainerOperations",
    "StreamedExecOperations",
    "answers",
    "anything",
    "chosen",
    "one_of",
    "only",
    "operations_of",
    "pong",
    "send_lines",
    "send_logs",
    "stdio",
]
