"""The file of `record` and `replay`: the requests, replies and streams, in the order in which they happened.

It is a stream of msgpack objects: the header `["swarmlib recording", VERSION, CREATED]` (seconds since 1970), then one
record after another, each `[CRC32, BYTES]`. The bytes, over which the checksum is computed, are msgpack again:

    [WHAT, CALL, AT, DATA]

WHAT is one of `What`, CALL the number of the call that it belongs to, AT the seconds since CREATED. DATA is a request
or reply in the wire's form (`swarmlib.wire.codec`; a stream that it held is a reference), or a stream's bytes.

Records are written one after another, each completely or not at all, so the file is valid at any moment; in a file that
was cut off or damaged, everything before the damage is valid.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import sys
import threading
import time
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgpack as untyped_msgpack
import trio

from swarmlib import Ack, Conflict, Invalid, Reply, Request, Unavailable
from swarmlib.reply_channel import CLEANUP_SECONDS
from swarmlib.wire.codec import encode
from swarmlib.wire.pump import kind_of
from swarmlib.wire.references import Ref, RefKind, Refs
from swarmlib.wire.reply_codec import decode_reply
from swarmlib.wire.request_codec import decode_request

from .file_claims import claim

msgpack: Final[Any] = untyped_msgpack
MAGIC: Final = "swarmlib recording"
VERSION: Final = 2
MAX_RECORD: Final = 512 * 1024 * 1024
"""Bytes of one record, at most: more than the largest value of any backend."""
PIECE: Final = 1024 * 1024
"""Bytes of a stream in one record, at most."""
MAX_UNWRITTEN: Final = 4 * 1024 * 1024
"""Bytes of records that may wait to be written before traffic is held back."""
WRITE_SECONDS: Final = CLEANUP_SECONDS
"""Seconds that traffic is held back, at most."""
CLOSE_SECONDS: Final = CLEANUP_SECONDS
"""Seconds that closing a recording waits for records that are not written yet."""
_log = logging.getLogger(__name__)


class What(StrEnum):
    """The kind of a record."""

    ASK = "ask"
    """The request."""
    REPLY = "reply"
    END = "end"
    """No more replies follow."""
    GONE = "gone"
    """The caller disconnected."""
    SENT = "sent"
    """Bytes from the caller: of the request's upload, or in the conversation. No bytes: the end."""
    RECEIVED = "received"
    """Bytes to the caller. No bytes: the end."""
    BROKE = "broke"
    """The stream to the caller broke."""


@dataclass(frozen=True, slots=True)
class Event:
    """One record, and its position in the file."""

    what: What
    call: int
    at: float
    length: int
    """Bytes of its data, which `Recording.data` reads again."""
    place: int
    size: int


def request_in(data: bytes) -> tuple[Request, bool]:
    """Decode the request in a record, and whether it had an upload.

    Raises:
        Invalid: the data is not a request.
    """
    asked, refs = decode_request(data, now=0)
    return Request.of(asked), refs.stream is not None


def reply_in(data: bytes) -> tuple[Reply, RefKind | None]:
    """Decode the reply in a record, and the kind of its stream.

    Raises:
        Invalid: the data is not a reply.
    """
    reply, refs = decode_reply(data)
    return reply, refs.stream.kind if refs.stream else None


def request_bytes(request: Request, *, upload: bool) -> bytes:
    """Encode a request as the data of a record.

    Raises:
        Invalid: the request holds a value that can't be encoded.
    """
    stream = Ref(RefKind.STREAM, 0) if upload else None
    return encode(request, Refs(Ref(RefKind.CHANNEL, 0), stream), now=0)


def reply_bytes(reply: Reply) -> bytes:
    """Encode a reply as the data of a record. Raise the same errors as `request_bytes`."""
    stream = reply.stream if isinstance(reply, Ack) else None
    if stream is None:
        return encode(reply, now=0)
    return encode(reply, Refs(stream=Ref(kind_of(stream), 0)), now=0)


def check_writable(path: str, *, append: bool, force: bool) -> None:
    """Check what can be known before a file is begun or continued.

    Raises:
        Conflict: it exists, and neither `append` nor `force` is given.
        Unavailable: it can't be written.
    """
    if os.path.exists(path):
        if not (append or force):
            raise _exists(path)
        if not os.access(path, os.W_OK):
            raise Unavailable(f"can't record to {path}: {os.strerror(errno.EACCES)}")
    elif not os.path.isdir(folder := os.path.dirname(path) or "."):
        raise Unavailable(f"can't record to {path}: {folder} is not a folder")


def _exists(path: str) -> Conflict:
    return Conflict(f"{path} exists already: use --append to append to it or --force to overwrite it")


class Writer:
    """A file that is being recorded to. When it can no longer be written, that is logged once, and recording ends.

    A separate thread writes it, so that a disk that hangs stops nothing else.
    """

    def __init__(self, path: str, *, append: bool, force: bool) -> None:
        """Begin a file that only its owner can read (mode 0600), or continue one.

        Raises:
            Conflict: the file exists, and neither `append` nor `force` is given; or another process records to it.
            Invalid: the file is to be appended to, and is damaged or not a recording.
            Unavailable: the file can't be opened.
        """
        flags = os.O_RDWR | os.O_CREAT | (0 if append or force else os.O_EXCL)
        self._path = path
        try:
            self._file = os.open(path, flags, 0o600)
        except FileExistsError as exc:
            raise _exists(path) from exc
        except OSError as exc:
            raise Unavailable(f"can't record to {path}: {exc.strerror}") from exc
        try:
            self._begin(append=append)
        except OSError as exc:
            os.close(self._file)
            raise Unavailable(f"can't record to {path}: {exc.strerror}") from exc
        except BaseException:
            os.close(self._file)
            raise
        self._records: deque[bytes] = deque()
        self._unwritten = 0
        self._closing = self._lost = False
        self._changed = threading.Condition()
        self._one_waits = trio.CapacityLimiter(1)
        self._thread = threading.Thread(target=self._run, name=f"record {path}", daemon=True)
        self._thread.start()

    def _begin(self, *, append: bool) -> None:
        file = self._file
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise Unavailable(f"can't record to {self._path}: it is not a file")
        claim(file, self._path, "record")
        if sys.platform != "win32":
            os.fchmod(file, 0o600)  # only its owner can read it, even if it existed before
        if append and os.fstat(file).st_size:
            self._go_on()
            return
        os.ftruncate(file, 0)
        self.calls, self._created, self._size = 0, time.time(), 0
        self._write(msgpack.packb([MAGIC, VERSION, self._created]))

    def _go_on(self) -> None:
        with closing(Recording(self._path)) as before:
            self.calls = max((event.call for event in before.events()), default=0)
            self._created, self._size = before.created, before.good
            if before.damage:
                raise Invalid(f"{before.damage}; to go on without the rest: truncate -s {before.good} {self._path}")
        os.lseek(self._file, self._size, os.SEEK_SET)

    def put(self, what: What, call: int, data: bytes = b"") -> None:
        """Have a record written. Never block: callers that put many records await `room` before."""
        body = msgpack.packb([what.value, call, time.time() - self._created, data])
        record = msgpack.packb([zlib.crc32(body), body])
        with self._changed:
            if not (self._closing or self._lost):
                self._records.append(record)
                self._unwritten += len(record)
                self._changed.notify_all()

    async def room(self) -> None:
        """Wait while over MAX_UNWRITTEN bytes of records are not written, so that none is dropped; end the recording if
        that takes over WRITE_SECONDS.
        """
        if not self._has_room():
            await trio.to_thread.run_sync(self._wait_for_room, abandon_on_cancel=True, limiter=self._one_waits)

    def _has_room(self) -> bool:
        return self._lost or self._unwritten <= MAX_UNWRITTEN

    def _wait_for_room(self) -> None:
        with self._changed:
            in_time = self._changed.wait_for(self._has_room, WRITE_SECONDS)
        if not in_time:
            self._lose(f"the disk has been behind by over {MAX_UNWRITTEN} bytes for {WRITE_SECONDS:g} s")

    def close(self) -> None:
        """Write the remaining records and close the file; block for CLOSE_SECONDS at most. May be called twice."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            self._lose(f"the disk did not take the last {self._unwritten} bytes within {CLOSE_SECONDS:g} s")

    def _run(self) -> None:
        """Write the queued records, and close the file at the end: the body of the thread."""
        while (record := self._next()) is not None:
            try:
                self._write(record)
            except OSError as exc:
                self._lose(exc.strerror or str(exc))
                with suppress(OSError):  # then the file ends with a record that is cut off, which a reader recognizes
                    os.ftruncate(self._file, self._size)
            with self._changed:
                self._unwritten -= len(record)
                self._changed.notify_all()
        os.close(self._file)

    def _next(self) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: self._records or self._closing or self._lost)
            return self._records.popleft() if self._records and not self._lost else None

    def _write(self, data: bytes) -> None:
        if os.write(self._file, data) != len(data):
            raise OSError(errno.ENOSPC, "no space left")
        self._size += len(data)

    def _lose(self, problem: str) -> None:
        """End the recording, once."""
        with self._changed:
            if self._lost:
                return
            self._lost = True
            self._changed.notify_all()
        _log.error("record: can't write %s (%s): nothing more is recorded", self._path, problem)


class Recording:
    """A recorded file. It may be larger than memory: data is read again from its position."""

    def __init__(self, path: str) -> None:
        """Open the file and read its header.

        Raises:
            Invalid: the file is not a recording, or has a version that is unknown here.
            Unavailable: the file can't be read.
        """
        try:
            self._file = open(path, "rb")  # noqa: SIM115 - closed by `close`, as the other
            self._again = open(path, "rb")  # noqa: SIM115
        except OSError as exc:
            raise Unavailable(f"can't read {path}: {exc.strerror}") from exc
        self._path = path
        self.created = 0.0
        self.good = 0
        """Bytes from the beginning that are valid, as far as `events` has read."""
        self.count = 0
        """Records that are valid, as far as `events` has read."""
        self.damage = ""
        """What is wrong with the file, and where, once `events` has reached it."""
        self._objects = msgpack.Unpacker(self._file, max_buffer_size=MAX_RECORD)
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._file.close()
        self._again.close()

    def _read_header(self) -> None:
        try:
            magic, version, self.created = next(self._objects)
        except _UNREADABLE as exc:
            raise Invalid(f"{self._path} is not a swarmlib recording") from exc
        if magic != MAGIC:
            raise Invalid(f"{self._path} is not a swarmlib recording")
        if version != VERSION:
            raise Invalid(f"{self._path} is a recording of version {version!r}; this swarmlib reads version {VERSION}")
        self.good = self._objects.tell()

    def events(self) -> Iterator[Event]:
        """Yield the records in order, up to the end or the first that is damaged. May be used only once."""
        try:
            for found in self._objects:
                place, self.good = self.good, self._objects.tell()
                try:
                    event = _event(found, place, self.good - place)
                except _UNREADABLE:
                    self.good = place
                    raise
                self.count += 1
                yield event
        except _UNREADABLE as exc:
            self._damaged(str(exc) or type(exc).__name__)
        else:
            if self.good != os.fstat(self._file.fileno()).st_size:
                self._damaged("the last record is cut off")

    def _damaged(self, why: str) -> None:
        self.damage = (
            f"{self._path} is damaged at byte {self.good} ({why}); the {self.count} records before it are good"
        )

    def data(self, event: Event) -> bytes:
        """Read the data of one of its records again."""
        self._again.seek(event.place)
        _, record = msgpack.unpackb(self._again.read(event.size))
        return bytes(msgpack.unpackb(record)[3])


def _event(found: Any, place: int, size: int) -> Event:
    checksum, record = found
    if zlib.crc32(record) != checksum:
        raise ValueError("the checksum is wrong")
    what, call, at, data = msgpack.unpackb(record)
    return Event(What(what), int(call), float(at), len(data), place, size)


_UNREADABLE: Final = (msgpack.UnpackException, StopIteration, ValueError, TypeError)
