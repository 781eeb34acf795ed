"""Writes the package of a new backend: `templates/` holds a whole one for each kind, under the name `example`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

import swarmlib
from swarmlib import Invalid, registry, testing

_NAME: Final = re.compile("[a-z][a-z0-9]*")
_OWN_WORDS: Final = {*dir(swarmlib), *dir(testing), "None", "True", "False", "Any"}


def make(name: str, folder: Path, kind: str) -> list[Path]:
    """Write the package of the backend `name` into `folder`, and return the files.

    Raises:
        Invalid: the name is not valid for a backend, or taken; the folder is not empty, or can't be written.
    """
    _check_name(name)
    written: list[Path] = []
    try:
        if folder.exists() and any(folder.iterdir()):
            raise Invalid(f"folder {folder} is not empty: expected a new or empty folder")
        for path, content in [*_template("common"), *_template(kind)]:
            target = folder / _named(path, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_named(content, name), "utf-8")
            written.append(target)
    except OSError as exc:
        raise Invalid(f"can't write {exc.filename}: {exc.strerror}") from exc
    return sorted(written)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Invalid(f"invalid name {name!r}: expected lower-case letters and digits, beginning with a letter")
    if name in registry.names():
        raise Invalid(f"the name {name!r} is already taken by another backend")
    if name.capitalize() in _OWN_WORDS:
        raise Invalid(f"invalid name {name!r}: its class {name.capitalize()} would hide one of swarmlib's or Python's")


def _named(text: str, name: str) -> str:
    return text.replace("Example", name.capitalize()).replace("example", name)


def _template(kind: str) -> Iterator[tuple[str, str]]:
    """Yield the files of a template, each as its path and content."""
    return _below(files("swarmd") / "templates" / kind, "")


def _below(folder: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        if entry.is_file():
            yield f"{prefix}{entry.name}", entry.read_text("utf-8")
        elif entry.name != "__pycache__":
            yield from _below(entry, f"{prefix}{entry.name}/")
