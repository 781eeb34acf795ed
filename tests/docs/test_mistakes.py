"""Each mistake of docs/mistakes.md is made, and gets the message that stands beside it."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

import swarmlib
import swarmlib_backends
from swarmlib import SwarmError
from tests.support.command import invoke
from tests.support.engines import Engine
from tests.support.guides import Reader, guide

RULE = '[[rule]]\nallow = ["ContainerCreate"]\n'
CLIENT = "[clients.ci]\nusers = [1001]\n"
TENANT = f"{CLIENT}[tenant.alice]\n"
FRAMES = {
    "in `[chain.all]`": ("check FILE", "[chain.all]\n{}\n"),
    "in `[[rule]]`": ("policy check FILE", "[[rule]]\n{}\n"),
    "in `[rule.container]`": ("policy check FILE", RULE + "[rule.container]\n{}\n"),
    "in `[clients.ci]`": ("policy check FILE", "[clients.ci]\n{}\n" + RULE),
    "in `[tenant.alice]`": ("check 'dockerserver unix:///run/s.sock | tenant FILE | docker'", TENANT + "{}\n"),
    "in `[tenant.alice.quota]`": (
        "check 'dockerserver unix:///run/s.sock | tenant FILE | docker'",
        TENANT + 'clients = ["ci"]\n[tenant.alice.quota]\n{}\n',
    ),
}
"""For each place in a file: what reads it, and the rest of the file."""
FILES = {
    "ci.toml": '[[rule]]\nname = "jobs"\nallow = ["*"]\n[rule.container]\nimages = ["busybox"]\n',
    "tenants.toml": f'{TENANT}clients = ["ci"]\nimages = ["busybox"]\n',
}
"""The files that chains of the tables name."""


class Mistake(NamedTuple):
    """A row of a table; `place` is the head of its first column."""

    place: str
    made: str
    message: str

    def is_told(self, said: str) -> bool:
        """Whether this is its message, in which ` …` stands for any text."""
        assert re.fullmatch(" .*".join(map(re.escape, self.message.split(" …"))), said), said
        return True


def mistakes(text: str) -> Iterator[Mistake]:
    """The rows of all tables of a document."""
    place = ""
    for line in text.replace(r"\|", "\0").splitlines():
        if head := re.fullmatch(r"\| (.+) \| the message \|", line):
            place = head[1].replace("\0", "|")
        elif row := re.fullmatch(r"\| `(.+)` \| `(.+)` \|", line):
            yield Mistake(place, *(each.replace("\0", "|") for each in row.groups()))


TABLE = list(mistakes(guide("docs/mistakes.md")))
BEHIND = {each.place for each in TABLE if each.place.startswith("behind ")}


def of(*places: str) -> list[object]:
    return [pytest.param(each, id=each.made) for each in TABLE if each.place in places]


def error(*words: str) -> str:
    """What the command says first about what is wrong."""
    for code in (2, 1):
        try:
            said = invoke(*words, code=code).stderr
        except AssertionError:
            continue
        return next(line for line in said.splitlines() if "rror: " in line).partition("rror: ")[2]
    raise AssertionError(f"{words}: no error")


def test_there_are_many() -> None:
    assert len({each.made for each in TABLE}) >= 60
    assert {each.place for each in TABLE} == {*FRAMES, *BEHIND, "on the command line", "in a program"}


@pytest.mark.parametrize("mistake", of("on the command line"))
def test_on_the_command_line(mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARD_SOCKET", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert mistake.is_told(error(*shlex.split(mistake.made)[1:]))


def in_a_file(mistake: Mistake) -> str:
    """The message about a file of the folder."""
    command, frame = FRAMES[mistake.place]
    name = "swarm.toml" if "chain" in frame else "tenants.toml" if "tenant" in frame else "ci.toml"
    Path(name).write_text(frame.format(mistake.made))
    return error(*shlex.split(command.replace("FILE", name))).removeprefix("tenant: ")


@pytest.mark.parametrize("mistake", of(*FRAMES))
def test_in_a_file(mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert mistake.is_told(in_a_file(mistake))


async def in_a_program(mistake: Mistake) -> str:
    """The message of what a program raises."""
    names = {"swarmlib": swarmlib, "swarmlib_backends": swarmlib_backends}
    async with swarmlib.connect("simulator") as swarm:
        program = f"async def made(swarm):\n    {mistake.made}\n"
        exec(program, names)
        made = names["made"]
        try:
            await made(swarm)  # type: ignore[operator]
        except (SwarmError, TypeError, ValueError) as exc:
            return f"{type(exc).__name__}: {exc}".splitlines()[0]
    raise AssertionError(f"{mistake.made}: no error")


@pytest.mark.parametrize("mistake", of("in a program"))
async def test_in_a_program(mistake: Mistake) -> None:
    with trio.fail_after(20):
        assert await in_a_program(mistake) == mistake.message


def behind(place: str, made: list[str], folder: Path, engines: dict[str, Path]) -> list[str]:
    """The messages that the docker CLI shows for commands behind a chain."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
    chain = place.removeprefix("behind `").removesuffix("`")
    with Reader(folder, engines) as somebody:
        somebody.follow(f"```sh\nswarmd 'dockerserver unix:///run/swarm.sock | {chain}'\n```\n")
        somebody.run("export DOCKER_HOST=unix:///run/swarm.sock")
        said = [somebody.run(each)[0] for each in made]
    return [text.strip().splitlines()[0].partition("Error response from daemon: ")[2] or text for text in said]


@pytest.mark.engine
@pytest.mark.parametrize("place", sorted(BEHIND))
def test_behind_a_chain(place: str, empty_engines: tuple[Engine, Engine], tmp_path: Path) -> None:
    rows = [each for each in TABLE if each.place == place]
    sockets = {
        "/run/docker.sock": empty_engines[0].socket,
        "/run/a.sock": empty_engines[0].socket,
        "/run/b.sock": empty_engines[1].socket,
    }
    said = behind(place, [each.made for each in rows], tmp_path, sockets)
    assert said == [each.message for each in rows]
