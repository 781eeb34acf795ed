"""What an engine reported before its machine was deallocated; it is shown while the machine sleeps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from swarmlib import Client, NotFound, Request, Verb

from ..dockerapi.matching import named
from ..dockerapi.operations import ContainerList
from ..dockerapi.values import labels_fit
from .spec import Body

_log = logging.getLogger(__name__)

PLACES: Final = ("containers", "images", "networks", "volumes")
"""The families of objects that are known completely."""
_KNOWN_FILTERS: Final = frozenset({"id", "name", "label", "status"})


class Memory:
    """What an engine reported before its machine fell asleep, kept in a file to survive a restart of swarmd."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.known: dict[str, Any] = {}

    def load(self) -> None:
        """Read what was kept in the file."""
        try:
            self.known = orjson.loads(self._file.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            self.known = {}  # the file is missing or damaged: all is learnt again once the machine runs

    def save(self) -> None:
        """Write what is known to the file."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_bytes(orjson.dumps(self.known))
        except OSError as exc:
            _log.warning("what is on a machine that sleeps is forgotten with swarmd: %s", exc)

    async def learn(self, engine: Client) -> None:
        """Ask an engine for everything that may be asked of it while it sleeps."""
        known: dict[str, Any] = {"info": await engine.get(), "version": await engine.get("version"), "df": {}}
        known["containers"] = (await engine.call(Verb.LS, ("containers",), params={"all": "1"})).value or []
        for place in PLACES[1:]:
            known[place] = (await engine.call(Verb.LS, (place,))).value
        for place in ("containers", "networks"):
            entries: list[Body] = known[place] or []
            for each in entries:
                known[f"{place}/{each['Id']}"] = await engine.get(place, each["Id"])
        self.known = known

    @property
    def running(self) -> bool:
        """Whether a container was running."""
        return any(each.get("State") == "running" for each in self.known.get("containers", []))

    def answer(self, request: Request) -> Any:
        """Return the answer to a request that needs no more than what is known.

        Raises:
            LookupError: the request needs more. NotFound: there is no such object.
        """
        if request.verb is Verb.LS and len(request.path) == 1:
            return self._listed(request)
        if request.verb is not Verb.GET:
            raise LookupError
        match request.path:
            case ():
                return self.known["info"]
            case ("version",):
                return self.known["version"]
            case ("containers" | "networks" as place, ref) if place in self.known:
                for each in self.known[place]:
                    if ref in (each["Id"], *_names(each, "/")):
                        return self.known[f"{place}/{each['Id']}"]
                raise NotFound(f"No such {place.removesuffix('s')}: {ref}")
            case _:
                raise LookupError

    def _listed(self, request: Request) -> Any:
        place = request.path[0]
        if place != "containers":
            if "filters" in request.params:
                raise LookupError
            return self.known[place]
        asked = ContainerList.of(request)
        filters = asked.filters
        if set(filters) - _KNOWN_FILTERS or asked.size or asked.limit:
            raise LookupError
        found: list[Body] = self.known[place]
        has_name = named(filters.get("name", []))
        shown = [each for each in found if _fits(each, filters) and has_name(*_names(each), *_names(each, "/"))]
        return shown if asked.all or "status" in filters else []


def _names(entry: Body, without: str = "") -> list[str]:
    return [str(name).removeprefix(without) for name in entry.get("Names") or [entry.get("Name", "")]]


def _fits(entry: Body, wanted: Mapping[str, list[str]]) -> bool:
    tests: dict[str, Callable[[str], bool]] = {
        "id": str(entry["Id"]).startswith,
        "status": lambda value: entry.get("State") == value,
    }
    plain = all(any(tests[key](value) for value in values) for key, values in wanted.items() if key in tests)
    return plain and labels_fit(entry.get("Labels") or {}, wanted.get("label", []))
