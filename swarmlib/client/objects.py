"""The Engine API's objects as a Python program reads them.

Each is the JSON object that the service returned: a dict with all of the Engine API's own keys, which json can dump,
and attributes for what programs need most. They are not dataclasses: those would convert fields that nobody reads (a
list of 100 workloads would cost ten times as much), and lose what a newer engine adds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Generic, Self, TypeVar, cast, overload

from ..errors import Internal, SwarmError

T = TypeVar("T")

_NEVER: Final = "0001-01-01T00:00:00Z"
_NOTHING: Final[Mapping[str, Any]] = {}


class Field(Generic[T]):
    """An attribute of a record: a value of its JSON, found by its keys, and read as a Python program wants it."""

    def __init__(self, read: Callable[[Any], T], *keys: str) -> None:
        self._read = read
        *self._objects, self._key = keys

    @overload
    def __get__(self, record: None, owner: type) -> Self: ...
    @overload
    def __get__(self, record: Record, owner: type) -> T: ...
    def __get__(self, record: Record | None, owner: type) -> Self | T:
        if record is None:
            return self
        found: Mapping[str, Any] = record
        for key in self._objects:
            found = found.get(key) or _NOTHING
        return self._read(found.get(self._key))


def _text(value: Any) -> str:
    return str(value or "")


def _name(value: Any) -> str:
    return str(value or "").removeprefix("/")


def _number(value: Any) -> int:
    return int(value or 0)


def _labels(value: Any) -> dict[str, str]:
    return value or {}


def _at(seconds: Any) -> datetime:
    return datetime.fromtimestamp(seconds or 0, UTC)


def _time(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if text and text != _NEVER else None


class Record(dict[str, Any]):
    """A JSON object: `record["Names"]` is a field. What is inside its fields is shared, so do not change it."""

    __slots__ = ()

    @classmethod
    def read(cls, value: Any) -> Self:
        """Make the record of a decoded JSON value.

        Raises:
            Internal: the value is not a JSON object.
        """
        if not isinstance(value, dict):
            raise Internal(f"invalid answer {value!r:.80}: expected an object")
        return cls(cast("dict[str, Any]", value))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({super().__repr__()})"

    id = Field(_text, "Id")
    """Its id; "" where it has none."""

    @property
    def node(self) -> str:
        """The engine that has it, as `balance` and `aggregate` report it; "" where there is only one."""
        said = self.get("Node") or ""  # a name in lists, an object in inspections
        return str((cast("dict[str, Any]", said).get("Name") or "") if isinstance(said, dict) else said)


class WorkloadSummary(Record):
    """A workload in a list. Source: the Engine API's ContainerSummary."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """Its name, without the slash."""
        return next(iter(self.names), "")

    @property
    def names(self) -> list[str]:
        """Its name and its aliases from links (`other/alias`), without the leading slash."""
        names: list[str] = self.get("Names") or []
        return sorted((name.removeprefix("/") for name in names), key=lambda name: name.count("/"))

    image = Field(_text, "Image")
    """The image, as it was named when the workload was made."""
    state = Field(_text, "State")
    """`created`, `running`, `paused`, `restarting`, `exited`, …"""
    status = Field(_text, "Status")
    """The state for people, such as `Up 3 minutes`."""
    labels = Field(_labels, "Labels")
    """Its labels."""
    created = Field(_at, "Created")
    """When it was made."""


class WorkloadDetails(Record):
    """All that an engine reports about a workload. Source: the Engine API's ContainerInspect."""

    __slots__ = ()

    name = Field(_name, "Name")
    """Its name, without the slash."""
    image = Field(_text, "Config", "Image")
    """The image, as it was named when the workload was made."""
    labels = Field(_labels, "Config", "Labels")
    """Its labels."""
    tty = Field(bool, "Config", "Tty")
    """Whether it has a terminal; then its output is one stream, stdout."""
    created = Field(_time, "Created")
    """When it was made; None where that isn't known."""
    state = Field(lambda value: State(value or {}), "State")
    """Its state."""


class State(Record):
    """The state of a workload. Source: the Engine API's ContainerState."""

    __slots__ = ()

    status = Field(_text, "Status")
    """`created`, `running`, `paused`, `restarting`, `exited`, …"""
    running = Field(bool, "Running")
    """Whether it runs; a paused one counts as running."""
    exit_code = Field(_number, "ExitCode")
    """The exit code of its last run; 0 if it hasn't ended yet."""
    error = Field(_text, "Error")
    """Why it could not be started; "" if it could."""
    started = Field(_time, "StartedAt")
    """When it was last started; None if it never was."""
    finished = Field(_time, "FinishedAt")
    """When it last ended; None if it never has."""


class Event(Record):
    """Something that happened. Source: the Engine API's EventMessage."""

    __slots__ = ()

    type = Field(_text, "Type")
    """The kind of object: `container`, `image`, `network`, …"""
    action = Field(_text, "Action")
    """What happened: `create`, `start`, `die`, …"""
    id = Field(_text, "Actor", "ID")
    """The object's id."""
    attributes = Field(_labels, "Actor", "Attributes")
    """What the event says about the object: its name, image, labels, and the `exitCode` of one that died."""

    @property
    def name(self) -> str:
        """The object's name; "" where it has none."""
        return self.attributes.get("name", "")

    @property
    def time(self) -> datetime:
        """When it happened, by the service's clock."""
        return _at((self.get("timeNano") or 0) / 1e9 or self.get("time"))


class Image(Record):
    """An image in a list. Source: the Engine API's ImageSummary."""

    __slots__ = ()

    @property
    def tags(self) -> list[str]:
        """Its names, such as `busybox:latest`."""
        tags: list[str] = self.get("RepoTags") or []
        return [tag for tag in tags if tag != "<none>:<none>"]

    size = Field(_number, "Size")
    """Bytes on disk."""
    labels = Field(_labels, "Labels")
    """Its labels."""
    created = Field(_at, "Created")
    """When it was built."""


class _Named(Record):
    """What a network and a volume have in common."""

    __slots__ = ()

    name = Field(_text, "Name")
    """Its name."""
    driver = Field(_text, "Driver")
    """The driver that provides it, such as `bridge` or `local`."""
    scope = Field(_text, "Scope")
    """How far it reaches: `local`, or `swarm`."""
    labels = Field(_labels, "Labels")
    """Its labels."""


class Network(_Named):
    """A network. Source: the Engine API's Network."""

    __slots__ = ()


class Volume(_Named):
    """A volume; it has a name, and no id. Source: the Engine API's Volume."""

    __slots__ = ()

    mountpoint = Field(_text, "Mountpoint")
    """Where it is on its engine's machine."""


LISTED: Final[Mapping[tuple[str, ...], type[Record]]] = {
    ("containers",): WorkloadSummary,
    ("images",): Image,
    ("networks",): Network,
    ("volumes",): Volume,
}
"""The records that a list at a path holds; other lists hold plain JSON."""


def listed(path: tuple[str, ...], value: Any) -> list[Any]:
    """Return the entries of the answer to an `ls`.

    Raises:
        Internal: it is not a list, or an entry that should be an object is not one.
    """
    if path == ("volumes",) and isinstance(value, dict):  # the one list that the Engine API wraps
        value = cast("dict[str, Any]", value).get("Volumes")
    if not isinstance(value, list | None):
        raise Internal(f"invalid answer {value!r:.80}: expected a list")
    entries = cast("list[Any]", value or [])
    kind = LISTED.get(path)
    return entries if kind is None else [kind.read(entry) for entry in entries]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a workload's output, without its end; `stream` is `stdout` or `stderr`."""

    stream: str
    data: bytes

    @property
    def text(self) -> str:
        """The line decoded as UTF-8; bytes that are not valid UTF-8 show as U+FFFD."""
        return self.data.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Finished:
    """The exit code of a program, and all that it wrote."""

    stdout: bytes
    stderr: bytes
    exit_code: int

    @property
    def text(self) -> str:
        """What it wrote to stdout, decoded as UTF-8; bytes that are not valid UTF-8 show as U+FFFD."""
        return self.stdout.decode("utf-8", "replace")

    def check(self) -> Finished:
        """Return this result if the program succeeded.

        Raises:
            Failed: the program ended with an exit code other than 0.
        """
        if self.exit_code:
            raise Failed(self)
        return self


class Failed(SwarmError):
    """A program that had to succeed ended with an exit code other than 0; `finished` has its result."""

    code: ClassVar[str] = Internal.code  # on the wire; to a program of another process it is a failure like any other

    def __init__(self, finished: Finished) -> None:
        last = finished.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        super().__init__(f"exit code {finished.exit_code}{': ' if last else ''}{last}")
        self.finished = finished
