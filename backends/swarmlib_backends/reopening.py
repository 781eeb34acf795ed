"""Files that are opened or read again when the operator asks for it (SIGHUP): logs that logrotate has renamed, and the
configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class Reopening:
    """The stages of the chains that were opened in a context, as far as they have files to open again.

    Attributes:
        handlers: what each of them does; it must neither block nor raise.
    """

    handlers: list[Callable[[], object]] = field(default_factory=list[Callable[[], object]])

    def __call__(self) -> bool:
        """Have all files opened again; return whether there are any."""
        for handler in self.handlers:
            handler()
        return bool(self.handlers)


_held: ContextVar[Reopening | None] = ContextVar("reopening", default=None)


@contextmanager
def holding() -> Generator[Reopening]:
    """Take the handlers of the chains that are opened in this context."""
    held = Reopening()
    token = _held.set(held)
    try:
        yield held
    finally:
        _held.reset(token)


@contextmanager
def reopened(handler: Callable[[], object]) -> Generator[None]:
    """Have `handler` called whenever files are to be opened again; do nothing where nobody takes handlers."""
    held = _held.get()
    if held is None:
        yield
        return
    held.handlers.append(handler)
    try:
        yield
    finally:
        held.handlers.remove(handler)
