"""The scope of the caller's role: what lies outside of it is refused, or missing from lists, as in Azure."""

from __future__ import annotations

import re
from typing import Any, Final

from ...http.serving import Answer
from .errors import ArmError

_VERBS: Final = {"GET": "read", "HEAD": "read", "DELETE": "delete", "POST": "action"}
_LISTS: Final = re.compile(r"/(resourcegroups|resources)", re.IGNORECASE)
"""The lists of the whole subscription that leave out what the caller may not see, instead of being refused."""


class Role:
    """What the caller may do: everything within a scope, such as a group's id; with "", everywhere."""

    def __init__(self) -> None:
        self.scope = ""

    def check(self, method: str, path: str, rest: str) -> None:
        """Check a request; `rest` is its path without the subscription.

        Raises:
            ArmError: it is for something outside of the scope (AuthorizationFailed).
        """
        if self._covers(path) or (method == "GET" and _LISTS.fullmatch(rest)):
            return
        action = f"{rest.partition('/providers/')[2] or rest.strip('/')}/{_VERBS.get(method, 'write')}"
        message = "The client 'fake' with object id 'fake' does not have authorization to perform action"
        detail = f"'{action}' over scope '{path}' or the scope is invalid. If access was recently granted, please"
        raise ArmError(403, "AuthorizationFailed", f"{message} {detail} refresh your credentials.")

    def filter(self, rest: str, answer: Answer) -> None:
        """Take out of a list of the whole subscription what is outside of the scope."""
        if self.scope and _LISTS.fullmatch(rest) and answer.status == 200:
            listed: list[Any] = answer.body["value"]
            answer.body["value"] = [each for each in listed if self._covers(str(each["id"]))]

    def _covers(self, path: str) -> bool:
        scope = self.scope.lower()
        return not scope or path.lower() == scope or path.lower().startswith(f"{scope}/")
