"""Write the keywords of the Python client, out of what `apischema` has compiled from the Engine API's documents."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from swarmlib import Verb, client
from swarmlib_backends.dockerapi.rows import ROWS, WHOLE

KEYWORDS = Path(str(client.__file__)).with_name("keywords.py")
_HEAD = '''"""The keywords of the client: the parameters of the Engine API's operations, and the fields of two bodies.

In keywords, the hyphens of parameters are underscores. Compiled from the official OpenAPI documents (moby/moby,
Apache-2.0) by `python -m tests.support.apischema`: don't edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, TypedDict

Param: TypeAlias = str | int | float | bool | Sequence[Any] | Mapping[str, Any] | None
"""The value of a keyword of the client: a parameter of the Engine API, or a field of its JSON."""
'''
_ABOUT = '"""The parameters of each operation, by its verb and its path, in which `*` stands for a name."""\n'
_WIDTH = 120
_TAKEN = {"timeout"}
"""Keywords that the client itself has. One operation has a parameter of that name, PluginEnable."""


def encoded_keywords(rows: Mapping[str, Any]) -> str:
    """The text of the shipped module: a class for each verb and body, and a table of operations."""
    parameters = dict(_operations(rows))
    classes = [_of_verb(verb, parameters) for verb in sorted({verb for verb, _ in parameters})]
    classes += [
        _class("ContainerFields", "The fields of the body that makes a container.", rows["ContainerCreate"]["body"]),
        _class("ExecFields", "The fields of the body that makes an exec.", rows["ContainerExec"]["body"]),
    ]
    return "\n\n".join([_HEAD, *classes, _table(parameters)])


def _operations(rows: Mapping[str, Any]) -> Iterator[tuple[tuple[Verb, str], set[str]]]:
    """Each operation as its verb and the shape of its path, with the names of its parameters."""
    yield (WHOLE.verb, WHOLE.object), {"method", "target", "upgrade"}
    found: dict[tuple[Verb, str], set[str]] = {}
    for row in ROWS:  # some differ only in the HTTP method
        found.setdefault((row.verb, row.object), set()).update(rows[row.name]["query"].keys() - _TAKEN)
    yield from found.items()


def _of_verb(verb: Verb, parameters: Mapping[tuple[Verb, str], set[str]]) -> str:
    names = {name for (of, _), each in parameters.items() if of is verb for name in each}
    return _class(f"{verb.capitalize()}Params", f"What `{verb}` takes, of all its operations.", names)


def _class(name: str, doc: str, keys: Any) -> str:
    fields = sorted({key.replace("-", "_") for key in keys})
    lines = [f"class {name}(TypedDict, total=False):", f'    """{doc}"""', "", *(f"    {key}: Param" for key in fields)]
    return "\n".join(lines) + "\n"


def _table(parameters: Mapping[tuple[Verb, str], set[str]]) -> str:
    rows = "\n".join(_row(verb, place, sorted(names)) for (verb, place), names in sorted(parameters.items()))
    return f"PARAMETERS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {{\n{rows}\n}}\n{_ABOUT}"


def _row(verb: Verb, place: str, names: list[str]) -> str:
    """A line of the table, or several, as ruff formats them."""
    key, quoted = f'    ("{verb}", "{place}"): (', [f'"{name}"' for name in names]
    line = f"{key}{', '.join(quoted)}{',' if len(names) == 1 else ''}),"
    return line if len(line) <= _WIDTH else "\n".join([key, *(f"        {each}," for each in quoted), "    ),"])
