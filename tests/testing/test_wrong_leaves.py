"""Leaves that are wrong as real ones have been, over `enginekit` as their authors write them: the kit catches each."""

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from trio.testing import MockClock

from swarmlib import Request, Verb
from swarmlib.service import Handler
from swarmlib.testing import RULES, ConformanceError, Leaf, check_backend
from swarmlib_backends.enginekit import Accepted, Container, ContainerServer

LEAF = Leaf(idle={"Cmd": []}, talks={"Cmd": ["one", "two"]}, lines=(b"one", b"two"))
CHECKED = [
    rule
    for rule in RULES
    if rule.name
    in {
        *("keeps_what_is_spawned", "starts_and_stops", "lists_what_there_is", "keeps_odd_names_apart"),
        *("takes_no_name_for_another", "keeps_the_name_that_it_is_given", "spawns_nothing_without_a_proper_name"),
        *("claims_no_field_that_it_drops", "honours_what_it_claims"),
    }
]
"""The rules about objects, their names and their fields."""


class Speaker(Container):
    """It says the words of its command, or runs until it is stopped."""

    async def run(self) -> int:
        for word in self.command:
            await self.say(f"{word}\n")
        return 0 if self.command else await super().run()


@dataclass
class Right(ContainerServer[Speaker]):
    """A leaf as `swarmd new-backend` writes one."""

    accepted: ClassVar[Accepted] = Accepted("a speaker")

    def make(self, id: str, name: str, body: dict[str, Any]) -> Speaker:
        return Speaker(id, name, body)


@dataclass
class Rewriting(Right):
    """A leaf that changes requests before it reads them."""

    def rewritten(self, request: Request) -> Request:
        raise NotImplementedError

    def handlers(self) -> Mapping[Verb, Handler]:
        return {verb: self._over(handler) for verb, handler in super().handlers().items()}

    def _over(self, handler: Handler) -> Handler:
        async def handle(request: Request) -> Any:
            return await handler(self.rewritten(request))

        return handle


class ClimbsByPath(Rewriting):
    """Its containers are files in a folder, and a name may lead out of it."""

    def rewritten(self, request: Request) -> Request:
        path = tuple(posixpath.normpath("/".join(request.path)).split("/")) if request.path else ()
        return request.replace(path=path) if "../" in "/".join(request.path) else request


class ClimbsByName(Rewriting):
    """As the other one, of the name that a new container is given."""

    def rewritten(self, request: Request) -> Request:
        name = str(request.params.get("name") or "")
        return request.replace(params={"name": name.removeprefix("../")}) if name.startswith("../") else request


class Respells(Rewriting):
    """It takes `./ID` for `ID`."""

    def rewritten(self, request: Request) -> Request:
        path = tuple(part.removeprefix("./") for part in request.path)
        return request if path == request.path else request.replace(path=path)


class Nameless(Rewriting):
    """It gives every container a name of its own making."""

    def rewritten(self, request: Request) -> Request:
        named = request.verb is Verb.SPAWN and str(request.params.get("name")).startswith("swarmlib-")
        return request.replace(params={}) if named else request


class Echoes(Right):
    """It takes every field, and shows what it was sent."""

    def check(self, body: Any) -> dict[str, Any]:
        return dict(body)


class Keeps(Right):
    """It accepts `AutoRemove`, shows it, and keeps the containers."""

    def make(self, id: str, name: str, body: dict[str, Any]) -> Speaker:
        made = super().make(id, name, body)
        made.stoppers = 1
        return made


WRONG: dict[Callable[[], Right], str] = {
    ClimbsByPath: "takes_no_name_for_another",
    ClimbsByName: "spawns_nothing_without_a_proper_name",
    Respells: "takes_no_name_for_another",
    Nameless: "keeps_the_name_that_it_is_given",
    Echoes: "claims_no_field_that_it_drops",
    Keeps: "honours_what_it_claims",
}


@pytest.mark.parametrize("make", WRONG, ids=lambda make: make.__name__)
async def test_a_wrong_leaf_is_caught_by_the_rule_that_it_breaks(
    make: Callable[[], Right], autojump_clock: MockClock
) -> None:
    broken: list[str] = []
    for rule in CHECKED:
        try:
            await check_backend(make, leaf=LEAF, rules=[rule])
        except ConformanceError as exc:
            broken.append(exc.rule)
    assert broken == [WRONG[make]]


async def test_the_right_one_breaks_none(autojump_clock: MockClock) -> None:
    report = await check_backend(Right, leaf=LEAF, rules=CHECKED)
    assert report.passed == [rule.name for rule in CHECKED]
