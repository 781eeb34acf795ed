"""`aggregate`: several chains as one, without placement: what is started, stopped, attached to or listed is so in all
of them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import trio

from swarmlib import (
    Ack,
    BadAnswer,
    Chain,
    Client,
    Invalid,
    Log,
    NotFound,
    ReplySender,
    Request,
    Server,
    Set,
    Stages,
    SwarmError,
    Unsupported,
    argument,
    ask,
    next_reply,
)
from swarmlib.asking import Answer, call

from .calls import distinct


@dataclass
class Aggregate(Server):
    """Several chains at once: `ls` lists all objects; `start`, `stop` and `attach` reach every one that has it.

    Without a path they go to every chain. Each reply to an `attach` names its chain in `member`.
    """

    members: Sequence[Stages] = argument("a chain, in quotes or parentheses")

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the members open."""
        async with AsyncExitStack() as stack:
            self._clients: dict[str, Client] = {}
            for chain in map(Chain.read, self.members):
                client = Client(await stack.enter_async_context(chain.open()))
                self._clients[distinct(chain.name, self._clients)] = client
            yield

    async def ls(self, request: Request) -> Any:
        """List the objects of all members, in the members' order, each entry with its `Node`."""
        answers = await self._all(request)
        listed = [(name, _list(name, answer)) for name, answer in answers]
        return [
            {**entry, "Node": name} if isinstance(entry, dict) else entry for name, each in listed for entry in each
        ]

    async def start(self, request: Request) -> None:
        """Start the object in every chain that has it."""
        await self._all(request)

    stop = start

    async def attach(self, request: Request) -> None:
        """Attach in every chain; forward the replies, each with its `member`, until the last attachment has ended."""
        conversation = _Conversation(request, request.reply)
        async with trio.open_nursery() as nursery:
            for name, client in self._clients.items():
                nursery.start_soon(conversation.relay, name, client)
        conversation.must_have_ended_well()

    async def _all(self, request: Request) -> list[tuple[str, Answer]]:
        """Return every member's answer; a member without the object is not a failure if another has it."""
        found: dict[str, Answer] = {}
        failed: dict[str, SwarmError] = {}

        async def ask(name: str, client: Client) -> None:
            try:
                found[name] = await call(client.sender, request)
            except SwarmError as exc:
                failed[name] = exc

        async with trio.open_nursery() as nursery:
            for name, client in self._clients.items():
                nursery.start_soon(ask, name, client)
        _raise_first(failed, len(found))
        return [(name, found[name]) for name in self._clients if name in found]


class _Conversation:
    """Attachments in several chains, answered as one."""

    def __init__(self, request: Request, reply: ReplySender) -> None:
        self._request = request
        self._reply = reply
        self._begun: set[str] = set()
        self._failed: dict[str, SwarmError] = {}

    async def relay(self, name: str, client: Client) -> None:
        request = self._request
        try:
            async with await ask(client.sender, request) as replies:
                while True:
                    await self._forward(name, await next_reply(replies))
        except trio.EndOfChannel:
            return
        except SwarmError as exc:
            self._failed[name] = exc

    async def _forward(self, name: str, reply: Ack | Set | Log) -> None:
        if not isinstance(reply, Ack):
            await self._reply.send(reply.replace(details={**reply.details, "member": name}))
            return
        self._begun.add(name)
        if len(self._begun) == 1:
            await self._reply.ack()

    def must_have_ended_well(self) -> None:
        """Raise the error with which an attachment broke off, or failed to begin, unless it is excused."""
        for name, exc in self._failed.items():
            if name in self._begun:
                raise exc
        _raise_first(self._failed, len(self._begun))


def _list(name: str, answer: Answer) -> list[Any]:
    """Return a member's list. Raise BadAnswer if its answer is not a list."""
    try:
        found: Any = answer.value or []
    except Invalid as exc:
        raise BadAnswer(f"{name} gave a malformed answer to ls: {exc.message}", backend=name) from exc
    if not isinstance(found, list):
        raise BadAnswer(f"{name} gave a malformed answer to ls: expected a list", backend=name)
    return cast("list[Any]", found)


def _raise_first(failed: dict[str, SwarmError], succeeded: int) -> None:
    """Raise the first failure; a missing object or an unsupported verb counts only if no member succeeded."""
    excused = [exc for exc in failed.values() if isinstance(exc, NotFound | Unsupported)]
    real = [exc for exc in failed.values() if exc not in excused]
    if real or (excused and not succeeded):
        raise (real or excused)[0]
