"""The rules of the conformance kit. Each module adds its own when it is imported; they are checked in that order."""

from importlib import import_module

from .rule import RULES, Rule

for _name in ("opening", "answering", "objects", "calls", "streams"):
    import_module(f".{_name}", __name__)

__all__ = ["RULES", "Rule"]
