"""The places of the scalars in a type of the Engine API's schema, for tests that set each of them."""

from collections.abc import Iterator
from typing import Any

import orjson

from swarmlib_backends.dockerapi import schema

SCHEMA: dict[str, Any] = orjson.loads(schema.DATA.read_bytes())


def places(type_: Any, place: str = "", *, key: str) -> Iterator[tuple[str, Any, Any]]:
    """Each scalar in a type: its place, its type, and a function that puts a value there.

    key: stands for a key that is data.
    """
    if isinstance(type_, str) and type_.startswith("#"):
        yield from places(SCHEMA["types"][type_[1:]], place, key=key)
    elif isinstance(type_, str):
        yield place, type_, lambda value: value
    elif isinstance(type_, list):
        for inner, kind, put in places(type_[0], f"{place}[]", key=key):
            yield inner, kind, lambda value, put=put: [put(value)]
    elif not type_:
        yield place, "object", lambda _: {}
    else:
        for name, each in type_.items():
            for inner, kind, put in places(each, f"{place}.{name}".lstrip("."), key=key):
                yield inner, kind, lambda value, put=put, name=name: {key if name == "*" else name: put(value)}
