"""From a request's path and method to what it wants to do."""

from __future__ import annotations

from typing import Final

from ...http.serving import Request
from ..api.resources import Resource
from .errors import no_such_method, no_such_path
from .kinds import SUBRESOURCES, Release
from .rights import Act

_ON_LISTS: Final = {"GET": "list", "HEAD": "list", "POST": "create", "DELETE": "deletecollection"}
_ON_OBJECTS: Final = {"GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_STREAMS: Final = ("attach", "exec", "portforward")


def act_of(request: Request, release: Release) -> Act:
    """Return what a request wants to do.

    Raises:
        StatusError: its path leads nowhere, or doesn't have its method.
    """
    match request.path.strip("/").split("/"):
        case ["api", version, *rest]:
            group = ""
        case ["apis", group, version, *rest]:
            pass
        case _:
            raise no_such_path()
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2 and rest[2] not in SUBRESOURCES["namespaces"]:
        namespace, rest = rest[1], rest[2:]
    kind = release.find(group, version, rest[0]) if rest else None
    if kind is None or len(rest) > 3 or (namespace and not kind.namespaced):
        raise no_such_path()
    name, subresource = [*rest[1:], "", ""][:2]
    if subresource and request.method not in _methods(kind, subresource, release):
        raise no_such_path() if subresource not in release.subresources(kind.plural) else no_such_method()
    verbs = _ON_OBJECTS | ({"POST": "create"} if subresource in _STREAMS else {}) if name else _ON_LISTS
    verb = verbs.get(request.method)
    if verb is None or (verb == "create" and kind.namespaced and not namespace):
        raise no_such_method()
    if verb == "list" and request.query.get("watch") in ("1", "true"):
        verb = "watch"
    return Act(verb, kind, namespace, name, subresource)


def _methods(kind: Resource, subresource: str, release: Release) -> set[str]:
    verbs = release.subresources(kind.plural).get(subresource, ())
    named = {"get": "GET", "patch": "PATCH", "update": "PUT", "create": "POST"}
    return {named[verb] for verb in verbs}
