"""The stage `policy`: judges each request by a file of rules, and forwards what they allow."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import trio

from swarmlib import Denied, Handler, Invalid, Request, Server, SwarmError, argument, option
from swarmlib.suggestions import nearest

from .. import notes
from ..clients import Facts, container_in, require_clients
from ..control import offering
from ..dockerapi import table
from ..dockerapi.canonical import canonical
from ..dockerapi.rows import Row
from ..watched_file import WatchedFile
from . import document, hiding
from .calling import Callers
from .document import Rule, Verdict
from .holding import Holding
from .protection import Protection
from .unstarted import OPERATION as _STARTING
from .unstarted import remove_unstarted

_log = logging.getLogger(__name__)

PRESETS: Final = Path(__file__).with_name("presets")


@dataclass
class Policy(Server):
    """Allows what the rules of a file allow, and denies everything else.

    A rule names operations, the clients that it is for, and what the description of a container may ask for. Each
    request is judged in its canonical form, which is also what the engine gets. The file is read again when it changes;
    while it has a mistake, the rules that were read last stay. With `mode = "warn"`, a rule lets pass what it would
    deny, and logs it. `swarmd policy check FILE` reads a file, and `swarmd policy explain` says what it decides.

    policy /etc/swarmlib/ci.toml
    policy --preset read-only
    """

    position = "between"

    file: Path | None = argument("a TOML file with the rules", default=None)
    preset: str = option("rules that come with swarmlib, instead of a file: read-only, traefik, …", default="")

    def check_options(self) -> None:
        """See `Backend.check_options`."""
        if self.file is None and not self.preset:
            raise Invalid("FILE or --preset is required")
        if self.file is not None and self.preset:
            raise Invalid("FILE and --preset can't be used together")
        if self.preset:
            preset_text(self.preset)

    async def preflight(self) -> None:
        """See `Backend.preflight`."""
        await replace(self)._open_file()

    async def _open_file(self) -> None:
        self._file = WatchedFile(self.file or PRESETS / f"{self.preset}.toml")
        await self._read()

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Read the rules, and read them again whenever the file has changed."""
        await self._open_file()
        self._callers = Callers(self.next)
        self._holding = Holding()
        async with offering("held", self._holding), trio.open_nursery() as nursery:
            nursery.start_soon(self._follow)
            yield
            nursery.cancel_scope.cancel()

    async def _read(self) -> None:
        name = str(self.file) if self.file else self.preset
        found = document.parse(await self._file.read(), name)
        if found.for_clients:
            require_clients(name)
        self._document = found

    async def _follow(self) -> None:
        while True:
            await self._file.changed()
            try:
                await self._read()
            except SwarmError as exc:
                _log.error("policy: the rules are unchanged: %s", exc.message)
            else:
                _log.warning("policy: the rules of %s have been read again", self._document.name)

    def choose(self, request: Request) -> Handler | None:
        """Judge a request as it arrives; a task is needed only by one that is denied or confined, or whose sender the
        engine must be asked about.
        """
        request = canonical(request)
        row = table.row_of(request.verb, request.path, upload=request.upload is not None)
        if row.name in self._document.by_facts and (id := container_in(request.meta.caller)):
            facts = self._callers.known(id)
            return partial(self._ask_about, row, id) if facts is None else self._decide(row, request, facts)
        return self._decide(row, request, None)

    async def _ask_about(self, row: Row, id: str, request: Request) -> object:
        """Decide about a request once it is known who the container is that sent it."""
        handler = self._decide(row, canonical(request), await self._callers.find(id))
        return await (self.forward(request, self.next) if handler is None else handler(request))

    def _decide(self, row: Row, request: Request, facts: Facts | None) -> Handler | None:
        handler = self._judge(row, request, facts)
        return partial(self._start, handler) if handler and row.name == _STARTING else handler

    async def _start(self, handler: Handler, request: Request) -> object:
        try:
            return await handler(request)
        except SwarmError:
            await remove_unstarted(request, self.next, self.inlet)
            raise

    def _judge(self, row: Row, request: Request, facts: Facts | None) -> Handler | None:
        verdict = self._document.judge(row, request, facts)
        self._note(row, request, verdict)
        if not verdict.allowed:
            return partial(self._deny, row, verdict)
        rule = verdict.rule
        guard = self._document.guard(row, request.meta.caller, facts)
        if guard is None and (rule is None or not (rule.redacts(row) or self._acts(rule, row, verdict))):
            return None
        return partial(self._carry_out, row, verdict, guard, request)

    @staticmethod
    def _acts(rule: Rule, row: Row, verdict: Verdict) -> bool:
        """Return whether a rule does more with a request than to allow it, or to let it pass with a warning."""
        acts = verdict.changed or rule.holds(row) or rule.acts_on(row, verdict.demands)
        return not verdict.reason and bool(acts)

    async def _deny(self, row: Row, verdict: Verdict, _: Request) -> NoReturn:
        raise Denied(f"{row.name} is denied by {self._document.name}: {verdict.reason}")

    async def _carry_out(
        self, row: Row, verdict: Verdict, guard: Protection | None, judged: Request, _: Request
    ) -> object:
        sent = verdict.changed or judged
        if verdict.rule is not None:  # what only passes with a warning is redacted all the same
            sent = verdict.rule.redacted(row, sent)
        rule = None if verdict.reason else verdict.rule
        if rule is not None:
            resolve = partial(rule.resolve, row, sent, verdict.demands, self.next)
            sent = await self._checked(row, sent, resolve, Verdict(rule.warn, rule))
        sent = await self._guard(guard, row, sent)
        if rule is not None and rule.hold is not None and rule.holds(row):
            sent = await self._holding.wait(rule.name, rule.hold, row, sent, self.next)
            sent = await self._guard(guard, row, sent)  # what is protected may have changed meanwhile
        notes.changed(judged, sent)
        sight = None if rule is None else rule.sight(row, sent, self.next)
        if sight is None:
            return await self.forward(sent, self.next)
        await hiding.relay_shown(row.name, sent, sight)
        return None

    async def _guard(self, guard: Protection | None, row: Row, request: Request) -> Request:
        if guard is None:
            return request
        denial = Verdict(self._document.warn, advice='override = ["CLIENT"]')
        return await self._checked(row, request, partial(guard.guard, row, request, self.next), denial)

    async def _checked(
        self, row: Row, request: Request, check: Callable[[], Awaitable[Request]], denial: Verdict
    ) -> Request:
        """Return what a check that asks the engine makes of a request. What it denies is logged, and passes as it is if
        the verdict then, `denial`, allows it.
        """
        try:
            return await check()
        except Denied as exc:
            verdict = replace(denial, reason=exc.message)
            self._note(row, request, verdict)
            if not verdict.allowed:
                raise
            return request

    def _note(self, row: Row, request: Request, verdict: Verdict) -> None:
        notes.judged(verdict.word, verdict.rule.name if verdict.rule else "", verdict.reason)
        if verdict.reason:
            self._log(row, request, verdict)

    def _log(self, row: Row, request: Request, verdict: Verdict) -> None:
        caller = request.meta.caller or "an unknown client"
        advice = f"; it would be allowed by: {verdict.advice}" if verdict.advice else ""
        _log.warning("policy: %s %s of %s: %s%s", verdict.word, row.name, caller, verdict.reason, advice)


def presets() -> list[str]:
    """Return the names of the rules that come with swarmlib."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def preset_text(name: str) -> str:
    """Return the rules of a preset. Raises Invalid if there is none of this name."""
    if name not in presets():
        raise Invalid(f"unknown preset {name!r}; {nearest(name, presets())}")
    return (PRESETS / f"{name}.toml").read_text("utf-8")
