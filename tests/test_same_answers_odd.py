"""Odd and wrong requests, drawn from the official schema, have the same answers directly and through the gateway.

`tests.bench.odd_requests` asks for as long as one likes, and balance, the simulator and `exec` too.
"""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarmlib_backends.dockerapi.rows import Row
from tests.odd_requests import ASKED, Question, questions
from tests.same_answers import Answer, Comparison, comparison, difference

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def gateway() -> Iterator[Comparison]:
    with comparison(balance=False, simulated=False) as compared:
        yield compared


@pytest.mark.parametrize("row", ASKED, ids=lambda row: row.name)
def test_an_odd_request_has_the_engines_answer(row: Row, gateway: Comparison) -> None:
    @settings(max_examples=2, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def ask(data: st.DataObject) -> None:
        asked = data.draw(questions(row))
        assert gateway.ask(asked) == {}, str(asked)

    ask()


@pytest.fixture(scope="module")
def everybody() -> Iterator[Comparison]:
    with comparison() as compared:
        yield compared


@pytest.mark.parametrize(
    ("row", "method", "target"),
    [
        ("SystemPing", "GET", "/v1.99/_ping"),
        ("SystemInfo", "GET", "/v1.11/info"),
        ("ContainerKill", "POST", "/v1.41/containers/nosuch/kill?signal=SIGNOPE"),
        ("ContainerKill", "POST", "/v1.41/containers/nosuch/kill?signal=99"),
        ("ContainerKill", "POST", "/v1.41/containers/thing/kill?signal=99"),
        ("ContainerKill", "POST", "/v1.41/containers/stopped/kill"),
        ("ContainerRename", "POST", "/v1.41/containers/nosuch/rename"),
        ("ContainerPause", "POST", "/v1.41/containers/stopped/pause"),
        ("ContainerUnpause", "POST", "/v1.41/containers/thing/unpause"),
        ("ContainerWait", "POST", "/v1.41/containers/stopped/wait?condition=nosuch"),
        ("ContainerDelete", "DELETE", "/v1.41/containers/thing"),
        ("ContainerStats", "GET", "/v1.41/containers/thing/stats?stream=1&one-shot=1"),
        ("ContainerAttach", "POST", "/v1.41/containers/nosuch/attach?detachKeys=ctrl-A,a"),
        ("ContainerAttach", "POST", "/v1.41/containers/nosuch/attach?detachKeys=ctrl-a,DEL"),
    ],
)
def test_everybody_refuses_as_an_engine(row: str, method: str, target: str, everybody: Comparison) -> None:
    assert everybody.ask(Question(row, method, target)) == {}


def test_a_difference_is_seen() -> None:
    asked = Question("ContainerInspect", "GET", "/v1.41/containers/x/json")
    missing = Answer(404, body=b'{"message":"No such container: x"}')
    assert difference(asked, missing, Answer(500, body=b'{"message":"oops"}')) is not None
    assert difference(asked, missing, Answer(404, body=b'{"message":"it is not there"}')) is not None
    assert difference(asked, missing, Answer(404, {"api-version": "1.41"}, missing.body)) is not None
    assert difference(asked, missing, Answer(404, body=missing.body, first_byte=30)) is not None
    assert difference(asked, missing, missing) is None
