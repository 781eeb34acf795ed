"""The apiserver's errors: those that a real one of 1.20.2 gave, and answers that are none of its own."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlib import (
    BadAnswer,
    Conflict,
    Denied,
    Invalid,
    NotFound,
    SwarmError,
    TimedOut,
    TooLarge,
    Unavailable,
    Unsupported,
)
from swarmlib_backends.kubernetes.api.errors import MAX_MESSAGE, error_of, error_of_status, is_expired, reason_of
from tests.support.paths import DATA

RECORDED: list[dict[str, Any]] = json.loads((DATA / "kubernetes/statuses-1.20.2.json").read_text())
KINDS = {400: Invalid, 401: Denied, 403: Denied, 404: NotFound, 405: Unsupported, 409: Conflict, 415: Unsupported}


@pytest.mark.parametrize("recorded", RECORDED, ids=[each["name"] for each in RECORDED])
def test_a_real_error_keeps_its_message_and_reason(recorded: dict[str, Any]) -> None:
    status = recorded["json"]
    error = error_of(recorded["status"], orjson.dumps(status))
    assert type(error) is KINDS.get(recorded["status"], Invalid)
    assert error.message == status["message"]
    assert reason_of(error) == status["reason"]
    assert error.details["code"] == recorded["status"]
    about = status.get("details") or {}
    assert (error.details.get("kind"), error.details.get("name")) == (about.get("kind"), about.get("name"))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (302, BadAnswer),
        (400, Invalid),
        (401, Denied),
        (403, Denied),
        (404, NotFound),
        (410, Conflict),
        (413, TooLarge),
        (418, Invalid),
        (429, Unavailable),
        (500, Unavailable),
        (502, Unavailable),
        (503, Unavailable),
        (504, TimedOut),
    ],
)
def test_an_answer_of_something_in_between_is_an_error_by_its_status(code: int, kind: type[SwarmError]) -> None:
    error = error_of(code, b"<html>no\n")
    assert type(error) is kind
    assert error.message == f"the cluster answered {code}: <html>no"
    assert reason_of(error) == ""


def test_the_reason_says_more_than_the_code() -> None:
    error = error_of(500, b'{"kind":"Status","reason":"ServerTimeout","message":"later"}')
    assert type(error) is TimedOut


@pytest.mark.parametrize("status", [{"code": 410}, {"reason": "Expired"}, {"reason": "Gone", "code": 410}])
def test_a_version_that_is_forgotten(status: dict[str, Any]) -> None:
    assert is_expired(error_of_status(status))
    assert not is_expired(error_of_status({**status, "code": 409, "reason": "Conflict"}))


@pytest.mark.parametrize(
    ("header", "seconds", "pause"),
    [("7", None, 7), ("", 3, 3), ("7", 3, 7), ("-1", None, None), ("Fri, 27 Nov 2026 20:00:00 GMT", None, None)],
)
def test_a_pause_is_that_of_the_header_or_else_of_the_body(header: str, seconds: int | None, pause: int | None) -> None:
    body = orjson.dumps({"kind": "Status", "details": {"retryAfterSeconds": seconds}})
    assert error_of(429, body, header).details.get("retry_after") == pause


KEYS = ["kind", "message", "reason", "details", "code", "name", "retryAfterSeconds"]
VALUES = st.none() | st.just("Status") | st.integers() | st.text(max_size=5)
BODIES = st.dictionaries(st.sampled_from(KEYS), VALUES | st.dictionaries(st.sampled_from(KEYS), VALUES))


@given(st.binary() | BODIES.map(json.dumps).map(str.encode), st.integers(200, 599), st.text(max_size=9))
def test_whatever_answers_it_is_an_error(raw: bytes, code: int, header: str) -> None:
    error = error_of(code, raw, header)
    assert isinstance(error, SwarmError)
    assert error.message
    assert error.details["code"] == code


def test_a_long_message_is_cut() -> None:
    status = {"kind": "Status", "message": "x" * (2 * MAX_MESSAGE), "reason": "Invalid"}
    assert len(error_of(422, orjson.dumps(status)).message) == MAX_MESSAGE
    assert len(error_of(422, b"x" * (2 * MAX_MESSAGE)).message) < MAX_MESSAGE + 100
