"""Where the values of a TOML document stand."""

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlib.toml_places import Place, line_of, places

DOCUMENT = '''\
# [not.a.table]
top = "a # b" # c
"quoted key"."x.y" = 1979-05-27 07:32:00

[chain.front]
stages = [ # one, and [another]
    "dockerserver unix:///x.sock",
    { backend = "balance", members = [["a"], "b"], strict = true },
]
text = """
[fake]
key = "no" \\""" still """
literal = ''\'
other = 1''\'

[[chain.back.stages]]
backend = 'docker'
[[chain.back.stages.members]]
name = 1
[[chain.back.stages.members]]
name = 2
[[chain.back.stages]]
backend = "exec"
[[chain.back.stages.members]]
name = 3
[chain.back.stages.options]
a.b = {}
'''


def leaves(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, (*place, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from leaves(each, (*place, index))
    else:
        yield place, value


def check(text: str) -> None:
    """Each value is found, and reading the text at its place gives it again."""
    found = places(text)
    for place, value in leaves(tomllib.loads(text)):
        span = found[place]
        assert tomllib.loads(f"x = {text[span.value_start : span.value_end]}")["x"] == value, place


def test_every_value_is_found() -> None:
    check(DOCUMENT)


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("top",), 2),
        (("quoted key", "x.y"), 3),
        (("chain", "front", "stages", 0), 7),
        (("chain", "front", "stages", 1, "members", 0, 0), 8),
        (("chain", "front", "text"), 10),
        (("chain", "back", "stages", 0, "members", 1), 20),
        (("chain", "back", "stages", 1, "members", 0, "name"), 25),
        (("chain", "back", "stages", 1, "options", "a", "b"), 27),
    ],
)
def test_a_place_has_its_line(place: Place, line: int) -> None:
    assert line_of(DOCUMENT, places(DOCUMENT)[place].start) == line


scalars = st.sampled_from(['"a]b"', "'c}d'", '"""x\n"""', "''", "1.5", "true", "1979-05-27 07:32:00", r'"\""'])
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(inner, max_size=3).map(
            lambda items: "{" + ", ".join(f"k{n} = {each}" for n, each in enumerate(items)) + "}"
        ),
    ),
    max_leaves=8,
)


@given(st.lists(values, max_size=4))
def test_the_places_of_any_values(given: list[str]) -> None:
    check("\n".join(f"[[t.x]]\nv{n} = {each} # ]" for n, each in enumerate(given)))
