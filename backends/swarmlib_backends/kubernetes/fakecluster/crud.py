"""What requests do with objects: create, get, list, watch, update, patch, delete."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, cast

import orjson
import trio

from ...dockerapi.nullable import dict_of
from ...http.serving import Answer, Body, Request, Write
from ..api.resources import ACCESS_REVIEWS, Resource
from .errors import StatusError, bad_request, expired, expired_list, unsupported_media_type
from .objects import Objects
from .rights import Act, User
from .selectors import Selector, by_fields, by_labels
from .store import Change, key_of

BOOKMARK_SECONDS: Final = 60.0
"""How long a watch tells nothing before it tells a bookmark."""
_ACCEPTED: Final = "application/json, application/yaml, application/vnd.kubernetes.protobuf"


class Crud:
    """The verbs of all kinds."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.bookmark_seconds = BOOKMARK_SECONDS
        self._watches: set[trio.CancelScope] = set()

    def break_watches(self) -> None:
        """Break all watches off, as a load balancer that restarts does."""
        for scope in list(self._watches):
            scope.cancel()

    def answer(self, act: Act, request: Request, user: User) -> Answer:
        """Do what a request wants.

        Raises:
            StatusError: the apiserver would refuse it.
        """
        if act.resource is ACCESS_REVIEWS:
            return Answer(201, _review(_body(request), user))
        part, dry = act.subresource, request.query.get("dryRun") == "All"
        key = (act.namespace, act.name)
        match act.verb:
            case "get":
                return Answer(200, self._objects.find(act.resource, key))
            case "list":
                return Answer(200, self._listed(act, request.query))
            case "watch":
                return self._watch(act, request.query)
            case "create":
                return Answer(201, self._objects.create(act.resource, act.namespace, _body(request), dry=dry))
            case "update":
                return Answer(200, self._objects.replace(act.resource, key, _body(request), part=part, dry=dry))
            case "patch":
                patch, type = _parsed(request), _media_type(request)
                return Answer(200, self._objects.patch(act.resource, key, patch, type, part=part, dry=dry))
            case "delete":
                return Answer(200, self._objects.delete(act.resource, key, _options(request), dry=dry))
            case _:
                return Answer(200, self._delete_all(act, request))

    def _delete_all(self, act: Act, request: Request) -> Body:
        fits = _selector(act, request.query)
        found = [each for each in self._objects.store.all(act.resource, act.namespace) if fits(each)]
        for each in found:
            self._objects.delete(act.resource, key_of(each), _options(request))
        return _list(act.resource, found, self._objects.store.version)

    # Lists.

    def _listed(self, act: Act, query: Mapping[str, str]) -> Body:
        store, limit = self._objects.store, int(query.get("limit") or 0)
        version, start = _continued(query["continue"]) if query.get("continue") else (store.version, "")
        if version < store.oldest:
            raise expired_list()
        fits = _selector(act, query)
        at = [each for each in store.at(act.resource, act.namespace, version) if fits(each) and _place(each) > start]
        found = at[:limit] if limit else at
        listed = _list(act.resource, found, version)
        if len(found) < len(at):
            listed["metadata"]["continue"] = _token(version, _place(found[-1]))
            if not (query.get("labelSelector") or query.get("fieldSelector")):
                listed["metadata"]["remainingItemCount"] = len(at) - len(found)
        return listed

    # Watches.

    def _watch(self, act: Act, query: Mapping[str, str]) -> Answer:
        fits = _selector(act, query)
        return Answer(200, headers=_JSON, pieces=partial(self._tell, act, query, fits))

    async def _tell(self, act: Act, query: Mapping[str, str], fits: Selector, write: Write) -> None:
        asked = query.get("resourceVersion") or "0"
        seconds = float(query.get("timeoutSeconds") or 1800)
        bookmarks = query.get("allowWatchBookmarks") in ("1", "true")
        with trio.CancelScope() as broken:
            self._watches.add(broken)
            try:
                with self._objects.clock.until(self._objects.clock.now() + seconds):
                    await self._changes(act, int(asked), fits, bookmarks, write)
                if bookmarks:
                    await write(_bookmark(act.resource, self._objects.store.version))
            finally:
                self._watches.discard(broken)
        if broken.cancelled_caught:
            raise trio.BrokenResourceError("the watch was broken off")

    async def _changes(self, act: Act, asked: int, fits: Selector, bookmarks: bool, write: Write) -> None:
        store, seen = self._objects.store, asked
        if not asked:
            seen = store.version
            for each in store.all(act.resource, act.namespace):
                if fits(each):
                    await write(_event("ADDED", each))
        while True:
            if seen < store.oldest:
                await write(_event("ERROR", expired(seen, store.oldest).status))
                return
            now = store.version
            for line in _lines(act, store.since(seen), fits):
                await write(line)
            seen = now
            if bookmarks:
                with trio.move_on_after(self.bookmark_seconds) as silent:
                    await store.wait(seen)
                if silent.cancelled_caught:
                    await write(_bookmark(act.resource, seen))
            else:
                await store.wait(seen)


_JSON: Final = {"Content-Type": "application/json"}


def _lines(act: Act, changes: list[Change], fits: Selector) -> list[bytes]:
    lines: list[bytes] = []
    for change in changes:
        if change.plural != act.resource.plural or act.namespace not in ("", key_of(change.object)[0]):
            continue
        before = change.before is not None and fits(change.before)
        now = change.type != "DELETED" and fits(change.object)
        if before or now:
            type = "ADDED" if not before else "MODIFIED" if now else "DELETED"
            lines.append(_event(type, change.object))
    return lines


def _event(type: str, object: Body) -> bytes:
    return orjson.dumps({"type": type, "object": object}) + b"\n"


def _bookmark(resource: Resource, version: int) -> bytes:
    object: Body = {"kind": resource.kind, "apiVersion": resource.api_version}
    object["metadata"] = {"resourceVersion": str(version), "creationTimestamp": None}
    if resource.plural == "pods":
        object |= {"spec": {"containers": None}, "status": {}}
    return _event("BOOKMARK", object)


def _list(resource: Resource, items: list[Body], version: int) -> Body:
    """Return a list, whose items don't say what they are."""
    bare = [{name: value for name, value in each.items() if name not in ("kind", "apiVersion")} for each in items]
    metadata = {"resourceVersion": str(version)}
    return {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata, "items": bare}


def _place(object: Body) -> str:
    return "\0".join(key_of(object))


def _token(version: int, start: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": start})).decode()


def _continued(token: str) -> tuple[int, str]:
    try:
        found = orjson.loads(base64.urlsafe_b64decode(token))
        return int(found["rv"]), str(found["start"])
    except (ValueError, binascii.Error, LookupError, TypeError) as exc:
        raise bad_request(f"continue key is not valid: {exc}") from exc


def _selector(act: Act, query: Mapping[str, str]) -> Selector:
    labels, fields = (
        by_labels(query.get("labelSelector", "")),
        by_fields(query.get("fieldSelector", ""), act.resource.plural),
    )
    return lambda found: labels(found) and fields(found)


# Bodies.


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "application/json").partition(";")[0].strip()


def _parsed(request: Request) -> Any:
    try:
        return orjson.loads(request.body)
    except orjson.JSONDecodeError as exc:
        shown = request.body[:100].decode("utf-8", "replace")
        raise bad_request(f"couldn't get version/kind; json parse error: {exc} ({shown})") from exc


def _body(request: Request) -> Body:
    if _media_type(request) != "application/json":
        raise unsupported_media_type(_ACCEPTED)
    body = _parsed(request)
    if not isinstance(body, dict):
        raise bad_request("the object provided is unrecognized: it is no JSON object")
    return cast("Body", body)


def _options(request: Request) -> Body:
    """Return the options of a deletion, of the body and the query."""
    given: Body = _body(request) if request.body.strip() else {}
    query = request.query
    if "gracePeriodSeconds" in query:
        given["gracePeriodSeconds"] = int(query["gracePeriodSeconds"])
    if "propagationPolicy" in query:
        given["propagationPolicy"] = query["propagationPolicy"]
    return given


def _review(body: Body, user: User) -> Body:
    """Return an access review with its answer: whether the account may do what it asks about."""
    wanted: Mapping[str, str] = dict_of(body.get("spec")).get("resourceAttributes") or {}
    if not wanted:
        raise StatusError(422, "Invalid", "spec.resourceAttributes: Required value", {})
    below = f"/{wanted['subresource']}" if wanted.get("subresource") else ""
    asked = (wanted.get("verb", ""), wanted.get("group", ""), wanted.get("resource", "") + below)
    allowed = user.may(*asked, wanted.get("namespace", ""), wanted.get("name", ""))
    kept: Body = {
        "kind": ACCESS_REVIEWS.kind,
        "apiVersion": ACCESS_REVIEWS.api_version,
        "metadata": {},
        "spec": body["spec"],
    }
    return kept | {"status": {"allowed": allowed}}
