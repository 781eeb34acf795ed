"""The types of Kubernetes' objects, out of its OpenAPI documents, as JSON Schemas that objects are held against.

The documents have five megabytes each; `python -m tests.support.kubernetes.schemas DOCUMENT >FILE` keeps the types of
the objects that are used here, without their descriptions.
"""

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.support.paths import DATA

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_ROOTS = [
    *(f"io.k8s.api.core.v1.{kind}{list}"
      for kind in ("ConfigMap", "Event", "Namespace", "Node", "PersistentVolumeClaim", "Pod", "Secret", "Service",
                   "ServiceAccount")
      for list in ("", "List")),
    *(f"io.k8s.api.discovery.{version}.EndpointSlice{list}" for version in ("v1", "v1beta1") for list in ("", "List")),
    *(f"io.k8s.api.networking.v1.NetworkPolicy{list}" for list in ("", "List")),
    "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
    *(_META + kind for kind in ("APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "Status")),
    "io.k8s.apimachinery.pkg.version.Info",
]  # fmt: skip
_REFERENCE = "#/definitions/"
_FREE = ("Quantity", "IntOrString", "Time", "MicroTime", "FieldsV1")
"""Types of which the documents say less than what is true: a number is a quantity too."""


class Schemas:
    """The types of a release: `tests/data/kubernetes/types-RELEASE.json`."""

    def __init__(self, release: str) -> None:
        definitions = json.loads((DATA / f"kubernetes/types-{release}.json").read_text())
        document = {"definitions": {name: _strict(name, each) for name, each in definitions.items()}}
        self._registry = Registry().with_resource("urn:types", Resource.from_contents(document, DRAFT202012))
        self._names = {_kind_of(each): name for name, each in definitions.items() if any(_kind_of(each))}

    def errors(self, object: Any) -> list[str]:
        """What is wrong with an object, which says its own kind."""
        name = self._names.get((object.get("apiVersion", ""), object.get("kind", "")))
        if name is None:
            return [f"there is no kind {object.get('apiVersion')} {object.get('kind')}"]
        return [f"{error.json_path}: {error.message}" for error in self._validator(name).iter_errors(object)]

    @cache  # noqa: B019 - there are two of them, for the whole run
    def _validator(self, name: str) -> Draft202012Validator:
        return Draft202012Validator({"$ref": f"urn:types{_REFERENCE}{name}"}, registry=self._registry)


def _kind_of(definition: Any) -> tuple[str, str]:
    kinds = definition.get("x-kubernetes-group-version-kind") or []
    if len(kinds) != 1 and not any(each["kind"] in ("Status",) for each in kinds):
        return ("", "")
    group, version, kind = kinds[0]["group"], kinds[0]["version"], kinds[0]["kind"]
    return (f"{group}/{version}" if group else version, kind)


def _strict(name: str, definition: Any) -> Any:
    """A type that has no other fields than those which it names; null stands for a field that is not there."""
    if name.rpartition(".")[2] in _FREE:
        return {}
    if "properties" not in definition:
        return definition
    required = set(definition.get("required", []))
    fields = {
        field: each if field in required else {"anyOf": [each, {"type": "null"}]}
        for field, each in definition["properties"].items()
    }
    return {**definition, "properties": fields, "additionalProperties": False}


def _used(definitions: Any) -> Iterator[str]:
    seen, waiting = set[str](), [root for root in _ROOTS if root in definitions]
    while waiting:
        if (name := waiting.pop()) not in seen:
            seen.add(name)
            yield name
            waiting += [each.removeprefix(_REFERENCE) for each in _references(definitions[name])]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def _plain(value: Any, *, fields: bool = False) -> Any:
    """A schema without its descriptions; `fields` are names of a user's choice."""
    if isinstance(value, dict):
        kept = value if fields else {name: each for name, each in value.items() if name != "description"}
        return {name: _plain(each, fields=name == "properties" and not fields) for name, each in kept.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


if __name__ == "__main__":
    all_types = json.loads(Path(sys.argv[1]).read_text())["definitions"]
    json.dump({name: _plain(all_types[name]) for name in sorted(_used(all_types))}, sys.stdout, indent=1)
