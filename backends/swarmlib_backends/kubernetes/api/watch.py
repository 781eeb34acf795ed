"""A watch: everything that there is of a resource, and then every change; nothing is polled, and nothing is missed.

    async with watch(api, PODS, "ci", "app.kubernetes.io/managed-by=swarmlib") as changes:
        async for change in changes: ...

The cluster tells changes from a version on. A connection that breaks is resumed from the last version that was told;
bookmarks keep that version young. If the cluster has forgotten it all the same (410), everything is listed again, and
the differences are reported, so that a reader sees an unbroken row of changes.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

import orjson
import trio

from swarmlib import BadAnswer, SwarmError, TimedOut, TooLarge, Unavailable

from .client import Api
from .errors import error_of_status, is_expired
from .lines import Lines
from .lists import MAX_OBJECT, MAX_OBJECTS, listed, mapping
from .resources import Resource
from .shapes import Metadata, Object, at_version, check
from .sparing import Sparing

MAX_LINE: Final = MAX_OBJECT
"""The most bytes of an event."""
MAX_IDLE: Final = 1000
"""The most events in a row that tell nothing new. A cluster sends a bookmark a minute."""
WATCH_SECONDS: Final = 240
"""How long the cluster is asked to tell changes, before the watch is resumed over a new request."""
_GRACE_SECONDS: Final = 30.0
"""How much later than that a connection counts as broken: its other side is gone without a goodbye."""
_SHORT_SECONDS: Final = 1.0
"""A request that ends sooner counts as a failure, or else requests could follow each other in a tight loop. One that
fails later has done some good: the pauses begin anew."""
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 30.0
_log = logging.getLogger(__name__)


class Kind(Enum):
    """What a change is."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    SYNCED = "SYNCED"
    """Everything that there was at the beginning has been reported; this comes once, without an object."""


Told: TypeAlias = dict[tuple[str, str, str], Object]
"""What a watch has told, by `Metadata.key`."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of an object. One that was deleted is told as it was known last."""

    kind: Kind
    object: Object


@asynccontextmanager
async def watch(
    api: Api,
    resource: Resource,
    namespace: str = "",
    labels: str = "",
    told: Told | None = None,
    *,
    fields: str = "",
) -> AsyncGenerator[AsyncIterator[Change]]:
    """Watch the objects of a resource; the watch ends with the context.

    namespace: "" for all. labels: a selector, such as "a=b,c"; "" for all. told: what a watch of the same objects has
        told before: this one goes on from there, and keeps it up to date. fields: a selector of fields that the
        cluster can select by, such as "reason=Started"; "" for all.

    Iterating raises the cluster's error if the first list fails. Later failures are logged, and tried again.
    """
    selectors = {"labelSelector": labels, "fieldSelector": fields}
    params = {name: text for name, text in selectors.items() if text}
    async with aclosing(_Watch(api, resource, namespace, params, {} if told is None else told).changes()) as changes:
        yield changes


class _Watch:
    """A watch's state: what is known, and up to which version."""

    def __init__(self, api: Api, resource: Resource, namespace: str, params: Mapping[str, str], told: Told) -> None:
        self._api = api
        self._resource = resource
        self._namespace = namespace
        self._path = resource.path(namespace)
        self._params = params
        self._known = told
        self._version = ""
        """The version that changes are told from; "" if everything must be listed again."""
        self._idle = 0
        """How many events in a row have told nothing new."""
        self._failures = 0
        self._warnings = Sparing(_log)

    async def changes(self) -> AsyncGenerator[Change]:
        """Tell everything that there is, and then the changes, for ever."""
        for change in await self._listed():
            yield self._noted(change)
        yield Change(Kind.SYNCED, {})
        while True:
            began = trio.current_time()
            try:
                for change in [] if self._version else await self._listed():
                    yield self._noted(change)
                async with aclosing(self._told()) as told:
                    async for change in told:
                        yield change
                self._failures = 0
            except SwarmError as exc:
                await self._failed(exc, trio.current_time() - began)

    async def _listed(self) -> list[Change]:
        """List everything, and return the differences from what is known."""
        try:
            objects, version = await listed(self._api, self._path, self._params)
        except SwarmError as exc:
            if not is_expired(exc):  # the first page is too old for the next one
                raise
            objects, version = await listed(self._api, self._path, self._params)
        before, now = self._known, self._as_known(objects)
        self._version = version
        gone = [Change(Kind.DELETED, each) for key, each in before.items() if key not in now]
        return gone + [
            Change(Kind.MODIFIED if key in before else Kind.ADDED, each)
            for key, each in now.items()
            if key not in before or Metadata.of(before[key]) != Metadata.of(each)
        ]

    def _as_known(self, objects: Iterable[Object]) -> Told:
        """Return the objects of a list. One that is malformed is what it was before."""
        now: Told = {}
        for each in objects:
            try:
                key = Metadata.of(each).key
            except BadAnswer as exc:
                self._left_out(exc)
                continue
            if (object := each if self._fits(each) else self._known.get(key)) is not None:
                now[key] = object
        return now

    def _fits(self, object: Object) -> bool:
        """Return whether an object is of the form and the namespace that are watched; warn of one that is not."""
        try:
            check(self._resource, object, self._namespace)
        except BadAnswer as exc:
            self._left_out(exc)
            return False
        return True

    def _left_out(self, exc: BadAnswer) -> None:
        self._warnings.warning("kubernetes: left out of %s: %s", self._path, exc)

    def _noted(self, change: Change) -> Change:
        """Note that a change is told now."""
        key = Metadata.of(change.object).key
        if change.kind is Kind.DELETED:
            del self._known[key]
        else:
            self._known[key] = change.object
        return change

    async def _told(self) -> AsyncGenerator[Change]:
        """Tell the changes since the last version, for one request.

        Raises:
            SwarmError: the connection broke, or the cluster reports an error.
        """
        asked = {
            **self._params,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        began = trio.current_time()
        async with self._api.stream(self._path, asked) as stream:
            lines = Lines(stream, MAX_LINE)
            while line := await _next(lines, began + WATCH_SECONDS + _GRACE_SECONDS):
                if change := self._change(line):
                    self._idle = 0
                    yield change
                elif (idle := self._idle) >= MAX_IDLE:
                    raise BadAnswer(f"the cluster told more than {idle} events in a row that say nothing new")
                else:
                    self._idle = idle + 1
        if trio.current_time() - began < _SHORT_SECONDS:
            raise Unavailable("the cluster ended the request at once")

    def _change(self, line: bytes) -> Change | None:
        """Take an event into account, and return the change that it tells, if it does.

        Raises:
            SwarmError: it reports an error, or is malformed.
        """
        event, object = _event(line)
        if event == "ERROR":
            raise error_of_status(object)
        metadata = Metadata.of(object)
        if int(metadata.resourceVersion) <= int(self._version):
            return None  # it has been told: versions only grow
        self._version = metadata.resourceVersion
        if event == "BOOKMARK":
            return None
        if event == "DELETED":
            known = self._known.pop(metadata.key, None)
            return Change(Kind.DELETED, at_version(known, self._version)) if known else None
        if not self._fits(object):
            return None
        if len(self._known) >= MAX_OBJECTS:
            raise TooLarge(f"the cluster told of more than {MAX_OBJECTS} objects")
        kind = Kind.MODIFIED if metadata.key in self._known else Kind.ADDED
        self._known[metadata.key] = object
        return Change(kind, object)

    async def _failed(self, exc: SwarmError, lasted: float) -> None:
        """Wait before the next try, the longer the more have failed at once, and log the first of these failures."""
        if lasted >= _SHORT_SECONDS:
            self._failures = 0
        self._idle = 0
        if not _is_broken_connection(exc):
            self._version = ""  # what can't be told or read from this version may be so from a new one
        if not self._failures and not is_expired(exc):
            self._warnings.warning("kubernetes: the watch of %s broke: %s; it is resumed", self._path, exc)
        pause = min(_FIRST_PAUSE * 2.0 ** min(self._failures, 20), _LONGEST_PAUSE) * random.uniform(0.5, 1.0)
        self._failures += 1
        await trio.sleep(max(pause, min(float(exc.details.get("retry_after", 0)), _LONGEST_PAUSE)))


async def _next(lines: Lines, until: float) -> bytes:
    """Return the next line, or b"" at the end of the request: the cluster's time is over, or ours."""
    with trio.move_on_at(until):
        try:
            return await lines.receive()
        except trio.BrokenResourceError as exc:
            raise Unavailable(str(exc)) from exc
    return b""


def _is_broken_connection(exc: SwarmError) -> bool:
    broken = isinstance(exc, Unavailable | TimedOut) and not isinstance(exc, BadAnswer)
    return broken and "code" not in exc.details


def _event(line: bytes) -> tuple[str, Object]:
    """Read an event: its type, and its object.

    Raises:
        BadAnswer: it is malformed.
    """
    try:
        event = mapping(orjson.loads(line))
    except orjson.JSONDecodeError as exc:
        raise BadAnswer(f"the cluster told an event that is not JSON: {exc}") from exc
    kind = event.get("type")
    if kind not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"):
        raise BadAnswer(f"the cluster told an event of an unknown type: {kind!r:.40}")
    return kind, mapping(event.get("object"))
