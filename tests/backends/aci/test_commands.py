"""A command between its marks: its output, whatever the terminal shows around it, and its exit code."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlib_backends.aci.commands import Marked, quoted


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces: list[bytes] = []
    while data:
        size = sizes.pop(0) if sizes else len(data)
        pieces.append(data[:size])
        data = data[size:]
    return pieces


@given(st.binary(max_size=60), st.integers(0, 255), st.lists(st.integers(1, 9), max_size=40), st.booleans())
def test_output_comes_whole_however_it_is_cut(output: bytes, code: int, sizes: list[int], terminal: bool) -> None:
    marked = Marked(terminal, nonce="1234")
    script = marked.script(["cmd"], {}, "", stdin=False)
    shown = b"/ # " + script.encode() + b"swarmlib-1234-begin\n" + output + b"swarmlib-1234-end-%d\n/ # " % code
    assert b"".join(marked.feed(piece) for piece in cut(shown, sizes)) == output
    assert marked.code == code


def test_line_ends_of_a_terminal_are_only_a_terminals() -> None:
    for terminal, expected in ((False, b"a\nb\n"), (True, b"a\r\nb\r\n")):
        marked = Marked(terminal, nonce="1")
        pieces = (b"swarmlib-1-begin\r", b"\na\r", b"\nb\r\nswarmlib-1-end-0\r\n")
        assert b"".join(map(marked.feed, pieces)) == expected


@pytest.mark.parametrize("word", ["", "a b", "it's", '$HOME `x` \\ "', "x" * 5000, "'" * 700, "line\nline"])
def test_a_shell_reads_words_as_they_were(word: str) -> None:
    done = subprocess.run(["sh"], input=f"printf %s {quoted(word)}\n", capture_output=True, text=True, check=True)
    assert done.stdout == word
    assert max(map(len, quoted(word).split("\n"))) < 1000


def test_a_script_in_a_real_shell_says_where_the_output_is(tmp_path: object) -> None:
    marked = Marked(terminal=False)
    script = marked.script(["sh", "-c", "echo $A; pwd; cat; exit 9"], {"A": "it's"}, str(tmp_path), stdin=False)
    done = subprocess.run(["sh"], input=script.encode(), capture_output=True, check=False)
    assert marked.feed(done.stdout) == f"it's\n{tmp_path}\n".encode()
    assert marked.code == 9
    long = marked.script(["echo", *["it's"] * 300], {"A": "x" * 900}, "/", stdin=True)
    assert max(map(len, long.split("\n"))) < 1000
    done = subprocess.run(["sh"], input=long.encode(), capture_output=True, check=False)
    assert b" ".join([b"it's"] * 300) in done.stdout
