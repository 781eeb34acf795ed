"""What the live page asks for: the page itself, events, calls, containers, logs, and decisions about held calls."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache, partial
from importlib.resources import files
from typing import Any, Final

import orjson
import trio

from swarmlib import Invalid, NotFound, Request, Sender, SwarmError, Verb

from .. import control
from ..http.serving import Answer, Write
from ..http.serving import Request as HttpRequest
from ..observe.observation import MAX_FED, Observation
from ..observe.status import state
from . import filters
from .calls import Kept, line
from .containers import Containers

MAX_VIEWERS: Final = 16
"""The most streams of events and logs at once."""
TICK_SECONDS: Final = 0.5
"""The time between two looks at the calls that have ended."""
MAX_LINES: Final = 50
"""The most calls that a viewer is shown for each of these: more cannot be read, and each takes time of this process."""
_STREAM: Final = {"Content-Type": "text/event-stream; charset=utf-8"}
_DECIDE: Final = re.compile(r"/held/([A-Za-z0-9_-]{1,64})/(approve|deny)")
_LOG: Final = re.compile(r"/containers/([A-Za-z0-9][A-Za-z0-9_.-]{0,255})/logs")
_CALL: Final = re.compile(r"/calls/([0-9]{1,18})")


@cache
def page() -> tuple[bytes, str]:
    """Return the page, and the policy that lets its own script and style be used, and nothing else."""
    text = files("swarmlib_backends.web").joinpath("page.html").read_text("utf-8")
    script, style = (_digest(text, tag) for tag in ("script", "style"))
    policy = (
        f"default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text.encode(), policy


def _digest(text: str, tag: str) -> str:
    content = text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


class Pages:
    """Answers the requests of the page.

    may_approve: viewers may decide about held calls.
    """

    def __init__(
        self, observation: Observation, desk: control.Desk | None, sender: Sender, *, may_approve: bool
    ) -> None:
        self._observation = observation
        self._desk = desk
        self._may_approve = may_approve
        self._kept = Kept(observation)
        self._containers = Containers(sender)
        self._viewers = 0

    async def answer(self, request: HttpRequest, caller: str) -> Answer:
        """Answer a request of a viewer, whom stages know as `caller`."""
        try:
            if request.method == "POST":
                return await self._decide(request)
            if request.method not in ("GET", "HEAD"):
                return Answer(405, {"error": "expected GET"}, {"Allow": "GET, HEAD"})
            return await self._show(request, caller)
        except NotFound as exc:
            return Answer(404, {"error": exc.message})
        except Invalid as exc:
            return Answer(400, {"error": exc.message})
        except SwarmError as exc:
            return Answer(502, {"error": exc.message})
        except trio.TooSlowError:
            return Answer(504, {"error": "the chain did not answer in time"})

    async def _show(self, request: HttpRequest, caller: str) -> Answer:
        if request.path == "/":
            body, policy = page()
            return Answer(200, body, {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy})
        if request.path == "/events":
            text = request.query.get("filter", "").strip()
            fits = filters.read(text, self._observation)
            return self._stream(partial(self._events, fits, MAX_FED if text else MAX_LINES))
        if request.path == "/containers":
            return Answer(200, await self._containers.list(caller))
        if found := _LOG.fullmatch(request.path):
            return self._stream(partial(self._log, found[1], caller))
        if (found := _CALL.fullmatch(request.path)) and (whole := self._kept.whole(int(found[1]))) is not None:
            return Answer(200, whole)
        raise NotFound("there is no such page, or it has gone")

    async def _decide(self, request: HttpRequest) -> Answer:
        found = _DECIDE.fullmatch(request.path)
        if found is None or not self._may_approve or self._desk is None:
            return Answer(403, {"error": "this page is read-only: web --approve lets viewers decide about held calls"})
        if request.headers.get("content-type") != "application/json":
            return Answer(415, {"error": "expected Content-Type: application/json"})
        id, decision = found.groups()
        verb, params = (Verb.START, {}) if decision == "approve" else (Verb.STOP, {"reason": "denied on the live page"})
        await self._desk.ask(Request(verb, ("held", id), params))
        return Answer(200, {})

    def _stream(self, pieces: Callable[[Write], Any]) -> Answer:
        if self._viewers >= MAX_VIEWERS:
            return Answer(503, {"error": f"{MAX_VIEWERS} viewers are there already"})

        async def counted(write: Write) -> None:
            with self._viewer():
                await pieces(write)

        return Answer(200, None, _STREAM, pieces=counted)

    @contextmanager
    def _viewer(self) -> Generator[None]:
        self._viewers += 1
        try:
            yield
        finally:
            self._viewers -= 1

    async def _events(self, fits: filters.Fits, most: int, write: Write) -> None:
        """Write the state every second, and the calls that have ended meanwhile, until the viewer leaves.

        Only this task waits for a viewer that reads slowly; calls that do not fit into its queue, of `most` calls, are
        dropped.
        """
        with self._observation.feeding(most) as feed:
            while True:
                told = await state(self._observation, self._desk)
                await write(_event("state", {**told, "approve": self._may_approve}))
                for _ in range(2):
                    await trio.sleep(TICK_SECONDS)
                    calls, dropped = feed.take()
                    fitting = [call for call in calls if fits(call)]
                    shown = fitting[-MAX_LINES:]
                    for call in shown:
                        self._kept.keep(call)
                    if missing := dropped + len(fitting) - len(shown):
                        await write(_event("missing", missing))
                    if shown:
                        await write(_event("calls", [line(self._observation, call) for call in shown]))

    async def _log(self, id: str, caller: str, write: Write) -> None:
        try:
            async with self._containers.log(id, caller) as lines:
                async for each in lines:
                    await write(_event("line", each))
            await write(_event("end", "the log has ended"))
        except SwarmError as exc:
            await write(_event("end", exc.message))


def _event(name: str, data: Any) -> bytes:
    """Return a server-sent event. Its data is JSON on one line, so that nothing in it can begin another event."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), orjson.dumps(data))
