"""YAML files that an operator gives, read as kubectl reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from swarmlib import Invalid

_MAX_FILE: Final = 16 * 1024 * 1024
_TIMESTAMP: Final = "tag:yaml.org,2002:timestamp"


class _Loader(yaml.SafeLoader):
    """Reads YAML as kubectl does, which takes what looks like a date for text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in forms if tag != _TIMESTAMP]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(file: Path, what: str) -> Any:
    """Return what a YAML file holds.

    what: names the file in errors, which do not quote it: it may hold secrets.

    Raises:
        Invalid: it can't be read, is too long, or is not YAML.
    """
    try:
        with file.open("rb") as opened:
            raw = opened.read(_MAX_FILE + 1)
    except OSError as exc:
        raise Invalid(f"can't read {what}: {exc.strerror}") from exc
    if len(raw) > _MAX_FILE:
        raise Invalid(f"{what} is longer than {_MAX_FILE} bytes")
    try:
        return yaml.load(raw, _Loader)
    except yaml.MarkedYAMLError as exc:  # its own text quotes the file, and so perhaps a token
        mark = exc.problem_mark or exc.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Invalid(f"{what} is not YAML: {exc.problem}{where}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        raise Invalid(f"{what} is not YAML: {type(exc).__name__}") from None
