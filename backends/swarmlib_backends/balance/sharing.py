"""Answers to reads of members: from what is kept, or by questions that several callers share."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from email.utils import formatdate
from functools import lru_cache, partial
from hashlib import blake2b
from operator import attrgetter
from typing import Any, Final, TypeAlias

import orjson

from swarmlib import Ack, Json, Log, Request, Set
from swarmlib.asking import Answer as Replies

from ..calls import key_of
from ..dockerapi.nullable import dict_of
from .fanout import forward_answer
from .freshness import Rule, rule_of
from .kept import Found, Kept
from .made import Made
from .member import Member

Ask: TypeAlias = Callable[[Made | None], Awaitable[Made]]
"""Asks the members; raises SwarmError. It is given what was made of their answers to the same question last."""

_DATE: Final = b"date"
_LONGEST_KEY: Final = 512
"""Bytes of a key that is kept as it is, at most; of a longer one, or one with headers, only the digest is kept."""
_NAME: Final = attrgetter("name")


class Sharing:
    """Answers reads. An answer serves the requests of one caller only: stages within members may judge by the caller.

    max_age: seconds that an answer may be old of which engines do not tell each change; it says its age.
    """

    def __init__(self, kept: Kept, max_age: float) -> None:
        self._kept = kept
        self._max_age = max_age

    async def reply(self, request: Request, members: Sequence[Member], ask: Ask, id: str = "") -> None:
        """Answer a request with what is kept of the members' answers, or else with what `ask` returns.

        id: the object that it is about, as it is known before asking.

        Raises:
            SwarmError: what `ask` raises.
        """
        rule = rule_of(request)
        if rule is None:
            await forward_answer((await ask(None)).answer, request)
            return
        key = _key(request, members, id)
        answer = self._kept.known(key)
        if answer is None:
            topics = (topic for member in members for topic in rule.topics(member, id))
            answer = await self._kept.answer(key, topics, partial(self._found, request, rule, members, ask, id))
        age = answer.age
        for reply in answer.replies():
            await request.reply.send(_for_caller(reply, age))

    async def _found(
        self, request: Request, rule: Rule, members: Sequence[Member], ask: Ask, id: str, last: Found | None
    ) -> Found:
        certain = all(member.tells_changes for member in members)
        before = None if last is None else last.made
        made = await ask(before)
        if last is not None and made.is_of_same(before):
            told = last.told
        else:
            told = _is_of(made.answer, id) and rule.told(request, made.answer)
            made = made.encoded()
        replies = made.replies
        if any("warnings" in reply.details for reply in replies):  # an engine is missing, which may be back soon
            return Found(replies, 0.0)
        if certain and told:
            return Found(replies, rule.longest)  # it is asked for so seldom that comparing is not worth its memory
        return Found(replies, self._max_age, exact=not self._max_age, made=made, told=told)


def _is_of(answer: Replies, id: str) -> bool:
    """Return whether it is about the object that was found under the name in the request."""
    return not id or id == dict_of(answer.value).get("Id")


def _key(request: Request, members: Sequence[Member], id: str) -> bytes:
    about = orjson.dumps((request.meta.caller, id, *map(_NAME, members)))  # who calls matters to stages within members
    key = about + b"\0" + key_of(request)
    plain = len(key) <= _LONGEST_KEY and not request.meta.headers  # clients choose its length; headers may be secret
    return key if plain else blake2b(key).digest()


def _for_caller(reply: Set | Log | Ack, age: float | None) -> Set | Log | Ack:
    """Return a reply of a shared answer as one of its callers gets it now."""
    details = dated(reply.details) if reply.details else reply.details
    if age is not None and isinstance(reply, Set):
        details = {**details, "age": int(age)}
    if isinstance(reply, Log) or reply.value is None:
        return reply if details is reply.details else reply.replace(details=details)
    # A decoded value takes many times the memory of its bytes: it must end with the caller who wanted it.
    return reply.replace(value=Json(reply.value.raw), details=details)


def dated(details: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the details of a reply that came earlier, with the time of now in its headers."""
    headers = details.get("headers")
    if headers is None:
        return details
    second = int(time.time())
    try:
        found = _known_dated(tuple(headers), second)  # the same for all who ask in this second
    except TypeError:
        found = _dated(headers, second)  # a pair is a list: it came over the wire
    return {**details, "headers": found}


def _dated(headers: Iterable[tuple[bytes, bytes]], second: int) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name, _date(second) if name.lower() == _DATE else value) for name, value in headers)


_known_dated: Final = lru_cache(maxsize=64)(_dated)


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()
