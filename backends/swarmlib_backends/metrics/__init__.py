"""`metrics`: what is observed of a chain, for Prometheus, and whether the chain lives and is ready."""

from .metrics import Metrics

__all__ = ["Metrics"]
