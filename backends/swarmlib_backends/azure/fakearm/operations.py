"""Asynchronous operations: the work that continues after ARM has answered 201 or 202, and how a client follows it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import trio

from ...http.serving import Answer, Body
from .errors import ArmError

_log = logging.getLogger(__name__)

Work: TypeAlias = Callable[[], Awaitable[Any]]
"""The work of an operation; it returns the operation's result (or None), or raises an ArmError to fail."""


@dataclass
class Operation:
    """One operation; `path` is where its status is requested."""

    id: str
    path: str
    started: datetime
    ended: datetime | None = None
    status: Literal["InProgress", "Succeeded", "Failed", "Canceled"] = "InProgress"
    error: ArmError | None = None
    result: Any = None
    done: trio.Event = field(default_factory=trio.Event)
    _scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    async def run(self, work: Work) -> None:
        """Do the work, and record how it ended."""
        try:
            with self._scope:
                self.result = await work()
                self._end("Succeeded")
        except ArmError as exc:
            self._end("Failed", exc)
        except Exception as exc:  # noqa: BLE001 - the client is told, and the fake goes on
            _log.exception("fakearm: an operation failed by a bug of the fake's, or of its machines")
            self._end("Failed", ArmError(500, "InternalExecutionError", f"An internal execution error occurred: {exc}"))
        finally:
            self.done.set()

    def preempt(self) -> None:
        """End the operation, because a newer one takes over."""
        message = "Operation execution has been preempted by a more recent operation."
        self._end("Canceled", ArmError(409, "OperationPreempted", message))
        self._scope.cancel()

    def _end(self, status: Literal["Succeeded", "Failed", "Canceled"], error: ArmError | None = None) -> None:
        if self.status == "InProgress":
            self.status, self.error, self.ended = status, error, datetime.now(UTC)

    def body(self) -> Body:
        """Return the operation's status, as `Azure-AsyncOperation` shows it."""
        found: Body = {"startTime": self.started.isoformat(), "status": self.status, "name": self.id}
        if self.ended is not None:
            found["endTime"] = self.ended.isoformat()
        if self.result is not None:
            found["properties"] = {"output": self.result}
        if self.error is not None:
            found["error"] = self.error.body
        return found

    def outcome(self, headers: dict[str, str]) -> Answer:
        """Return what `Location` answers: 202 with `headers` until the operation has ended, then its outcome."""
        if self.status == "InProgress":
            return Answer(202, None, headers)
        if self.error is not None:
            return self.error.answer()
        return Answer(200 if self.result is not None else 204, self.result)
