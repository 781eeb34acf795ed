"""Answers of every operation of the Engine API's official documents, in which every field is."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

Schema = Mapping[str, Any]


def answers(path: Path, holding: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each operation of a document with an answer. holding: the values of fields by their names."""
    document: Any = yaml.load(path.read_text(), yaml.CSafeLoader)
    for methods in document["paths"].values():
        for operation in methods.values():
            for status, response in operation.get("responses", {}).items() if "responses" in operation else ():
                if status in (200, 201) and "schema" in response:
                    yield operation["operationId"], _sample(document, holding, response["schema"])


def _sample(document: Any, holding: Mapping[str, Any], schema: Schema, name: str = "") -> Any:
    if "$ref" in schema:
        return _sample(document, holding, document["definitions"][schema["$ref"].rpartition("/")[2]], name)
    of_objects = "properties" in json.dumps(schema.get("items", {}))
    if name in holding and not of_objects:
        return holding[name]
    if "allOf" in schema:
        parts = [_sample(document, holding, each) for each in schema["allOf"]]
        return {key: each for part in parts for key, each in part.items()} if isinstance(parts[0], dict) else parts[0]
    if schema.get("type") == "array":
        return [_sample(document, holding, schema.get("items", {}))]
    if "properties" in schema:
        return {key: _sample(document, holding, each, key) for key, each in schema["properties"].items()}
    if isinstance(more := schema.get("additionalProperties"), dict):
        return {"name": _sample(document, holding, more)}
    return {"string": "text", "integer": 1, "boolean": True}.get(schema.get("type", ""))


def places(value: Any, wanted: str, *path: str) -> Iterator[tuple[str, ...]]:
    """Yield the fields that lead to a text, or to the name of a field, which holds what is wanted."""
    if isinstance(value, dict):
        for name, each in value.items():
            if wanted in name:
                yield path
            yield from places(each, wanted, *path, name)
    elif isinstance(value, list):
        for each in value:
            yield from places(each, wanted, *path)
    elif wanted in str(value):
        yield path
