"""The backend `swarm`: the nodes of a swarm as the members of a balance."""

from .swarm import Swarm

__all__ = ["Swarm"]
