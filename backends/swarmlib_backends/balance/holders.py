"""Calls that concern every engine with an image: it is tagged or removed on all of them or, if possible, on none."""

from __future__ import annotations

from collections.abc import Iterable

from swarmlib import UNSENT, NotFound, Request, Unsupported

from ..dockerapi.status import refusal, status_of
from .fanout import Outcome, ask_all, settle
from .members import Members
from .objects import Container


async def change(members: Members, request: Request) -> Outcome:
    """Change an image on every engine that has it and is up; return their answers.

    The engines whose containers use the image are asked first, and the others only if none of those refused.

    Raises:
        SwarmError: an engine refused or failed; the error says on which engines the image was changed nevertheless.
        NotFound: no engine has the image.
        Unavailable: no engine is up, or no engine that is up has the image.
    """
    present = [member for member in members.all if member.up]
    await settle(present, "containers", "images")
    ids = {item.id for item in members.index.find("images", request.path[1])}
    using = [member for member in present if _uses(members.index.containers_on(member), ids)]
    outcome = Outcome()
    for asked in (using, [member for member in members.all if member not in using]):
        outcome.add(await ask_all(asked, request))
        for member, _ in outcome.answers:
            member.mirror.touch_kind("images")
        _check_refusals(outcome)
    outcome.must_have_answers()
    return outcome


def _check_refusals(outcome: Outcome) -> None:
    """Raise the refusal or failure of an engine: in its own words if nothing was done, else with what was done where.

    An engine that does not have the image, or is down, does not count as refusing: it is reported beside the answer.
    """
    refused = [
        (member, exc)
        for member, exc in outcome.failures
        if not isinstance(exc, NotFound | Unsupported) and not exc.details.get(UNSENT)
    ]
    if not refused:
        return
    first = refused[0][1]
    if not outcome.answers:
        raise first
    said = "; ".join(f"{exc.message} (on {member.name})" for member, exc in refused)
    done = ", ".join(member.name for member, _ in outcome.answers)
    raise refusal(status_of(first), f"{said}; but it was done on {done}")


def _uses(containers: Iterable[Container], images: set[str]) -> bool:
    return any(each.image_id in images for each in containers)
