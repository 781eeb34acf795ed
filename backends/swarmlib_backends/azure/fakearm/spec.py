"""Validates requests and answers by Microsoft's OpenAPI documents (Swagger 2.0, as in azure-rest-api-specs).

It is stricter than the documents: an unknown property is an error, as it is for ARM ("Could not find member"). It is
looser where they declare values as open: an enum that is `modelAsString` may have new values. A null counts as missing,
as for ARM.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urljoin
from uuid import UUID

import orjson

from swarmlib import Invalid

from ...http.serving import Body
from .nulls import without_nulls
from .tags import TAGS

try:
    from jsonschema import Draft4Validator, FormatChecker
    from referencing import Registry
    from referencing.jsonschema import DRAFT4
except ImportError as exc:
    raise Invalid("validating needs jsonschema: pip install 'swarmlib[fakearm]'") from exc

_TAGS: Final = "/{scope}/providers/Microsoft.Resources/tags/default"
_METHODS: Final = ("get", "put", "post", "patch", "delete", "head")
_KEPT: Final = ("type", "format", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems",
                "multipleOf", "uniqueItems")  # fmt: skip


@dataclass(frozen=True)
class Described:
    """An operation that the documents describe."""

    id: str
    method: str
    template: str
    raw: Body
    parameters: tuple[Body, ...]
    uri: str
    examples: tuple[str, ...]

    @property
    def segments(self) -> list[str]:
        """The template's segments; a variable one begins with a brace."""
        return self.template.strip("/").split("/")


class Spec:
    """The documents below a folder.

    Raises:
        Invalid: there are none.
    """

    def __init__(self, folder: Path) -> None:
        self._raw: dict[str, Body] = {}
        self._checkers: dict[tuple[str, str], Any] = {}
        files = [each for each in sorted(folder.rglob("*.json")) if "examples" not in each.parts]
        for file in files:
            document = orjson.loads(file.read_bytes())
            if isinstance(document, dict) and "swagger" in document:
                self._raw[file.resolve().as_uri()] = document
        if not self._raw:
            raise Invalid(f"there are no OpenAPI documents below {folder}")
        self._registry: Any = cast("Any", Registry)()  # the definitions that were needed so far, each a resource
        self._known: set[str] = set()
        self._wanted: list[str] = []
        self.operations = list(self._described())
        self._by_shape: dict[tuple[str, int], list[Described]] = {}
        for each in self.operations:
            self._by_shape.setdefault((each.method, len(each.segments)), []).append(each)

    def _described(self) -> Iterator[Described]:
        for uri, document in self._raw.items():
            for template, item in document.get("paths", {}).items():
                if template.startswith("/{") and template != _TAGS:
                    continue  # "any scope", "any id": duplicates of other paths
                for method in set(item) & set(_METHODS):
                    raw = item[method]
                    listed = [*item.get("parameters", []), *raw.get("parameters", [])]
                    parameters = tuple(self._resolved(each, uri) for each in listed)
                    refs = raw.get("x-ms-examples", {}).values()
                    examples = tuple(urljoin(uri, each["$ref"]) for each in refs)
                    yield Described(raw["operationId"], method.upper(), template, raw, parameters, uri, examples)

    def find(self, method: str, path: str) -> Described | None:
        """Return the operation of a request; None if the documents don't have it."""
        parts = _parts(path)
        fitting = [each for each in self._by_shape.get((method, len(parts)), []) if _fits(each.segments, parts)]
        return max(fitting, key=lambda each: sum(not part.startswith("{") for part in each.segments), default=None)

    def request_errors(self, operation: Described, path: str, query: Mapping[str, str], body: Any) -> list[str]:
        """Return what is wrong with a request."""
        values = dict(zip(operation.segments, _parts(path), strict=True))
        found: list[str] = []
        known: set[str] = set()
        for each in operation.parameters:
            name, place = each["name"], each["in"]
            if place == "body":
                if body is None and each.get("required"):
                    found.append(f"body: {name} is required")
                elif body is not None:
                    found += self._errors(body, each["schema"], operation.uri, f"{operation.id} {name}")
            elif place == "path":
                found += _simple(f"path: {name}", values[f"{{{name}}}"], each)
            elif place == "query":
                known.add(name.lower())
                value = next((value for key, value in query.items() if key.lower() == name.lower()), None)
                if value is not None:
                    found += _simple(f"query: {name}", value, each)
                elif each.get("required"):
                    found.append(f"query: {name} is required")
        unknown = [name for name in query if name.lower() not in known | {"$skiptoken"}]
        return found + [f"query: {name} is none of the operation's parameters" for name in unknown]

    def answer_errors(self, operation: Described, status: int, body: Any) -> list[str]:
        """Return what is wrong with an answer."""
        responses = operation.raw["responses"]
        if (response := responses.get(str(status), responses.get("default"))) is None:
            # Some operations don't describe their errors; these are ARM's all the same.
            return [] if status >= 400 else [f"status {status} is none of {', '.join(responses)}"]
        if str(status) not in responses and status < 400:
            return [f"status {status} is none of {', '.join(responses)}"]
        schema = response.get("schema")
        if schema is None or operation.method == "HEAD":
            return ["there is a body, where none is described"] if body is not None and status < 400 else []
        if body is None:
            return ["there is no body, where one is described"]
        return self._errors(body, schema, operation.uri, f"{operation.id} {status}")

    def definition_errors(self, file: str, name: str, body: Any) -> list[str]:
        """Return what is wrong with a body, by a definition in the document whose path ends with `file`."""
        uri = next(each for each in self._raw if each.endswith(file))
        return self._errors(body, {"$ref": f"#/definitions/{name}"}, uri, f"{file} {name}")

    def _errors(self, body: Any, schema: Body, uri: str, key: str) -> list[str]:
        checker: Any = self._checkers.get((uri, key))
        if checker is None:
            checker = self._checkers[uri, key] = self._checker(schema, uri)
        return [f"{'.'.join(map(str, each.absolute_path)) or 'body'}: {each.message[:300]}"
                for each in checker.iter_errors(without_nulls(body))]  # fmt: skip

    def _checker(self, raw: Body, uri: str) -> Any:
        schema = self._schema(raw, uri)
        while self._wanted:
            ref = self._wanted.pop()
            definition = self._schema(*self._target(ref, ref))
            self._registry = self._registry.with_resource(_name(ref), DRAFT4.create_resource(definition))
        self._registry = self._registry.crawl()
        return Draft4Validator(schema, registry=self._registry, format_checker=_FORMATS)

    def _document(self, uri: str) -> Body:
        if (found := self._raw.get(uri)) is None:
            raise Invalid(f"{uri} is referred to by another of the OpenAPI documents, but isn't there")
        return found

    def _resolved(self, node: Body, uri: str) -> Body:
        """Return a node, or the one that it refers to."""
        if "$ref" not in node:
            return node
        return self._resolved(*self._target(node["$ref"], uri))

    def _target(self, ref: str, uri: str) -> tuple[Body, str]:
        base, _, pointer = urljoin(uri, ref).partition("#")
        found: Any = self._document(base)
        for part in pointer.strip("/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        return found, base

    def _schema(self, raw: Body, uri: str) -> Body:
        """Convert a Swagger schema to JSON Schema: references become absolute, unknown properties are refused."""
        if "$ref" in raw:
            ref = urljoin(uri, raw["$ref"])
            if ref not in self._known:
                self._known.add(ref)
                self._wanted.append(ref)
            return {"$ref": _name(ref)}
        found: Body = {key: raw[key] for key in _KEPT if key in raw}
        if "enum" in raw and not raw.get("x-ms-enum", {}).get("modelAsString"):
            found["enum"] = raw["enum"]
        if "items" in raw:
            found["items"] = self._schema(raw["items"], uri)
        properties, required, more = self._members(raw, uri)
        if properties:
            found["type"] = "object"  # the documents often omit it
            found["properties"] = properties
        if required:
            found["required"] = required
        if more is not None:
            found["additionalProperties"] = more
        elif properties:
            found["additionalProperties"] = False
        return found

    def _members(self, raw: Body, uri: str) -> tuple[dict[str, Body], list[str], Any]:
        """Return a schema's properties, with those that it extends; the required ones; and what others are allowed."""
        properties: dict[str, Body] = {}
        required: list[str] = []
        more: Any = None
        for base in raw.get("allOf", []):
            target, where = self._target(base["$ref"], uri) if "$ref" in base else (base, uri)
            inherited, needed, open_ = self._members(target, where)
            properties |= inherited
            required += needed
            more = more if open_ is None else open_
        for name, each in raw.get("properties", {}).items():
            properties[name] = self._schema(each, uri)
        if (own := raw.get("additionalProperties")) is not None:
            more = self._schema(cast("Body", own), uri) if isinstance(own, dict) else own
        read_only = {name for name, each in raw.get("properties", {}).items() if each.get("readOnly")}
        return properties, required + [name for name in raw.get("required", []) if name not in read_only], more


def _name(ref: str) -> str:
    """Return a definition's own URI, without a fragment: the library would walk the document for each fragment."""
    return ref.replace("#/", "/")


def _parts(path: str) -> list[str]:
    """Return the segments of a path; of a path to tags, the scope is one segment."""
    scope = TAGS.fullmatch(path.rstrip("/"))
    return [scope[1], *_TAGS.split("/")[2:]] if scope else path.strip("/").split("/")


def _fits(template: list[str], parts: list[str]) -> bool:
    return all(want.startswith("{") or want.lower() == have.lower() for want, have in zip(template, parts, strict=True))


def _simple(where: str, text: str, parameter: Body) -> list[str]:
    """Return what is wrong with a parameter of a path or a query, which is always text."""
    kind = parameter.get("type")
    value: Any = text
    try:
        if kind == "integer":
            value = int(text)
        elif kind == "boolean":
            value = {"true": True, "false": False}[text.lower()]
    except (ValueError, KeyError):
        return [f"{where}: {text!r} is no {kind}"]
    schema: Body = {key: parameter[key] for key in _KEPT if key in parameter}
    if "enum" in parameter and not parameter.get("x-ms-enum", {}).get("modelAsString"):
        schema["enum"] = [each.lower() for each in parameter["enum"]]
        value = text.lower()  # ARM ignores the case
    checker: Any = Draft4Validator(schema, format_checker=_FORMATS)
    return [f"{where}: {each.message}" for each in checker.iter_errors(value)]


_FORMATS: Final = FormatChecker(())


def _format(name: str, check: Callable[[str], object]) -> None:
    def checks(value: object) -> bool:
        return not isinstance(value, str) or check(value) is not None

    _FORMATS.checks(name, raises=ValueError)(checks)


_format("date-time", datetime.fromisoformat)
_format("uuid", UUID)
_format("byte", lambda text: base64.b64decode(text, validate=True))
_format("arm-id", lambda text: re.match(r"/", text))
