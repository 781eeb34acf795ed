"""What a balance offers to the operator: its engines, as it follows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swarmlib import Request, Server

from ..observe.engines import row
from .member import Member
from .members import Members
from .objects import RUNNING


@dataclass
class EnginesDesk(Server):
    """Lists the members (`ls engines`)."""

    members: Members

    async def ls(self, _: Request) -> list[dict[str, Any]]:
        """List the engines: whether each is up, what it holds, and what its containers reserve."""
        return [
            row(
                member.name,
                up=member.up,
                trouble="" if member.up else member.trouble,
                down_seconds=member.down_seconds,
                index_age=member.silent_seconds,
                about=member.about,
                containers=self.members.index.count(member),
                running=sum(each.state in RUNNING for each in self.members.index.containers_on(member)),
                **_reserved(member),
            )
            for member in self.members.all
        ]


def _reserved(member: Member) -> dict[str, int]:
    """Return what its containers reserve; {} if it must be asked first, which happens at its next check."""
    if not member.knows_claims():
        return {}
    return {"cpus_reserved": member.load.cpus, "memory_reserved": member.load.memory}
