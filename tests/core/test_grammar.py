"""The grammar of chains: printing is the inverse of reading, and what isn't a chain is pointed at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlib import ChainSyntaxError
from swarmlib.grammar import ChainText, StageText, Word, parse

bare_words = st.from_regex(r"[a-z0-9:/._-]{1,12}", fullmatch=True).map(Word)
words = bare_words | st.builds(Word, st.text(max_size=12), quoted=st.just(True))
chains = st.recursive(
    st.builds(StageText, words).map(lambda stage: ChainText((stage,))),
    lambda inner: st.lists(
        st.builds(StageText, words, st.lists(words | inner, max_size=3).map(tuple)), min_size=1, max_size=3
    ).map(lambda stages: ChainText(tuple(stages))),
    max_leaves=8,
)
chain_like = st.text(st.sampled_from("ab |()'\"\\-\n\té"), max_size=30) | st.text(max_size=30)


@given(chains)
def test_reading_what_was_printed_gives_the_same_chain(chain: ChainText) -> None:
    assert parse(str(chain)) == chain


@given(chain_like)
def test_any_text_is_a_chain_or_an_error_with_a_place(text: str) -> None:
    found = read(text)
    if isinstance(found, ChainSyntaxError):
        assert 0 <= found.start <= len(text)
        assert found.start < found.end
        assert found.message.rpartition("\n")[2].strip(" ").strip("^") == ""
        assert found.message.endswith("^")
    else:
        assert str(parse(str(found))) == str(found)


def read(text: str) -> ChainText | ChainSyntaxError:
    try:
        return parse(text)
    except ChainSyntaxError as exc:
        return exc


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("debug | exec", "debug | exec"),
        ("debug|exec", "debug | exec"),
        ("balance (debug | docker) exec", "balance (debug | docker) exec"),
        ("""balance "docker unix:///a.sock" 'docker ssh://b'""", "balance 'docker unix:///a.sock' 'docker ssh://b'"),
        (r"a b\ c \| '' \"x\"", """a 'b c' '|' '' '"x"'"""),
        ("a\n  b", "a b"),
        ("balance (a=docker x) (b.c= debug | exec y=z)", "balance (a=docker x) (b.c=debug | exec y=z)"),
        ("balance ('a=docker' x)", "balance ('a=docker' x)"),
    ],
)
def test_chains(text: str, printed: str) -> None:
    assert str(parse(text)) == printed


@pytest.mark.parametrize(
    ("text", "problem", "pointer"),
    [
        ("", "expected the name of a backend", "^"),
        ("debug |", "expected the name of a backend", "       ^"),
        ("debug | | exec", "expected the name of a backend", "        ^"),
        ("balance (docker", "this ( is never closed", "        ^"),
        ("balance docker)", "unexpected )", "              ^"),
        ("a=", "expected the name of a backend", "  ^"),
        ("debug 'x", "this quote ' is never closed", "      ^"),
        ("debug \\", "a backslash with nothing after it", "      ^"),
        ("debug\n| )", "expected the name of a backend", "  ^"),
    ],
)
def test_errors_point_at_the_place(text: str, problem: str, pointer: str) -> None:
    with pytest.raises(ChainSyntaxError) as raised:
        parse(text)
    assert raised.value.problem == problem
    assert raised.value.message.splitlines()[-1][2:] == pointer


def test_nesting_has_a_bound() -> None:
    with pytest.raises(ChainSyntaxError, match="nested more than"):
        parse("a (" * 10_000)
