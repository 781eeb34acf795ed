"""A backend's declared arguments: bound from words, from tables, and shown as usage."""

from dataclasses import dataclass
from typing import Literal

import pytest

from swarmlib import Chain, ChainSyntaxError, Filter, Internal, Invalid, argument, option
from swarmlib.binding import bind, build
from swarmlib.grammar import parse
from swarmlib.options import Parameter, usage
from swarmlib.registry import find


@dataclass
class Sample(Filter):
    """One of each kind."""

    target: str = argument("where to")
    members: list[Chain] = argument("chains", default=[])
    mode: Literal["fast", "safe"] = option("how", default="safe")
    count: int = option("how many", default=1)
    wait: float | None = option("seconds", default=None)
    quiet: bool = option("say nothing", default=False)
    tags: list[str] = option("labels", default=[])


def sample(text: str) -> Sample:
    stage = parse(text).stages[0]
    made = bind(stage.name, Sample, stage.arguments, text)
    assert isinstance(made, Sample)
    return made


def test_words_are_bound_by_their_declaration() -> None:
    made = sample("sample here --mode fast --count=3 --quiet --tags a --tags 'b c' --wait 0.5 (debug | exec) 'exec'")
    assert (made.target, made.mode, made.count, made.quiet, made.tags) == ("here", "fast", 3, True, ["a", "b c"])
    assert made.wait == 0.5
    assert [chain.name for chain in made.members] == ["debug | exec", "exec"]


def test_what_is_left_out_has_its_default() -> None:
    made = sample("sample here")
    assert (made.members, made.mode, made.count, made.wait, made.quiet, made.tags) == ([], "safe", 1, None, False, [])
    assert made.tags is not sample("sample here").tags


def test_a_quoted_word_is_no_option() -> None:
    assert sample("sample '--mode'").target == "--mode"


@pytest.mark.parametrize(
    ("text", "problem", "at"),
    [
        ("sample", "sample requires TARGET; usage: sample", "sample"),
        ("sample x --moed fast", "unknown option --moed of sample; did you mean '--mode'?", "--moed"),
        ("sample x --mode quick", "--mode: invalid value 'quick': expected one of fast, safe", "--mode"),
        ("sample x --count many", "--count: invalid value 'many': expected an integer", "--count"),
        ("sample x --count", "--count requires a value: --count N", "--count"),
        ("sample x --quiet=yes", "--quiet takes no value", "--quiet=yes"),
        ("sample x --count 1 --count 2", "--count is given more than once", "--count"),
        ("sample (debug)", "TARGET: invalid value: expected a word, not a chain", "debug"),
        ("sample x nosuch", "unknown backend 'nosuch'", "nosuch"),
        ("sample x (exec | dbug)", "did you mean 'debug'?", "dbug"),
    ],
)
def test_a_wrong_word_is_pointed_at(text: str, problem: str, at: str) -> None:
    with pytest.raises(ChainSyntaxError) as raised:
        sample(text)
    assert problem in raised.value.problem
    line, pointer = raised.value.message.splitlines()[-2:]
    assert line[pointer.index("^") :].startswith(at[0])


def test_a_table_is_bound_by_the_same_declaration() -> None:
    table = {"target": "x", "members": ["debug | exec", [{"backend": "exec"}]], "mode": "fast", "quiet": True}
    made = build("sample", Sample, table)
    assert isinstance(made, Sample)
    assert [chain.name for chain in made.members] == ["debug | exec", "exec"]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({}, "sample requires target"),
        ({"target": "x", "quite": True}, "did you mean 'quiet'"),
        ({"target": "x", "quiet": 1}, "quiet: invalid value 1: expected true or false"),
        ({"target": "x", "tags": "a"}, "tags: invalid value 'a': expected a list"),
        ({"target": "x", "mode": "quick"}, "expected one of fast, safe"),
    ],
)
def test_a_wrong_table_names_the_key(table: dict[str, object], problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        build("sample", Sample, table)


@pytest.mark.parametrize(("name", "label"), [("members", "MEMBER"), ("addresses", "ADDRESS"), ("file", "FILE")])
def test_a_list_is_shown_by_the_name_of_one(name: str, label: str) -> None:
    assert Parameter(name, "", True, True, True, False, str, None).label == label


def test_usage_comes_from_the_declaration() -> None:
    assert usage("sample", Sample) == (
        "sample [--mode fast|safe] [--count N] [--wait WAIT] [--quiet] [--tags TAG] TARGET [MEMBER…]"
    )


@pytest.mark.parametrize(
    ("stages", "problem"),
    [
        ([1], "expected a table"),
        ([{"json": True}], "expected a table with backend"),
        ([{"backend": "nosuch"}], "unknown backend 'nosuch'"),
    ],
)
def test_a_wrong_list_of_stages_says_what_it_should_hold(stages: list[object], problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        Chain.read(stages)


def test_a_chain_needs_a_stage() -> None:
    with pytest.raises(Invalid, match="at least one"):
        Chain()


def test_a_plug_in_that_is_broken_is_told_from_one_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    from swarmlib import registry

    points = {
        "broken": EntryPoint("broken", "nosuchmodule:X", registry.GROUP),
        "odd": EntryPoint("odd", "json:dumps", registry.GROUP),
    }
    monkeypatch.setattr(registry, "_found", lambda: points)
    with pytest.raises(Internal, match="can't import backend"):
        find("broken")
    with pytest.raises(Internal, match=r"is not a swarmlib\.Backend"):
        find("odd")
