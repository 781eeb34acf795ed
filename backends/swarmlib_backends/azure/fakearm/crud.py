"""PUT, PATCH, GET, DELETE, lists and actions, for all types of resources alike; the types are `Kind`s."""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlencode

from ...http.serving import Answer, Body
from . import errors
from .errors import ArmError
from .kind import Action, Kind
from .operations import Operation
from .resource import Resource, ResourceId
from .state import ArmCall, State
from .taglimits import check_tags
from .world import canonical

PAGE: Final = 50
"""The number of resources on a page."""


class Crud:
    """The resources of all types, as requests operate on them."""

    def __init__(self, state: State, kinds: Iterable[Kind]) -> None:
        self._state = state
        self.kinds: Mapping[str, Kind] = {kind.type.lower(): kind for kind in kinds}

    def kind(self, type: str) -> Kind:
        """Return the kind of a type.

        Raises:
            ArmError: there is no such type.
        """
        if (found := self.kinds.get(type.lower())) is None:
            provider, _, rest = type.partition("/")
            message = f"The resource type '{rest}' could not be found in the namespace '{provider}'."
            raise ArmError(404, "InvalidResourceType", message)
        return found

    async def on_resource(self, id: ResourceId, call: ArmCall) -> Answer:
        """Answer a request to a resource itself."""
        kind = self.kind(id.type)
        match call.request.method:
            case "PUT":
                return self._put(kind, id, call)
            case "GET":
                return Answer(200, kind.view(self._state.get(id), call.request.query))
            case "PATCH":
                return self._patch(kind, id, call)
            case "DELETE":
                return self._delete(kind, id, call)
            case method:
                raise ArmError(405, "MethodNotAllowed", f"The request's method {method} is not allowed here.")

    def listed(self, type: str, call: ArmCall, group: str = "", parent: ResourceId | None = None) -> Answer:
        """List the resources of a type, page by page: all, a group's, or the parts of one resource.

        Raises:
            ArmError: the group or the resource doesn't exist.
        """
        kind = self.kind(type)
        if group:
            self._state.group(group)
        if parent is not None:
            self._state.get(parent)
            found = self._state.children(parent, type.rpartition("/")[2])
        else:
            found = [*self._state.of_type(type, group)]
        return self.page([partial(kind.listed, each, call.request.query) for each in found], call)

    def page(self, items: list[Any], call: ArmCall) -> Answer:
        """Return a page of a list; only the items on that page are made."""
        start = _skipped(call.request.query)
        body: Body = {"value": [item() for item in items[start : start + PAGE]]}
        if start + PAGE < len(items):
            token = base64.b64encode(str(start + PAGE).encode()).decode()
            body["nextLink"] = _with_query(call, {"$skiptoken": token})
        return Answer(200, body)

    async def act(self, id: ResourceId, name: str, call: ArmCall) -> Answer | None:
        """Run an action of a resource; return None if the type has no such action."""
        kind = self.kind(id.type)
        action = kind.actions.get(name.lower())
        if action is None or action.method != call.request.method:
            return None
        resource = self._state.get(id)
        if action.later:
            return self._act_later(kind, action, resource, call)
        result = await action.run(resource, call)
        return Answer(action.empty if result is None else 200, result)

    def _act_later(self, kind: Kind, action: Action, resource: Resource, call: ArmCall) -> Answer:
        self._refuse_busy(kind, resource)
        action.check(resource)

        async def work() -> Any:
            await self._state.work(call, kind.weight)
            return await action.run(resource, call)

        operation = self._begin(resource, work, call)
        return Answer(202, None, self.headers(operation, call, location=True))

    def _put(self, kind: Kind, id: ResourceId, call: ArmCall) -> Answer:
        old = self._state.resources.get(id.key)
        self._check_place(id)
        body = call.json()
        return self._write(kind, id if old is None else old.id, body, old, call)

    def _patch(self, kind: Kind, id: ResourceId, call: ArmCall) -> Answer:
        old = self._state.get(id)
        return self._write(kind, old.id, kind.patched(old, call.json()), old, call)

    def _write(self, kind: Kind, id: ResourceId, body: Body, old: Resource | None, call: ArmCall) -> Answer:
        _check_match(old, call.request.headers)
        if old is not None:
            self._refuse_busy(kind, old)
        resource = Resource(id, copy.deepcopy(body), dict(old.hidden) if old else {})
        resource.body.update(id=str(id), name=id.name, type=kind.type)
        resource.body.setdefault("properties", {})
        check_tags(resource.body.get("tags") or {})
        if kind.located:
            self._state.policies.check(kind.type, id.name, body)
            self._locate(resource, old)
        kind.prepare(resource, old, call)
        resource.state = kind.working if old is None else "Updating"
        self._state.resources[id.key] = resource
        kind.accepted(resource, old)
        resource.note_references()

        async def work() -> None:
            try:
                await self._state.work(call, kind.weight)
                await kind.provision(resource, old)
            except Exception:
                resource.state = "Failed"
                raise
            resource.state = "Succeeded"

        operation = self._begin(resource, work, call)
        status = kind.created if old is None else kind.updated
        answer = Answer(status, kind.view(resource, {}), self.headers(operation, call, location=status == 202))
        if call.request.method == "PATCH":
            answer.status = 202 if kind.updated == 202 else 200
        return answer

    def _delete(self, kind: Kind, id: ResourceId, call: ArmCall) -> Answer:
        self._state.group(id.group)
        if (resource := self._state.resources.get(id.key)) is None:
            return Answer(204)
        before = resource.operation
        if before is not None and resource.busy and resource.state == "Deleting":
            return Answer(202, None, self.headers(before, call, location=True))
        kind.check_delete(resource)
        if before is not None and resource.busy:
            if kind.weight < 1:
                raise kind.busy_error(resource)
            before.preempt()  # a machine may be deleted while it is being created
        resource.state = "Deleting"

        async def work() -> None:
            if before is not None:
                await before.done.wait()
            try:
                await self._state.work(call, kind.weight)
                await kind.remove(resource)
            except Exception:
                resource.state = "Failed"
                raise
            self._state.drop(resource.id)

        operation = self._begin(resource, work, call)
        return Answer(202, None, self.headers(operation, call, location=True))

    def _check_place(self, id: ResourceId) -> None:
        group = self._state.group(id.group)
        if group.operation is not None and group.operation.status == "InProgress":
            message = f"The resource group '{id.group}' is in deprovisioning state and cannot perform this operation."
            raise errors.conflict("ResourceGroupBeingDeleted", message)
        if (parent := id.parent) is None:
            return
        if parent.key not in self._state.resources:
            message = (
                f"Can not perform requested operation on nested resource. Parent resource '{parent.name}' not found."
            )
            raise ArmError(404, "ParentResourceNotFound", message)
        if parent.provider.lower() == "microsoft.network":
            self._refuse_busy(self.kind(parent.type), self._state.resources[parent.key])

    def _locate(self, resource: Resource, old: Resource | None) -> None:
        if not (location := resource.body.get("location")):
            raise errors.bad("LocationRequired", "The location property is required for this definition.")
        resource.body["location"] = canonical(location)
        self._state.region(resource.location, resource.id.type)
        if old is not None and old.location != resource.location:
            message = f"The resource '{resource.id.name}' already exists in location '{old.location}' in resource group"
            detail = f"'{resource.id.group}'. A resource with the same name cannot be created in location"
            raise errors.conflict("InvalidResourceLocation", f"{message} {detail} '{resource.location}'.")

    def _refuse_busy(self, kind: Kind, resource: Resource) -> None:
        if resource.busy:
            raise kind.busy_error(resource)

    def _begin(self, resource: Resource, work: Any, call: ArmCall) -> Operation:
        operation = self._state.begin(resource.id.provider, resource.location or "global", work)
        resource.operation = operation
        parent = self._state.resources.get(resource.id.parent.key) if resource.id.parent else None
        if parent is not None and parent.id.provider.lower() == "microsoft.network":
            parent.operation = operation
        return operation

    def headers(self, operation: Operation, call: ArmCall, *, location: bool) -> dict[str, str]:
        """Return the headers by which a client follows an operation."""
        base, version = call.request.base, call.request.query.get("api-version", "")
        path = quote(operation.path)
        found = {"Azure-AsyncOperation": f"{base}{path}?api-version={version}"}
        if location:
            path = path.replace("/operations/", "/operationResults/")
            found["Location"] = f"{base}{path}?api-version={version}"
        return found | self._state.waiting()


def _check_match(old: Resource | None, headers: Mapping[str, str]) -> None:
    etag = old.body.get("etag") if old else None
    wanted, unwanted = headers.get("if-match"), headers.get("if-none-match")
    if (wanted is not None and wanted not in ("*", etag)) or (wanted == "*" and old is None):
        message = f"The condition '{wanted}' in the If-Match header was not satisfied. The current value is '{etag}'."
        raise ArmError(412, "PreconditionFailed", message)
    if unwanted == "*" and old is not None:
        message = "The condition '*' in the If-None-Match header was not satisfied: the resource exists already."
        raise ArmError(412, "PreconditionFailed", message)


def _skipped(query: Mapping[str, str]) -> int:
    if (token := query.get("$skiptoken")) is None:
        return 0
    try:
        return int(base64.b64decode(token, validate=True))
    except ValueError as exc:
        raise errors.bad("InvalidSkipToken", f"The skip token '{token}' is invalid.") from exc


def _with_query(call: ArmCall, more: Mapping[str, str]) -> str:
    query = urlencode(dict(call.request.query) | dict(more), safe="$/")
    return f"{call.request.base}{quote(call.request.path)}?{query}"
