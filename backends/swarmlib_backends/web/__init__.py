"""`web`: a live page about a running chain."""

from .web import Web

__all__ = ["Web"]
