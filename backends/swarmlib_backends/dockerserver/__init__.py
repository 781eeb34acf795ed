"""`dockerserver`: a Docker API endpoint at the head of a chain."""

from .dockerserver import DockerServer

__all__ = ["DockerServer"]
