"""`swarmd audit verify`: each kind of tampering is found and named by its file and line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from swarmlib_backends.audit.chain import MAX_LINE, Link
from tests.support.command import invoke


def chain(count: int) -> list[bytes]:
    lines, last = list[bytes](), Link()
    for number in range(count):
        line, last = last.append([b'{"operation":"ContainerList","ms":%d}' % number])
        lines.append(line)
    return lines


def swap(lines: list[bytes]) -> list[bytes]:
    return [*lines[:3], lines[4], lines[3], *lines[5:]]


TAMPERING: list[tuple[Callable[[list[bytes]], list[bytes]], list[str]]] = [
    (lambda lines: lines, []),
    (lambda lines: lines[4:], []),
    (lambda lines: [*lines[:3], lines[3].replace(b"List", b"Stop"), *lines[4:]], ["log:4: line 4 was changed"]),
    (lambda lines: [*lines[:-1], lines[-1].replace(b"List", b"Stop")], ["log:9: line 9 was changed"]),
    (lambda lines: [*lines[:3], *lines[4:]], ["log:4: line 4 is missing before this line"]),
    (lambda lines: [*lines[:2], *lines[6:]], ["log:3: lines 3 to 6 are missing before this line"]),
    (swap, ["log:5: line 4 is not in its place: it follows line 5"]),
    (lambda lines: [*lines, lines[2]], ["log:10: line 3 is not in its place: it follows line 9"]),
    (lambda lines: [*lines[:-1], lines[-1][:50]], ["log:9: the line is cut off"]),
    (lambda lines: [*lines[:3], lines[3][:50] + b"\n", *lines[4:]], ["log:4: the line is cut off"]),
    (lambda lines: [*lines, b"hello\n"], ["log:10: this is not a line of an audit"]),
    (lambda lines: [*lines, *chain(2)], ["log:10: a new chain begins: nothing links it with line 9"]),
    (lambda lines: [*lines[:3], b"x" * (MAX_LINE + 1), b"\n", *lines[4:]], ["log:4: this is not a line of an audit"]),
]


@pytest.mark.parametrize(("tamper", "problems"), TAMPERING, ids=range(len(TAMPERING)))
def test_what_was_done_to_a_file_is_named(
    tmp_path: Path,
    tamper: Callable[[list[bytes]], list[bytes]],
    problems: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("log").write_bytes(b"".join(tamper(chain(9))))
    shown = invoke("audit", "verify", "log", code=1 if problems else 0).stdout.splitlines()
    assert shown[: len(problems[:1])] == problems[:1]
    if not problems:
        assert "; the last is 9" in shown[0]


def test_a_line_that_was_forged_with_its_own_hash_is_found_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = chain(9)
    forged, _ = Link(3, "0" * 64).append([b'{"operation":"Forged"}'])
    Path("log").write_bytes(b"".join([*lines[:3], forged, *lines[4:]]))
    shown = invoke("audit", "verify", "log", code=1).stdout
    assert "log:5: line 4 was changed after it was written" in shown


def test_rotated_files_are_read_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = chain(9)
    for name, part in (("a", lines[:3]), ("b", lines[3:6]), ("c", lines[6:])):
        Path(name).write_bytes(b"".join(part))
    assert "lines in order: 9" in invoke("audit", "verify", "a", "b", "c").stdout
    assert "c:1: lines 4 to 6 are missing" in invoke("audit", "verify", "a", "c", code=1).stdout
    assert "b:1: line 4 is not in its place" in invoke("audit", "verify", "a", "c", "b", code=1).stdout
    assert "No such file" in invoke("audit", "verify", "d", code=2).stderr
