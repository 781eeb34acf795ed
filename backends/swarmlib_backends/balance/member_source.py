"""The hook by which members of a balance come from elsewhere: `balance (SOURCE)` has the members of the source.

A source makes each of its nodes a member by a chain that reaches it (`members.join`), and removes it by
`members.leave`. It also says what only it knows of a node: `Node.attributes`, and `Node.closed`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager

from swarmlib import Chain

from .members import Members


class MemberSource(ABC):
    """Provides a balance with members."""

    @abstractmethod
    def provision(self, members: Members, /) -> AbstractAsyncContextManager[None]:
        """Provide members as long as the context is open: when it opens, add those that exist.

        Raises:
            SwarmError: the members can't be provided; the balance does not open then.
        """


def source_of(chain: Chain) -> MemberSource | None:
    """Return the source of members that a chain consists of; None if the chain is a member itself."""
    first, *others = chain.backends
    return first if isinstance(first, MemberSource) and not others else None
