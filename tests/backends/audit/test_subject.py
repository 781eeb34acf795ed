"""What a line says of a call's object: the same for calls that are repeated, and never that of another call."""

from typing import Any

import orjson
import pytest

from swarmlib import Ack, Json, Request, Set, Verb
from swarmlib_backends.audit import line
from swarmlib_backends.audit.subject import LONGEST_REPEATED, repeated


def told(answer: Any) -> dict[str, Any]:
    """The line of an inspection of the container `web` that is answered so."""
    request = Request(Verb.GET, ("containers", "web"))
    told = line.Line("1", request)
    told.add(Set(Json.from_data(answer)))
    told.add(Ack())
    told.end()
    found: dict[str, Any] = orjson.loads(told.entry())
    return found


def test_a_repeated_call_is_remembered_by_what_its_answer_says() -> None:
    before = repeated.cache_info()
    ids = ["a" * 64, "b" * 64, "a" * 64]
    assert [told({"Id": id, "State": {"Pid": number}})["object"]["id"] for number, id in enumerate(ids)] == ids
    after = repeated.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (2, 1)


def test_nothing_is_remembered_of_long_texts() -> None:
    before = repeated.cache_info()
    assert told({"Id": "c" * LONGEST_REPEATED})["out"] > LONGEST_REPEATED
    assert told({"Config": {"Image": "c" * LONGEST_REPEATED}})["out"] > LONGEST_REPEATED
    assert repeated.cache_info() == before


def test_a_long_answer_is_remembered_by_the_little_that_a_line_takes_from_it() -> None:
    before = repeated.cache_info()
    for number in range(2):
        assert told({"Id": "d" * 64, "State": [number] * 50_000})["object"]["id"] == "d" * 64
    assert repeated.cache_info().hits == before.hits + 1


def test_the_time_of_a_call_is_told_to_the_microsecond(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "perf_counter_ns", iter((7_000, 1_507_999)).__next__)
    assert told({})["ms"] == 1.5
