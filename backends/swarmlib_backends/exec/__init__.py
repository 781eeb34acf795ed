"""Local processes as workloads."""

from .exec import Exec

__all__ = ["Exec"]
