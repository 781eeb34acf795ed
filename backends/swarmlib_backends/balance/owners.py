"""Finding the engine that has an object: by full id, unique name, unique id prefix, or `engine/name`.

The index answers, but the engines decide: they are asked if the index knows no such object, or several, and if the
engine that it names says that it has no such object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from swarmlib import Ambiguous, Invalid, NotFound, Path, Request, SwarmError, Unavailable, Unsupported, Verb

from . import swarm_mode
from .fanout import Outcome, ask_all, representative, settle
from .member import Member
from .members import Members
from .node import EVERYWHERE
from .objects import Item

_DENIALS: Final = (NotFound, Invalid)
"""The errors of an engine that does not have an object; it may also call the name itself invalid."""
_FIRST_FITS: Final[frozenset[str]] = frozenset({"images"})
"""Kinds of objects that are interchangeable between engines."""

_Found: TypeAlias = "tuple[Member, dict[str, Any]]"


class Owner(NamedTuple):
    """The engine that has an object."""

    member: Member
    kind: str
    ref: str
    """The object's name on that engine."""
    certain: bool
    """Whether no other engine needs to be asked if this one says that it has no such object."""
    missing: bool = False
    """Whether no engine has the object, and this one reports that."""
    id: str = ""
    """The object's full id, as the index knows it; "" if it was not found there."""

    def there(self, path: Path) -> Path:
        """Return a path with the name that its object has on its engine."""
        return path if self.ref == path[1] else (path[0], self.ref, *path[2:])


async def find(members: Members, path: Path) -> Owner:
    """Find the engine that has an object. If none has it, return one that reports that in its own words.

    Raises:
        Ambiguous: several engines have it; the error lists them.
        Unavailable: the engine that has it, or one that may have it, is down.
        Unsupported: the path names no object, or no engine supports objects of the kind.
    """
    if len(path) < 2:
        raise Unsupported(f"balance can't tell which engine {'/'.join(path) or 'this'} concerns", path=path)
    kind, ref = path[:2]
    if kind == "networks" and ref in EVERYWHERE:
        return Owner(first_up(members.all), kind, ref, certain=True)
    addressed = _addressed(members.all, ref) if "/" in ref else None
    if addressed is not None and kind not in _FIRST_FITS:  # an image's name may begin so by itself
        return Owner(addressed[0], kind, addressed[1], certain=True)
    items = members.index.find(kind, ref)
    if _may_be_behind(kind, items):
        await settle(members.all, kind)
        items = members.index.find(kind, ref)
    if len(items) > 1 and not _alike(kind, items):
        items = tuple([item for item in items if await may_exist(members, kind, item)])
    if items:
        if items[0].shared and _alike(kind, items):  # only a manager changes it
            # The manager may not show it at the moment: a node that stops using such a network tells that as its end.
            swarm = members.index.places(kind, items[0].id)
            speaker = await manager([member for member in members.all if member in swarm])
            return Owner(speaker, kind, items[0].id, certain=False, id=items[0].id)
        item = items[0] if len(items) == 1 else _one_of(kind, ref, items)
        return Owner(members.of(item.node), kind, ref, certain=False, id=item.id)
    if addressed is not None:
        return Owner(addressed[0], kind, addressed[1], certain=True)
    outcome = await ask_all(members.all, Request(Verb.GET, (kind, ref)))
    if outcome.answers:
        return Owner(_chosen(kind, ref, outcome), kind, ref, certain=True)
    return Owner(_denying(outcome), kind, ref, certain=True, missing=True)


async def elsewhere(members: Members, owner: Owner, said: NotFound) -> Owner:
    """Find the engine of an object that `owner`, contrary to the index, does not have, and update the index.

    Raises:
        NotFound: `said`: no engine has the object, or `owner` has it and meant something else.
        Ambiguous: several engines have it.
        SwarmError: an engine that may have it can't be asked.
    """
    kind, ref = owner.kind, owner.ref
    outcome = await ask_all(members.all, Request(Verb.GET, (kind, ref)))
    if owner.member in [member for member, _ in outcome.answers]:
        raise said
    for item in members.index.find(kind, ref):
        if item.node is owner.member:
            owner.member.mirror.removed(kind, item.id)
    owner.member.mirror.touch_kind(kind)
    if not outcome.answers:
        _check_doubts(outcome)
        raise said
    return Owner(_chosen(kind, ref, outcome), kind, ref, certain=True)


def _addressed(members: Sequence[Member], ref: str) -> tuple[Member, str] | None:
    """Return the engine that `engine/name` names, and the name. Raise Unavailable if that engine is down."""
    for member in members:
        if ref.startswith(f"{member.name}/"):
            member.must_be_up()
            return member, ref[len(member.name) + 1 :]
    return None


def first_up(members: Sequence[Member]) -> Member:
    """Return an engine that is up: the first, so that it is the same one each time.

    Raises:
        Unavailable: no engine is up.
    """
    for member in members:
        if member.up:
            return member
    for member in members:
        member.must_be_up()
    raise Unavailable("no engine has answered so far" if members else "balance has no members at the moment")


async def manager(members: Sequence[Member]) -> Member:
    """Return the member that manages a swarm; without one, the first that answers, which then reports that.

    Raises:
        Unavailable: no manager answers, but there is one.
        SwarmError: no engine answers.
    """
    outcome = await _described(members)
    if (found := swarm_mode.speaker(about for _, about in outcome.values)) is not None:
        return outcome.answers[found][0]
    for member, exc in outcome.failures:
        if swarm_mode.is_manager(member.about):
            text = f"{member.name}, which manages the swarm, does not answer: {exc.message}"
            raise Unavailable(text, backend=member.name)
    return outcome.answers[0][0]


async def locked(members: Sequence[Member]) -> Member:
    """Return the member whose swarm is locked; without one, as `manager`; raise what that raises."""
    outcome = await _described(members)
    for member, answer in outcome.answers:
        if swarm_mode.state(answer.value) == swarm_mode.LOCKED:
            return member
    return await manager(members)


async def _described(members: Sequence[Member]) -> Outcome:
    outcome = await ask_all(members, Request(Verb.GET))
    outcome.must_have_answers()
    return outcome


def managers_first(members: Sequence[Member]) -> list[Member]:
    """Return the members, those first that managed a swarm when they last described themselves."""
    return sorted(members, key=lambda member: not swarm_mode.is_manager(member.about))


def _may_be_behind(kind: str, items: Sequence[Item]) -> bool:
    """Return whether the index may find other objects of the kind once the engines' events were applied."""
    # An image's name can move, and a worker's events do not say that a network is the one of a swarm.
    return kind in ("images", "networks") or (kind == "volumes" and len(items) != 1)


async def may_exist(members: Members, kind: str, item: Item) -> bool:
    """Return whether an object of the index still exists, or may exist because its engine can't be asked.

    If it does not exist, the index forgets it.
    """
    if not item.node.up:
        return True
    member = members.of(item.node)
    try:
        await member.ask(Request(Verb.GET, (kind, item.id)))
    except NotFound:
        member.mirror.removed(kind, item.id)
        return False
    except SwarmError:
        return True
    return True


def _alike(kind: str, items: Sequence[Item]) -> bool:
    """Return whether it does not matter which of the objects is meant."""
    return kind in _FIRST_FITS or (len({item.id for item in items}) == 1 and all(item.shared for item in items))


def _one_of(kind: str, ref: str, items: Sequence[Item]) -> Item:
    if _alike(kind, items):
        return next((item for item in items if item.node.up), items[0])
    candidates = ", ".join(sorted(item.label for item in items))
    raise _ambiguous(kind, ref, candidates)


def _ambiguous(kind: str, ref: str, candidates: str) -> Ambiguous:
    return Ambiguous(f"{ref} fits more than one {kind.rstrip('s')}: {candidates}", path=(kind, ref))


def _chosen(kind: str, ref: str, outcome: Outcome) -> Member:
    """Return the engine that has an object, of those that answered, and update the index."""
    found: list[_Found] = [(member, answer.value or {}) for member, answer in outcome.answers]
    exact = [hit for hit in found if ref in (hit[1].get("ID"), hit[1].get("Id"))]
    named = [hit for hit in found if _name(hit[1]) == ref.lstrip("/")]
    fitting = exact or named or found
    if len(fitting) > 1 and kind not in _FIRST_FITS:
        raise _ambiguous(kind, ref, ", ".join(f"{member.name}/{_name(value)}" for member, value in fitting))
    member, value = fitting[0]
    if kind == "containers" and "Id" in value:
        member.mirror.spawned(value["Id"], _name(value))
    elif kind == "exec":
        member.mirror.learn_exec(ref)
    else:
        member.mirror.touch_kind(kind)
    return member


def _name(inspected: dict[str, Any]) -> str:
    return str(inspected.get("Name") or "").lstrip("/")


def _denying(outcome: Outcome) -> Member:
    """Return an engine that reports that there is no such object, when no engine has it.

    Raises:
        SwarmError: an engine that might have it refuses to say (an ambiguous prefix), or can't be asked.
        Unsupported: no engine supports objects of the kind.
    """
    _check_doubts(outcome)
    for member, exc in outcome.failures:
        if isinstance(exc, _DENIALS):
            return member
    raise representative([exc for _, exc in outcome.failures])


def _check_doubts(outcome: Outcome) -> None:
    for _, exc in outcome.failures:
        if not isinstance(exc, (*_DENIALS, Unsupported)):
            raise exc
