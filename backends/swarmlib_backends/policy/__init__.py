"""`policy`: a stage that allows what its rules allow, and nothing else."""

from .policy import Policy

__all__ = ["Policy"]
