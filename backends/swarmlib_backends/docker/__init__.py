"""`docker`: a Docker engine at the end of a chain."""

from .docker import Docker

__all__ = ["Docker"]
