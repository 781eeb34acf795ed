"""The fields of a container's creation, for tests that each of them is mapped or refused, and that none is dropped."""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from hypothesis import strategies as st

from swarmlib_backends.dockerapi import schema
from swarmlib_backends.enginekit.fields import Each, Entry, Field
from tests.support.schema_places import SCHEMA, places

TOP_LEVEL_HOST_FIELDS = schema.top_level_host_fields()
FIELDS = [
    each
    for each in places(SCHEMA["rows"]["ContainerCreate"], key="80")
    if each[0].partition(".")[0].partition("[")[0] not in schema.top_level_host_fields()
]
WORDS = st.sampled_from(["7", "8.8.8.8", "x.y=z", "tmpfs", "/data", "SYS_TIME", "name:10.0.0.1", "SIGINT", "gpu"])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("string", "string?"), WORDS | st.text("xyz", min_size=3)),
    "boolean": st.just(True),
    "words": st.lists(WORDS, min_size=1),
    "object": st.none(),
}


def of_type(kind: str) -> st.SearchStrategy[Any]:
    if kind not in schema.INTEGERS:
        return VALUES[kind]
    allowed = schema.INTEGERS[kind]
    return st.integers(max(allowed.start, -1), min(allowed.stop - 1, 2**40)).filter(lambda number: number != 0)


def structure(type_: Any) -> Any:
    """The names of a type's fields, nested like the table: None for what has no fields."""
    if isinstance(type_, str) and type_.startswith("#"):
        return structure(SCHEMA["types"][type_[1:]])
    if isinstance(type_, list):
        return structure(type_[0])
    if isinstance(type_, dict) and type_:
        return structure(type_["*"]) if "*" in type_ else {name: structure(each) for name, each in type_.items()}
    return None


def differences(table: Mapping[str, Entry], known: Mapping[str, Any], place: str = "") -> Iterator[str]:
    yield from (f"{place}{name}" for name in table.keys() ^ known.keys())
    for name, entry in table.items():
        if isinstance(entry, Each):
            yield from differences(entry.fields, known[name], f"{place}{name}[].")
        elif not isinstance(entry, Field):
            yield from differences(entry, known[name], f"{place}{name}.")


def differences_to_the_schema(table: Mapping[str, Entry]) -> list[str]:
    """The fields that a table lacks, or that the official schema does not have."""
    known = structure(SCHEMA["rows"]["ContainerCreate"])
    return [*differences(table, {name: each for name, each in known.items() if name not in TOP_LEVEL_HOST_FIELDS})]


def is_in(place: str, *lists: Mapping[str, Sequence[str]]) -> bool:
    """Whether a place fits one of the patterns in some lists by reasons."""
    listed = [pattern for each in lists for patterns in each.values() for pattern in patterns]
    return any(fnmatchcase(place, pattern.replace("[", "[[]")) for pattern in listed)


def unknown_patterns(*lists: Mapping[str, Sequence[str]]) -> list[str]:
    """The patterns in some lists that no place fits."""
    listed = [pattern for each in lists for patterns in each.values() for pattern in patterns]
    return [each for each in listed if not any(fnmatchcase(place, each.replace("[", "[[]")) for place, _, _ in FIELDS)]
