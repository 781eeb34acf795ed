"""The messages between a caller, a backend and the stage behind it, recorded while they pass.

    #1 > get containers/web {"size": "1"}
      #1 > get containers/web {"size": "1"}
      #1 < set {"Id": "web"}
      #1 < ack
    #1 < set {"Id": "web"}
    #1 < ack

Requests of the backend to the stage behind it are indented, with numbers of their own. `!` marks a breach of the reply
contract.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import trio

from ..errors import Invalid
from ..reply import FINAL, Ack, Error, Log, Reply
from ..reply_channel import ContractError, ReplySender, Tap
from ..request import Request, Sender
from ..service import Filter
from ..values import Json

_SHOWN: Final = 160
"""The most characters of one value in a transcript."""


class Transcript:
    """The recorded lines, and the breaches among them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.breaches: list[str] = []
        """Replies that the contract forbids."""
        self.unanswered: list[str] = []
        """Requests whose reply channel was closed or dropped without a final reply."""
        self.bugs: list[str] = []
        """What backends logged as bugs."""

    def __str__(self) -> str:
        return "\n".join(f"    {line}" for line in self.lines) or "    (no messages)"

    @contextmanager
    def noting_bugs(self) -> Generator[None]:
        """Record what backends log as bugs meanwhile."""
        handler = _BugHandler(self)
        logger = logging.getLogger()  # a backend's logger is named for its module, which is unknown here
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)


class _BugHandler(logging.Handler):
    def __init__(self, transcript: Transcript) -> None:
        super().__init__(logging.ERROR)
        self._transcript = transcript

    def emit(self, record: logging.LogRecord) -> None:
        exc = record.exc_info[1] if record.exc_info else None
        text = f"{record.getMessage()}: {type(exc).__name__}: {exc}" if exc else record.getMessage()
        self._transcript.bugs.append(text)
        self._transcript.lines.append(f"! a bug: {short(text)}")


class Witness(trio.abc.SendChannel[Request]):
    """A sender that records the requests that pass through it, and their replies."""

    def __init__(self, inner: Sender, transcript: Transcript, indent: str = "") -> None:
        self._inner = inner
        self._transcript = transcript
        self._indent = indent
        self._number = 0

    async def send(self, value: Request) -> None:
        """Record a request, and forward it."""
        self._number += 1
        call = _Call(self._transcript, f"{self._indent}#{self._number}", describe(value))
        call.note(">", call.request)
        value.reply.on_gone(call.gone)
        reply = _WitnessReply(value.reply, call)
        value = copy.copy(value)  # not `replace`, which would check the path
        value.reply = reply
        reply.pass_to(self)
        await self._inner.send(value)
        if reply.is_with(self):
            reply.look("dropped")

    async def aclose(self) -> None:
        """Do nothing: it has nothing of its own to close."""


class _Call:
    """One call."""

    def __init__(self, transcript: Transcript, number: str, request: str) -> None:
        self.transcript = transcript
        self.request = request
        self._number = number
        self._answered = False

    def note(self, mark: str, text: str) -> None:
        """Record a line of this call."""
        self.transcript.lines.append(f"{self._number} {mark} {text}")

    def see(self, reply: Reply) -> Reply:
        """Record a reply."""
        self._answered = self._answered or isinstance(reply, FINAL)
        self.note("<", describe_reply(reply))
        return reply

    def gone(self) -> None:
        """Record that the caller did not wait for the answer."""
        if not self._answered:
            self.note("x", "the caller disconnected")


class _WitnessReply(Tap):
    def __init__(self, inner: ReplySender, call: _Call) -> None:
        super().__init__(inner, call.see)
        self._call = call

    async def send(self, value: Reply) -> None:
        try:
            await super().send(value)
        except ContractError as exc:
            self._call.note("!", str(exc))
            self._call.transcript.breaches.append(f"{exc}, to {self._call.request}")
            raise

    async def abandon(self, by: str) -> None:
        self.look("dropped")
        await super().abandon(by)

    async def aclose(self) -> None:
        self.look("closed")
        await super().aclose()

    def look(self, how: str) -> None:
        """Record that the call ends without an answer, if it does."""
        if not self.answered and not self.gone:
            self._call.note("!", f"the reply channel was {how} without a final reply")
            self._call.transcript.unanswered.append(self._call.request)


@dataclass(eq=False)
class WitnessStage(Filter):
    """A stage that records what passes: it stands between a backend and the stage behind it."""

    transcript: Transcript

    def __post_init__(self) -> None:
        super().__post_init__()
        self._witness: Witness | None = None

    async def send(self, request: Request) -> None:
        """Record a request, and forward it."""
        if self._witness is None:
            self._witness = Witness(self.next, self.transcript, "  ")
        await self._witness.send(request)


def describe(request: Request) -> str:
    """Describe a request in one line."""
    parts = [request.verb.value, short("/".join(request.path))]
    parts += _plain(request.params)
    if request.body is not None:
        parts.append(_json(request.body))
    if request.upload is not None:
        parts.append("+stream")
    return " ".join(filter(None, parts))


def describe_reply(reply: Reply) -> str:
    """Describe a reply in one line."""
    if isinstance(reply, Error):
        return f"error {reply.error.code}: {short(reply.error.message)}"
    parts = [reply.kind, *_plain(reply.details)]
    if isinstance(reply, Log):
        parts.append(_start(reply.line))
    elif reply.value is not None:
        parts.append(_json(reply.value))
    if isinstance(reply, Ack) and reply.stream is not None:
        parts.append("+stream")
    return " ".join(filter(None, parts))


def _plain(given: Mapping[str, Any]) -> list[str]:
    return [short(json.dumps(dict(given), default=repr))] if given else []


def _json(value: Json) -> str:
    try:
        return _start(value.raw)
    except Invalid as exc:
        return exc.message


def _start(raw: bytes) -> str:
    """Return the beginning of a value, which may be long."""
    text = raw[:_SHOWN].decode("utf-8", "backslashreplace").strip()
    return text if len(raw) <= _SHOWN else f"{text}… ({len(raw)} bytes)"


def short(text: str) -> str:
    """Shorten text to fit a line."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
