"""Compile the Engine API's OpenAPI documents into the parameters and body types of the routing table's rows.

- `dockerapi/operations.py` declares the parameters of each operation, in the kinds of `dockerapi.parameters`.
- `dockerapi/schema.json` has the types of their bodies, which `dockerapi.schema` reads.
- `client/keywords.py` has the keywords of the Python client (`apikeywords`).

`python -m tests.support.apischema` writes all anew; `tests/dockerapi/test_schema_data.py` proves that they are up to
date.

The types of bodies:

    "string" "boolean" "int64" "uint16" …   a scalar of Go's type
    "words"                                 a list of strings, for which one string may stand (Go's `strslice.StrSlice`)
    "base64"                                bytes, as a string
    "any"                                   whatever is JSON
    [T]                                     a list
    [T, N]                                  an array of exactly N items
    {"*": T}                                a map: its keys are data, and stay as they are
    {"Name": T, …}                          a struct: its keys are fields, which Go finds in any case
    "#Name"                                 one of the `types`
"""

import json
import re
from typing import Any

import yaml

from swarmlib_backends.dockerapi import schema
from swarmlib_backends.dockerapi.rows import ROWS, Row
from tests.support.apikeywords import KEYWORDS, encoded_keywords
from tests.support.apischema_differences import BODIES, FIELDS, QUERY, WITHOUT
from tests.support.paths import DATA

DOCUMENTS = [DATA / f"docker-v{version}.yaml" for version in ("1.41", "1.56")]
"""The oldest and the newest version. The versions between them have nothing that neither of these has."""

OPERATIONS = schema.DATA.with_name("operations.py")

Type = Any


def compiled() -> dict[str, Any]:
    """The schema of every row, merged over the documents."""
    types: dict[str, Type] = {}
    rows: dict[str, dict[str, Any]] = {row.name: {"query": {}, "body": None} for row in ROWS}
    for path in DOCUMENTS:
        document = yaml.load(path.read_text(), yaml.CSafeLoader)
        for operation in (each for methods in document["paths"].values() for each in methods.values()):
            if operation["operationId"] in rows:
                _merge_operation(rows[operation["operationId"]], operation, document["definitions"], types)
    rows["ImageImport"]["query"] = rows["ImageCreate"]["query"]
    _apply_differences(rows, types)
    return {"types": {name: types[name] for name in _used(rows, types)}, "rows": rows}


def _merge_operation(row: dict[str, Any], operation: Any, definitions: Any, types: dict[str, Type]) -> None:
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "query":
            row["query"][parameter["name"]] = _parameter(parameter)
        elif parameter["in"] == "body" and parameter["schema"].get("type") != "string":
            row["body"] = _merged(row["body"], _type(parameter["schema"], definitions, types), types)


def _parameter(parameter: Any) -> str:
    """The declaration of a parameter, without its name."""
    if parameter["name"] == "filters":
        return "Filters()"
    kind = {"array": "Texts", "integer": "Integer", "boolean": "Flag", "string": "Text"}[parameter["type"]]
    default = parameter.get("default")
    return f"{kind}(default={json.dumps(default).replace('true', 'True')})" if default else f"{kind}()"


def _type(schema: Any, definitions: Any, types: dict[str, Type]) -> Type:
    if "$ref" in schema:
        return _definition(schema["$ref"].rpartition("/")[2], definitions, types)
    if "allOf" in schema:
        parts = [_flat(part, definitions) for part in schema["allOf"]]
        if len(parts) == 1:
            return _type(schema["allOf"][0], definitions, types)
        fields = {name: each for part in parts for name, each in part["properties"].items()}
        return _type({"type": "object", "properties": fields}, definitions, types)
    kind = schema.get("type", "object")
    if kind == "object":
        return _object(schema, definitions, types)
    if kind == "array":
        return [_type(schema["items"], definitions, types)]
    if kind == "integer":
        return schema.get("format", "int64")
    return {"number": "float64"}.get(kind, kind)


def _definition(name: str, definitions: Any, types: dict[str, Type]) -> Type:
    """A definition by reference, if it is a struct; otherwise in place."""
    found = definitions[name]
    if name in _open:
        return f"#{name}"
    _open.add(name)
    compiled = _type(found, definitions, types)
    _open.discard(name)
    if not isinstance(compiled, dict) or "*" in compiled:
        return compiled
    types[name] = _merged(types.get(name), compiled, types)
    return f"#{name}"


_open: set[str] = set()
"""The definitions that are being compiled: one may refer to itself."""


def _flat(schema: Any, definitions: Any) -> Any:
    """A part of an `allOf` as one object with all its properties."""
    if "$ref" in schema:
        return _flat(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    fields: dict[str, Any] = {}
    for part in schema.get("allOf", []):
        fields |= _flat(part, definitions)["properties"]
    return {"type": "object", "properties": fields | schema.get("properties", {})}


def _object(schema: Any, definitions: Any, types: dict[str, Type]) -> Type:
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        return {"*": _type(extra, definitions, types)}
    return {name: _type(each, definitions, types) for name, each in schema.get("properties", {}).items()}


def _merged(old: Type, new: Type, types: dict[str, Type]) -> Type:
    """The union of two versions of a type."""
    if old != new and _is_reference(new) and old is not None:  # it has got a name of its own, or another one
        types[new[1:]] = _merged(types[old[1:]] if _is_reference(old) else old, types[new[1:]], types)
        return new
    if isinstance(old, dict) and isinstance(new, dict):
        return {name: _merged(old.get(name), new.get(name, old.get(name)), types) for name in old | new}
    if isinstance(old, list) and isinstance(new, list):
        return [_merged(old[0], new[0], types), *new[1:]]
    if old is None or old == new:
        return new
    raise ValueError(f"one version has {old}, another {new}: say in the differences which it is")


def _is_reference(type_: Type) -> bool:
    return isinstance(type_, str) and type_.startswith("#")


def _apply_differences(rows: dict[str, dict[str, Any]], types: dict[str, Type]) -> None:
    for name, (type_, _) in BODIES.items():
        rows[name]["body"] = type_
    for place, (type_, _) in FIELDS.items():
        struct, field = _place(place, rows, types)
        struct[field] = type_
    for place in WITHOUT:
        struct, field = _place(place, rows, types)
        del struct[field]
    # Engines up to 26 take the fields of HostConfig at the top level too, and Cpuset as the older name of one.
    top_level = types["HostConfig"] | types["ContainerConfig"] | {"Cpuset": "string"}
    rows["ContainerCreate"]["body"] |= top_level
    rows["ContainerUpdate"]["body"] |= {name: types["HostConfig"][name] for name in rows["ContainerUpdate"]["body"]}
    for place, (type_, _) in QUERY.items():
        name, _, parameter = place.partition(".")
        rows[name]["query"][parameter] = type_


def _place(place: str, rows: dict[str, dict[str, Any]], types: dict[str, Type]) -> tuple[dict[str, Type], str]:
    """The struct that a place such as `TaskSpec.Placement.MaxReplicas` leads to, and the field in it."""
    owner, *way, field = place.split(".")
    struct = types[owner] if owner in types else rows[owner]["body"]
    for step in way:
        struct = struct[step][0] if isinstance(struct[step], list) else struct[step]
    return struct, field


def _used(rows: dict[str, dict[str, Any]], types: dict[str, Type]) -> list[str]:
    """The names of the types that a body needs, in alphabetical order."""
    found: set[str] = set()
    waiting: list[Type] = [row["body"] for row in rows.values()]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str) and each.startswith("#") and each[1:] not in found:
            found.add(each[1:])
            waiting.append(types[each[1:]])
        elif isinstance(each, dict | list):
            waiting += each.values() if isinstance(each, dict) else each
    return sorted(found)


def encoded_schema() -> str:
    """The text of the shipped schema: a line for each type and each row."""
    found = compiled()
    bodies = {name: row["body"] for name, row in found["rows"].items() if row["body"] is not None}
    parts = []
    for section, entries in (("types", found["types"]), ("rows", bodies)):
        lines = (f"{json.dumps(name)}: {json.dumps(each)}" for name, each in sorted(entries.items()))
        parts.append(f'"{section}": {{\n' + ",\n".join(lines) + "\n}")
    return "{" + ",\n".join(parts) + "}\n"


_OPERATIONS_HEAD = '''"""The parameters of each operation of the Engine API that has some, typed (see `parameters`).

Compiled from the official OpenAPI documents (moby/moby, Apache-2.0) by `python -m tests.support.apischema`: don't edit.
"""

from __future__ import annotations

from typing import Any

from .numbers import UINT64
from .parameters import (
    Data,
    EventTime,
    Filters,
    Flag,
    Integer,
    LenientInteger,
    Params,
    StrictFlag,
    Tail,
    TaskTail,
    Text,
    Texts,
    Time,
)
'''


_FAMILIES = {
    "ContainerArchiveInfo": ["ContainerArchive"],
    "ContainerAttachWebsocket": ["ContainerAttach"],
    "ContainerStop": ["ContainerRestart"],
    "ExecResize": ["ContainerResize"],
    "ImageImport": ["ImageCreate"],
    "TaskLogs": ["ServiceLogs"],
}
"""Operations that read their parameters as another one does, if the documents say the same of both."""


def encoded_operations() -> str:
    """The text of the shipped module: a class for each row that has parameters."""
    rows = compiled()["rows"]
    named = sorted(ROWS, key=lambda row: row.name)
    classes = [_class(row, rows) for row in named if rows[row.name]["query"]]
    return "\n\n".join([_OPERATIONS_HEAD, *classes])


def _class(row: Row, rows: dict[str, dict[str, Any]]) -> str:
    query = rows[row.name]["query"]
    alike = [name for name in _FAMILIES.get(row.name, []) if rows[name]["query"] == query]
    lines = [
        f"class {row.name}({alike[0] if alike else 'Params'}):",
        f'    """Parameters of {row.method} {row.template}."""',
    ]
    fields = [] if alike else ["", *(f"    {_declared(name, each)}" for name, each in query.items())]
    return "\n".join([*lines, *fields]) + "\n"


def _declared(name: str, declaration: str) -> str:
    field = re.sub("(?<=[a-z])(?=[A-Z])|-", "_", name).lower()
    if field == name:
        return f"{name} = {declaration}"
    kind, _, rest = declaration.partition("(")
    return f"{field} = {kind}({json.dumps(name)}{'' if rest == ')' else ', '}{rest}"


if __name__ == "__main__":
    schema.DATA.write_text(encoded_schema())
    OPERATIONS.write_text(encoded_operations())
    KEYWORDS.write_text(encoded_keywords(compiled()["rows"]))
