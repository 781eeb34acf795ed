"""Patterns that clients write: none of them blocks the others, and each chooses what it chooses on an engine.

The attack: a regular expression or a shell pattern that takes exponential time or much memory to compile or to match,
or that is none. What must happen: it is matched in linear time as an engine would, or refused with 400.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from swarmlib import Invalid, Request, Verb, connect
from swarmlib_backends.azure import memory as memories
from swarmlib_backends.dockerapi.matching import glob, named, regex
from tests.support.engines import Engine, docker, swarmd

LONG = "a" * 60
WRONG = ["(", "[", "*", "+", "?", "(?=a)", r"\Z", "a{1001}", "(aab", "aab|(", "(?P<n", r"\8"]
USUAL = ["", "aab", "/aab", "^/aab$", "^aab$", "(?i)AAB", "b.c", "[b].c", "a{2}b", r"\Qa\E", "a|b", "\u00e9"]
HARMFUL = ["(a+)+$x", "(x+x+)+y", "(a|a)*b", "((a*)*)*c", "(.*)*(.*)*z", r"^(\w+\s?)*$!", "(a?){50}a{50}x"]
LARGE = [r"\pL{100}", r"(\pL{1000})", r"(\pL{100})(\pN{100})" * 20, "((.{100}){100}){100}", "(((a{30}){30}){30}){30}"]
LISTS = (
    ("ps", "-a", "--format", "{{.Names}}"),
    ("volume", "ls", "-q"),
    ("network", "ls", "--format", "{{.Name}}"),
)
CHAINS = ("simulator", "exec", "balance (a=simulator) (b=exec)")


def took(act: Callable[[], Any]) -> float:
    """Seconds of CPU that it takes, whatever else runs on the machine."""
    began = time.thread_time()
    act()
    return time.thread_time() - began


def tried(pattern: str) -> None:
    with suppress(Invalid):
        named([pattern])(LONG, "/" + LONG)


@pytest.mark.parametrize("pattern", [*HARMFUL, *LARGE, ".*" * 250, "(" * 250, "[" * 500, "(?i)" + "\u00e9{50}" * 9])
def test_no_pattern_takes_long(pattern: str) -> None:
    assert min(took(lambda: tried(pattern)) for _ in range(3)) < 0.1


@pytest.mark.parametrize("pattern", ["*a" * 250, "*" * 500, "[a-z]" * 100, "[!a" * 160, "*" + "?" * 499])
def test_no_shell_pattern_takes_long(pattern: str) -> None:
    assert min(took(lambda: glob(pattern)("a" * 3000)) for _ in range(3)) < 0.1


@pytest.mark.parametrize("pattern", WRONG)
def test_a_name_that_is_no_pattern_stands_for_itself(pattern: str) -> None:
    assert named([pattern])(pattern)
    assert not named([pattern])("aab", "/aab")
    assert named([pattern, "aab"])("aab")


@pytest.mark.parametrize("values", [["(" * 501], ["a.b"] * 51, [r"\pL{100}"], ["."] * 1000, ["\ud800("]])
def test_what_is_too_large_to_be_judged_is_refused_and_not_taken_for_something_else(values: list[str]) -> None:
    with pytest.raises(Invalid):
        named(values)


@pytest.mark.parametrize("make", [glob, regex])
@pytest.mark.parametrize("pattern", ["a" * 501, "\ud800", "[z-a]"])
def test_a_rules_pattern_that_is_wrong_is_refused(make: Callable[[str], Any], pattern: str) -> None:
    with pytest.raises(Invalid):
        make(pattern)


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("a*", ["a", "ab", "a/b", "a\nb"], ["ba", ""]),
        ("?[0-9]", ["a1", "11"], ["1", "a1b", "ab"]),
        ("[!a-c]x", ["dx", "]x"], ["ax", "bx", "x"]),
        ("[]a]", ["]", "a"], ["b", "[]a]"]),
        (r"[\d]", ["\\", "d"], ["1"]),
        ("[a", ["[a"], ["a"]),
        ("a.b+(c)^$|{1}", ["a.b+(c)^$|{1}"], ["axb"]),
        ("*\u00e9?", ["\u00e9a", "x\u00e9\u65e5"], ["\u00e9"]),
    ],
)
def test_a_shell_pattern_fits_what_it_always_did(pattern: str, fitting: list[str], others: list[str]) -> None:
    assert [text for text in [*fitting, *others] if glob(pattern)(text)] == fitting


@pytest.mark.parametrize(
    ("chain", "place"),
    [
        (chain, place)
        for chain in CHAINS
        for place in ("containers", "networks", "volumes")
        if chain != "exec" or place == "containers"  # it has no others
    ],
)
async def test_every_pattern_is_matched_or_refused_by_every_stage(chain: str, place: str) -> None:
    async with connect(chain) as client:
        for value in [*WRONG, *HARMFUL, *LARGE, "." * 501]:
            try:
                await client.call(Verb.LS, (place,), params={"all": "1", "filters": json.dumps({"name": [value]})})
            except Invalid:
                assert value in LARGE or len(value) > 500


def test_an_engine_that_sleeps_is_asked_for_names_without_harm(tmp_path: Path) -> None:
    memory = memories.Memory(tmp_path / "memory")
    memory.known = {"containers": [{"Id": "1", "Names": [f"/{LONG}"], "State": "running"}]}
    for value, count in [("(a+)+$x", 0), ("(", 0), (f"^/{LONG}$", 1), ("^a", 1)]:
        asked = Request(Verb.LS, ("containers",), {"all": "1", "filters": json.dumps({"name": [value]})})
        assert len(memory.answer(asked)) == count


@pytest.mark.engine
def test_a_simulator_chooses_by_name_what_an_engine_chooses(engines: tuple[Engine, Engine]) -> None:
    with swarmd("simulator --image busybox") as simulator:
        for host in (engines[0].host, simulator.host):
            docker(host, "volume", "create", "aab", check=True)
            docker(host, "network", "create", "aab", check=True)
            for name in ("aab", "b.c", "x-Y_z"):
                docker(host, "create", "--name", name, "busybox", "true", check=True)
        for chosen in [*([value] for value in [*WRONG, *USUAL]), ["(", "aab"], ["^b", "^x"]]:
            expected, found = (everything(host, chosen) for host in (engines[0].host, simulator.host))
            assert expected == found, chosen
        docker(engines[0].host, "rm", "aab", "b.c", "x-Y_z", check=True)
        for kind in ("volume", "network"):
            docker(engines[0].host, kind, "rm", "aab", check=True)


def everything(host: str, names: list[str]) -> list[list[str]]:
    """What the docker CLI lists of each kind for some filters by name."""
    filters = [word for name in names for word in ("--filter", f"name={name}")]
    listed = (docker(host, *kind, *filters, check=True).stdout.decode().split() for kind in LISTS)
    return [sorted(each) for each in listed]
