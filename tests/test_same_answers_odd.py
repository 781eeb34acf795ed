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


def test_a_difference_is_seen() -> None:
    asked = Question("ContainerInspect", "GET", "/v1.41/containers/x/json")
    missing = Answer(404, body=b'{"message":"No such container: x"}')
    assert difference(asked, missing, Answer(500, body=b'{"message":"oops"}')) is not None
    assert difference(asked, missing, Answer(404, body=b'{"message":"it is not there"}')) is not None
    assert difference(asked, missing, Answer(404, {"api-version": "1.41"}, missing.body)) is not None
    assert difference(asked, missing, Answer(404, body=missing.body, first_byte=30)) is not None
    assert difference(asked, missing, missing) is None
