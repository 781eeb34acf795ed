"""What a line says of a call's object: the same for calls that are repeated, and never that of another call."""

from typing import Any

import orjson

from swarmlib import Ack, Json, Request, Set, Verb
from swarmlib_backends.audit.line import Line
from swarmlib_backends.audit.subject import LONGEST_REPEATED, repeated
from swarmlib_backends.dockerapi import table


def told(answer: Any) -> dict[str, Any]:
    """The line of an inspection of the container `web` that is answered so."""
    request = Request(Verb.GET, ("containers", "web"))
    line = Line("1", request, table.row_of(request.verb, request.path, upload=False))
    line.add(Set(Json.from_data(answer)))
    line.add(Ack())
    found: dict[str, Any] = orjson.loads(line.finish(1500))
    return found


def test_a_repeated_call_is_remembered_by_what_its_answer_says() -> None:
    before = repeated.cache_info()
    ids = ["a" * 64, "b" * 64, "a" * 64]
    assert [told({"Id": id, "State": {"Pid": number}})["object"]["id"] for number, id in enumerate(ids)] == ids
    after = repeated.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (2, 1)


def test_nothing_is_remembered_of_a_long_answer() -> None:
    before = repeated.cache_info()
    assert told({"Id": "c" * LONGEST_REPEATED})["out"] > LONGEST_REPEATED
    assert repeated.cache_info() == before


def test_the_time_of_a_call_is_told_to_the_microsecond() -> None:
    assert told({})["ms"] == 1.5
