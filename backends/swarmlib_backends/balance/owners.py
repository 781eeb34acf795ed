"""Finding the engine that has an object: by full id, unique name, unique id prefix, or `engine/name`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from swarmlib import Ambiguous, Message, NotFound, Path, SwarmError, Unavailable, Unsupported, Verb

from .asking import Outcome, ask_all
from .index import Item
from .lists import settle
from .members import Member
from .merge import EVERYWHERE
from .roster import Roster

_FIRST_FITS: frozenset[str] = frozenset({"images"})
"""Kinds of which one is as good as another on the next engine."""

_Found: TypeAlias = "tuple[Member, dict[str, Any]]"


async def find(roster: Roster, path: Path) -> tuple[Member, str]:
    """The engine that has an object, and the object's name there.

    Raises:
        NotFound: no engine has it. Ambiguous: several have; lists them. Unavailable: an engine that may have it, or
            the one that does, is down. Unsupported: the path names no object.
    """
    if len(path) < 2:
        raise Unsupported(f"balance can't tell which engine {'/'.join(path) or 'this'} concerns", path=path)
    kind, ref = path[:2]
    if kind == "networks" and ref in EVERYWHERE:
        return first_up(roster.members), ref
    addressed = _addressed(roster.members, ref)
    if addressed is not None and kind not in _FIRST_FITS:  # an image's name may begin so by itself
        return addressed
    items = await _indexed(roster, kind, ref)
    if items:
        return _sole(kind, ref, items).member, ref
    return addressed or (await _probed(roster, kind, ref), ref)


def _addressed(members: Sequence[Member], ref: str) -> tuple[Member, str] | None:
    """The engine that `engine/name` names, and the name there. Raises Unavailable if that engine is down."""
    for member in members:
        if ref.startswith(f"{member.name}/"):
            member.must_be_up()
            return member, ref[len(member.name) + 1 :]
    return None


def first_up(members: Sequence[Member]) -> Member:
    """Any engine that is up: the first, so that it is the same one each time.

    Raises:
        Unavailable: none is.
    """
    for member in members:
        if member.up:
            return member
    for member in members:
        member.must_be_up()
    raise Unavailable("no engine has answered yet" if members else "balance has no members now")


async def _indexed(roster: Roster, kind: str, ref: str) -> Sequence[Item]:
    items = roster.index.find(kind, ref)
    if not items and kind in ("images", "networks", "volumes"):
        await settle(roster.members, kind)
        items = roster.index.find(kind, ref)
    return items


def _sole(kind: str, ref: str, items: Sequence[Item]) -> Item:
    if len(items) == 1:
        return items[0]
    if kind in _FIRST_FITS or (len({item.id for item in items}) == 1 and all(item.shared for item in items)):
        return next((item for item in items if item.member.up), items[0])
    candidates = ", ".join(sorted(item.label for item in items))
    raise Ambiguous(f"{ref} fits more than one {kind.rstrip('s')}: {candidates}", path=(kind, ref))


async def _probed(roster: Roster, kind: str, ref: str) -> Member:
    """Ask every engine for what the index doesn't know, once."""
    outcome = await ask_all(roster.members, Message(Verb.GET, (kind, ref)))
    found: list[_Found] = [(member, answer.value or {}) for member, answer in outcome.answers]
    if kind in _FIRST_FITS and found:
        return found[0][0]
    exact = [hit for hit in found if ref in (hit[1].get("ID"), hit[1].get("Id"))]
    named = [hit for hit in found if _name(hit[1]) == ref.lstrip("/")]
    fitting = exact or named or found
    if len(fitting) > 1:
        candidates = ", ".join(f"{member.name}/{_name(value)}" for member, value in fitting)
        raise Ambiguous(f"{ref} fits more than one {kind.rstrip('s')}: {candidates}", path=(kind, ref))
    if not fitting:
        raise _nobody_has(outcome)
    member, value = fitting[0]
    if kind == "containers" and "Id" in value:
        member.mirror.spawned(value["Id"], _name(value))
    elif kind == "exec":
        member.mirror.learn_exec(ref)
    return member


def _name(inspected: dict[str, Any]) -> str:
    return str(inspected.get("Name") or "").lstrip("/")


def _nobody_has(outcome: Outcome) -> SwarmError:
    """Not found; but first a refusal (an ambiguous prefix), and that one which might have it can't be asked. That a
    member has no such objects counts last.
    """
    failures = [exc for _, exc in outcome.failures]
    errors = [exc for exc in failures if not isinstance(exc, Unsupported)]
    refused = [exc for exc in errors if not isinstance(exc, NotFound)]
    return (refused or errors or failures or [Unavailable("balance has no members now")])[0]
