"""Amounts, rates, rules and latencies as people write them: read right, or refused in words."""

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlib import Request, Verb
from swarmlib.quantities import ByteRate, Rate, number_of_bytes, seconds, shown_bytes, shown_seconds
from swarmlib_backends.chaos import Latency
from swarmlib_backends.patterns import Rule, fitting

written = st.one_of(
    st.text(max_size=20),
    st.from_regex(r"\\s*[0-9]{0,20}(\\.[0-9]*)?\\s*(us|ms|s|m|h|B|KB|MiB|GiB|X)?(/(s|m|h|d)?)?", fullmatch=True),
    st.from_regex(r"(uniform|normal|lognormal|exponential|x)\\([0-9ms.,nan-]{0,12}\\)", fullmatch=True),
    st.from_regex(r"[0-9]{1,3}(ms|s)?(±|\\+-)[0-9]{0,3}(ms|s)?", fullmatch=True),
)


def refusal(read: Callable[[str], object], text: str) -> str:
    """Why it is refused; empty where it is not."""
    try:
        read(text)
    except ValueError as exc:
        return str(exc)
    return ""


@given(written)
def test_anything_is_read_or_refused_with_the_right_form(text: str) -> None:
    forms = {seconds: "a number with a unit", number_of_bytes: "MiB", Rate.read: "10/s", ByteRate.read: "64KiB/s"}
    for read, form in {**forms, Rule.read: "PATTERN=VALUE"}.items():
        why = refusal(read, text)
        assert form in why or not why


@given(written, st.integers())
def test_a_latency_that_was_read_can_always_be_drawn_from(text: str, seed: int) -> None:
    if why := refusal(Latency.read, text):
        assert "lognormal(50ms,0.5)" in why
    else:
        assert Latency.read(text).draw(random.Random(seed)) < float("inf")


@pytest.mark.parametrize(
    ("text", "amount"),
    [("5", 5), ("0.5s", 0.5), ("20 ms", 0.02), ("7us", 7e-6), ("2m", 120), ("1h", 3600), ("1.5d", 129600)],
)
def test_durations(text: str, amount: float) -> None:
    assert seconds(text) == pytest.approx(amount)


@pytest.mark.parametrize(
    ("text", "amount"), [("10", 10), ("1KB", 1000), ("1KiB", 1024), ("1.5MiB", 3 << 19), ("16g", 2**34)]
)
def test_sizes(text: str, amount: int) -> None:
    assert number_of_bytes(text) == amount


@pytest.mark.parametrize(
    ("kind", "text", "amount"),
    [(Rate, "10", 10), (Rate, "600/m", 10), (ByteRate, "64KiB/s", 65536), (ByteRate, "9", 9)],
)
def test_rates(kind: type[Rate], text: str, amount: float) -> None:
    assert kind.read(text).per_second == pytest.approx(amount)
    assert str(kind.read(text)) == text


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [("ls*", False), ("stop *", True), ("* containers/web", True), ("stop", False), ("stop containers/w?b", True)],
)
def test_a_pattern_is_over_verb_and_path(pattern: str, fits: bool) -> None:
    message = Request(Verb.STOP, ("containers", "web"))
    assert fitting([pattern])(message) is fits
    assert Rule.read(f"{pattern}=5").fits(message) is fits
    assert fitting(["get"])(Request(Verb.GET))


@given(st.integers(0, 10**9))
def test_a_shown_time_or_size_is_read_as_the_same(amount: int) -> None:
    assert seconds(shown_seconds(amount / 1000)) == pytest.approx(amount / 1000)
    assert number_of_bytes(shown_bytes(amount)) == amount


def test_a_time_and_a_size_are_shown_in_the_largest_unit() -> None:
    assert [shown_seconds(each) for each in (0, 0.5, 5.0, 1800.0)] == ["0s", "500ms", "5s", "30m"]
    assert [shown_bytes(each) for each in (0, 10, 2**26, 2**34)] == ["0B", "10B", "64MiB", "16GiB"]


@pytest.mark.parametrize("text", ["", "m", "-1s", "1w", "nan", "inf"])
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a number with a unit"):
        seconds(text)


@pytest.mark.parametrize("number", [0, 1e-05, 0.1, 7, 10**17])
def test_a_number_of_a_program_is_taken_as_it_is(number: float) -> None:
    assert seconds(number) == number
    assert number_of_bytes(number) == int(number)


@pytest.mark.parametrize("number", [-1, -0.5, math.inf, math.nan, True, None])
def test_what_is_no_amount_is_refused_of_a_program_too(number: object) -> None:
    for read in (seconds, number_of_bytes):
        with pytest.raises(ValueError, match="expected a number with a unit"):
            read(number)
