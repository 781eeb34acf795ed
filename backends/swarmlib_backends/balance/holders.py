"""What concerns every engine that has an image: it is tagged or removed on all of them, or on none as far as can be."""

from __future__ import annotations

from collections.abc import Iterable

from swarmlib import UNSENT, NotFound, Request, Unsupported

from ..dockerapi.status import refusal, status_of
from .fanout import Outcome, ask_all, settle
from .members import Members
from .objects import Container


async def change(members: Members, request: Request) -> Outcome:
    """Change an image on every engine that has it and is up; gives what they answered.

    The engines whose containers use the image are asked first, and the others only if none of those refuses.

    Raises:
        SwarmError: an engine refused, or failed; says on which the image was changed nevertheless. NotFound: none has
            the image. Unavailable: no engine is up, or none that is has it.
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
    """Raise what an engine refused, or failed at: in its own words if nothing was done, else with what was done where.
    That it has no such image is no refusal, nor is that it is down: this is said beside the answer.
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
    return any(each.summary.get("ImageID") in images for each in containers)
