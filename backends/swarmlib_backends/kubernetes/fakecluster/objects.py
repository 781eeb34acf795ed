"""Creating, changing and deleting objects, for all kinds alike."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any, Final
from uuid import UUID

from ...dockerapi.nullable import dict_of, list_of
from ...enginekit.clock import Clock
from ...http.serving import Body
from ..api.resources import NAMESPACES, PODS, SERVICES, Resource
from . import defaults, validation
from .errors import already_exists, bad_request, conflict, forbidden, invalid, invalid_value, not_found
from .patches import patched
from .resizing import resized
from .store import Key, Store, key_of

FOREGROUND: Final = "foregroundDeletion"
"""The finalizer of an object whose dependents must be gone before it is."""
_POD_CHANGES: Final = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`, "
    "`spec.initContainers[*].image`, `spec.activeDeadlineSeconds` or `spec.tolerations` (only additions to existing "
    "tolerations)"
)
_SPECIFIED: Final = ("persistentvolumeclaims", "pods", "services")
"""The kinds whose objects always have a specification."""
_SERVERS_OWN: Final = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
"""The metadata that a client can't change."""


class Objects:
    """The objects of a cluster, with the rules of their changes."""

    def __init__(self, store: Store, clock: Clock, random: Random) -> None:
        self.store, self.clock, self._random = store, clock, random
        self._defaults = defaults.Defaults()

    def time(self, at: float | None = None) -> str:
        """Return a time as objects have it: now, or another one in seconds since the epoch."""
        return datetime.fromtimestamp(self.clock.now() if at is None else at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def find(self, resource: Resource, key: Key) -> Body:
        """Return an object.

        Raises:
            StatusError: there is none.
        """
        found = self.store.get(resource, key)
        if found is None:
            raise not_found(resource, key[1])
        return found

    def create(self, resource: Resource, namespace: str, body: Body, *, dry: bool = False) -> Body:
        """Create an object, and return it.

        Raises:
            StatusError: it is not valid, its name is taken, or its namespace doesn't exist or is being deleted.
        """
        object = copy.deepcopy(body)
        metadata = object.setdefault("metadata", {})
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + secrets.token_hex(3)[:5]
        if resource.namespaced:
            self._check_namespace(resource, namespace, metadata)
            metadata["namespace"] = namespace
        metadata |= {"uid": self._uid(), "creationTimestamp": self.time()}
        metadata.pop("resourceVersion", None)
        metadata.pop("deletionTimestamp", None)
        object |= {"kind": resource.kind, "apiVersion": resource.api_version}
        if resource.plural in _SPECIFIED:
            object.setdefault("spec", {})
        self._defaults.fill(resource, object)
        validation.check(resource, object)
        if self.store.get(resource, key_of(object)) is not None:
            raise already_exists(resource, metadata["name"])
        if resource is SERVICES:
            validation.check_node_ports(object, self.store.all(SERVICES))
        return object if dry else self.store.put(resource, object)

    def new_id(self) -> str:
        """Return 64 hexadecimal digits, as a container's id is."""
        return f"{self._random.getrandbits(256):064x}"

    def _uid(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def _check_namespace(self, resource: Resource, namespace: str, metadata: Body) -> None:
        if metadata.get("namespace", namespace) != namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        home = self.store.get(NAMESPACES, ("", namespace))
        if home is None:
            raise not_found(NAMESPACES, namespace)
        if "deletionTimestamp" in home["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            error = forbidden(resource, metadata.get("name", ""), why)
            cause = {"reason": "NamespaceTerminating", "message": f"namespace {namespace} is being terminated"}
            error.details = {**(error.details or {}), "causes": [{**cause, "field": "metadata.namespace"}]}
            raise error

    def replace(self, resource: Resource, key: Key, body: Body, *, part: str = "", dry: bool = False) -> Body:
        """Replace an object, or only the part that a subresource of it is, and return it.

        Raises:
            StatusError: there is none, the change is not valid, or it is one of an older version.
        """
        old, object = self.find(resource, key), copy.deepcopy(body)
        metadata = object.setdefault("metadata", {})
        if metadata.get("name", key[1]) != key[1]:
            raise bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL ({key[1]})"
            )
        if metadata.get("resourceVersion") not in (None, "", old["metadata"]["resourceVersion"]):
            raise conflict(resource, key[1])
        if metadata.get("uid") not in (None, "", old["metadata"]["uid"]):
            uids = f"UID in precondition: {metadata['uid']}, UID in object meta: {old['metadata']['uid']}"
            raise conflict(resource, key[1], f"Precondition failed: {uids}")
        match part:
            case "status":
                made = old | {"status": object.get("status")}
            case "resize":
                made = resized(old, object)
            case _:
                made = self._changed(resource, old, object)
        validation.check(resource, made)
        return made if dry else self._kept(resource, made)

    def _changed(self, resource: Resource, old: Body, object: Body) -> Body:
        own = {name: old["metadata"][name] for name in _SERVERS_OWN if name in old["metadata"]}
        given = {name: value for name, value in object["metadata"].items() if name not in _SERVERS_OWN}
        fixed = {"namespace": old["metadata"]["namespace"]} if "namespace" in old["metadata"] else {}
        made = object | {"kind": resource.kind, "apiVersion": resource.api_version}
        made["metadata"] = {**given, "name": old["metadata"]["name"], **fixed, **own}
        if "status" in old:
            made["status"] = old["status"]
        if resource.plural == "secrets":
            defaults.secret(made)
        self._check_fixed(resource, old, made)
        return made

    def _check_fixed(self, resource: Resource, old: Body, made: Body) -> None:
        name = old["metadata"]["name"]
        if resource is PODS:
            filled = copy.deepcopy(made)
            defaults.pod(filled)
            if _fixed(filled["spec"]) != _fixed(old["spec"]):
                cause = invalid_value("spec", "", "")._replace(reason="FieldValueForbidden", message=_POD_CHANGES)
                raise invalid(resource, name, [cause])
            made["spec"] = filled["spec"]
        if old.get("immutable") and any(
            made.get(part) != old.get(part) for part in ("data", "binaryData", "immutable")
        ):
            why = "Forbidden: field is immutable when `immutable` is set"
            cause = invalid_value("data", "", "")._replace(reason="FieldValueForbidden", message=why)
            raise invalid(resource, name, [cause])

    def patch(self, resource: Resource, key: Key, patch: Any, type: str, *, part: str = "", dry: bool = False) -> Body:
        """Change an object as a patch says, and return it. Raises what `replace` does, and for a patch that is none."""
        made = patched(self.find(resource, key), patch, type)
        if not isinstance(made, dict):
            raise bad_request("a patch can't remove the object itself")
        return self.replace(resource, key, made, part=part, dry=dry)  # pyright: ignore[reportUnknownArgumentType]

    def set_status(self, resource: Resource, key: Key, status: Mapping[str, Any]) -> None:
        """Set parts of an object's status, if the object is still there."""
        if (old := self.store.get(resource, key)) is not None:
            self.store.put(resource, old | {"status": {**old["status"], **status}})

    def _kept(self, resource: Resource, object: Body) -> Body:
        """Keep an object; one that was only waiting for its last finalizer is removed."""
        kept = self.store.put(resource, object)
        metadata = kept["metadata"]
        waits = metadata.get("finalizers") or (resource is PODS and metadata.get("deletionGracePeriodSeconds"))
        if "deletionTimestamp" in metadata and not waits and resource is not NAMESPACES:
            self.store.remove(resource, key_of(kept))
        return kept

    def delete(self, resource: Resource, key: Key, options: Mapping[str, Any], *, dry: bool = False) -> Body:
        """Delete an object, or begin to, and return the apiserver's answer.

        Raises:
            StatusError: there is none, or a precondition isn't fulfilled.
        """
        object = self.find(resource, key)
        self._check_preconditions(resource, object, dict_of(options.get("preconditions")))
        if dry:
            return object
        if resource is NAMESPACES:
            return self._terminate_namespace(object)
        grace = self._grace(object, options.get("gracePeriodSeconds")) if resource is PODS else 0
        foreground = options.get("propagationPolicy") == "Foreground"
        finalizers = [*list_of(object["metadata"].get("finalizers")), *([FOREGROUND] if foreground else [])]
        if finalizers or grace:
            return self._marked(resource, object, grace, [*dict.fromkeys(finalizers)])
        if options.get("propagationPolicy") == "Orphan":
            self._orphan(object)
        self.store.remove(resource, key)
        if resource is PODS:
            return object
        details = {"name": key[1], "kind": resource.plural, "uid": object["metadata"]["uid"]}
        if resource.group:
            details["group"] = resource.group
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}

    def _check_preconditions(self, resource: Resource, object: Body, wanted: Mapping[str, str]) -> None:
        for field, called in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            there = object["metadata"][field]
            if wanted.get(field) not in (None, there):
                values = f"{called} in precondition: {wanted[field]}, {called} in object meta: {there}"
                raise conflict(resource, object["metadata"]["name"], f"Precondition failed: {values}")

    def _grace(self, pod: Body, asked: int | None) -> int:
        """Return the seconds that a Pod has to end; none where nothing runs."""
        if "nodeName" not in pod["spec"] or pod["status"]["phase"] in ("Succeeded", "Failed"):
            return 0
        wanted: int = pod["spec"]["terminationGracePeriodSeconds"] if asked is None else asked
        return wanted

    def _marked(self, resource: Resource, object: Body, grace: int, finalizers: list[str]) -> Body:
        metadata = dict(object["metadata"])
        before = metadata.get("deletionGracePeriodSeconds")
        if before is None or grace < before:
            metadata |= {"deletionTimestamp": self.time(self.clock.now() + grace), "deletionGracePeriodSeconds": grace}
        if finalizers:
            metadata["finalizers"] = finalizers
        return self.store.put(resource, object | {"metadata": metadata})

    def _terminate_namespace(self, object: Body) -> Body:
        metadata = {"deletionTimestamp": self.time(), **object["metadata"]}
        return self.store.put(NAMESPACES, object | {"metadata": metadata, "status": {"phase": "Terminating"}})

    def _orphan(self, owner: Body) -> None:
        uid = owner["metadata"]["uid"]
        for plural, each in self.store.everything():
            refs: list[dict[str, Any]] = list_of(each["metadata"].get("ownerReferences"))
            if any(ref["uid"] == uid for ref in refs):
                metadata = each["metadata"] | {"ownerReferences": [ref for ref in refs if ref["uid"] != uid]}
                self.store.put(Resource("", "", plural, ""), each | {"metadata": metadata})


def _fixed(spec: Body) -> Body:
    """Return what can't be changed of a Pod's specification."""
    kept = {name: value for name, value in spec.items() if name not in ("activeDeadlineSeconds", "tolerations")}
    for kind in ("initContainers", "containers"):
        if kind in kept:
            kept[kind] = [{name: value for name, value in each.items() if name != "image"} for each in kept[kind]]
    return kept


def is_dependent(object: Body, uid: str) -> bool:
    """Return whether an object belongs to the one with this uid."""
    return any(ref["uid"] == uid for ref in list_of(object["metadata"].get("ownerReferences")))
