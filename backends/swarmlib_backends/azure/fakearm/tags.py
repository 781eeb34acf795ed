"""Microsoft.Resources/tags: the tags of a resource or a group, changed one by one: SCOPE/providers/…/tags/default."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from ...dockerapi.nullable import dict_of
from ...http.serving import Answer, Body
from . import errors
from .errors import ArmError
from .resource import Resource, ResourceId
from .state import ArmCall, State
from .taglimits import check_tags

TAGS: Final = re.compile(r"(/subscriptions/.+)/providers/Microsoft\.Resources/tags/default", re.IGNORECASE)
_GROUP: Final = re.compile(r"/subscriptions/[^/]+/resourceGroups/([^/]+)", re.IGNORECASE)

_Tags = dict[str, str]
_CHANGES: Final[Mapping[str, Callable[[_Tags, _Tags], _Tags]]] = {
    "replace": lambda _old, given: given,
    "merge": lambda old, given: {**old, **given},
    "delete": lambda old, given: {name: value for name, value in old.items() if given.get(name) != value},
}


class Tags:
    """The tags of every resource and group, as objects of their own. A change is done when it is answered."""

    def __init__(self, state: State, busy: Callable[[Resource], ArmError]) -> None:
        self._state = state
        self._busy = busy

    def answer(self, scope: str, call: ArmCall) -> Answer:
        """Answer a request about the tags of a scope.

        Raises:
            ArmError: there is no such scope, or it is a resource that can't be changed now.
        """
        body = self._body(scope)
        match call.request.method:
            case "GET":
                pass
            case "PUT":
                self._change(scope, body, call, "replace")
            case "PATCH":
                self._change(scope, body, call, str(call.json().get("operation", "")).lower())
            case "DELETE":
                body["tags"] = {}
                return Answer(200)
            case method:
                raise ArmError(405, "MethodNotAllowed", f"The request's method {method} is not allowed here.")
        shown = {"id": f"{scope}/providers/Microsoft.Resources/tags/default", "name": "default"}
        tags = dict(body.get("tags") or {})
        return Answer(200, {**shown, "type": "Microsoft.Resources/tags", "properties": {"tags": tags}})

    def _body(self, scope: str) -> Body:
        if match := _GROUP.fullmatch(scope):
            return self._state.group(match[1]).body
        if (id := ResourceId.parse(scope)) is None:
            raise ArmError(404, "NotFound", f"There is nothing at {scope}.")
        return self._state.get(id).body

    def _change(self, scope: str, body: Body, call: ArmCall, operation: str) -> None:
        if (change := _CHANGES.get(operation)) is None:
            raise errors.bad("InvalidTagsOperation", f"The operation '{operation}' on tags is not valid.", "operation")
        resource = self._state.resources.get(scope.lower())
        if resource is not None and resource.busy:
            raise self._busy(resource)
        given: _Tags = dict_of(dict_of(call.json().get("properties")).get("tags"))
        changed = change(body.get("tags") or {}, given)
        check_tags(changed)
        body["tags"] = changed
