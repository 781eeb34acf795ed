"""`audit`: a stage that writes a line about each call to a file whose lines are chained."""

from .audit import Audit

__all__ = ["Audit"]
