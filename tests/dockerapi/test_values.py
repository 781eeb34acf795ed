"""Numbers, times and signals in requests, as an engine reads them."""

import re
import signal
from datetime import UTC, datetime

import pytest

from swarmlib import Invalid
from swarmlib_backends.dockerapi.numbers import integer
from swarmlib_backends.dockerapi.operations import ContainerResize
from swarmlib_backends.dockerapi.times import filter_moment, moment, timestamp
from swarmlib_backends.dockerapi.values import signal_number, terminal_size

NOW = datetime(2020, 1, 1, 12, 0, 0, 999_999, tzinfo=UTC).timestamp()
AT = 1136214245.0
"""2006-01-02T15:04:05Z."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", 5), ("+5", 5), ("-5", -5), ("-0", 0), ("007", 7), ("0" * 100_000, 0),
        ("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63)), ("9223372036854775808", None),
        ("9" * 5000, None), ("", None), ("+", None), ("+-5", None), (" 5", None), ("5 ", None), ("5\n", None),
        ("0x5", None), ("1e3", None), ("1_0", None), ("5.0", None), ("\u00b2", None), ("\u0665", None),
    ],
)  # fmt: skip
def test_a_number_is_what_go_reads(text: str, expected: int | None) -> None:
    assert integer(text) == expected


@pytest.mark.parametrize("text", ["+5", "-0", "-5", "70000"])
def test_an_unsigned_number_has_no_sign_and_is_in_its_range(text: str) -> None:
    assert integer(text, range(2**16)) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", 5), ("0", 0), ("-1", -1), ("1.5", 1.5), ("1.05", 1.05), ("1.000000001", 1.000000001), ("-1.5", -0.5),
        ("1.0000000005", 1), ("", None), ("1.", None), (".5", None), ("1.5.5", None), ("1.5s", None), ("nan", None),
        ("1e3", None), ("10m", None), ("2006-01-02T15:04:05Z", None),
    ],
)  # fmt: skip
def test_a_timestamp_is_seconds_and_digits_of_a_second_that_come_on_top(text: str, expected: float | None) -> None:
    found = timestamp(text)
    assert (found and moment(found)) == expected
    if found is not None:
        assert timestamp(found) == found
        assert re.fullmatch(r"-?[0-9]+(\.[0-9]{9})?", found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Those with a zone of moby's TestGetTimestamp.
        ("2006-01-02T15:04:05.999999999Z", AT + 0.999999999), ("2006-01-02T15:04:05.5+07:00", AT - 7 * 3600 + 0.5),
        ("2006-01-02T15:04:05Z", AT), ("2006-01-02T15:04:0Z", None), ("2006-01-02T15:04Z", AT - 5),
        ("2006-01-02T15:04+00:00", AT - 5), ("2006-01-02T15:04-00:00", AT - 5), ("2006-01-02T15:0Z", None),
        ("2006-01-02T15Z", AT - 245), ("2006-01-02T15-00:01", AT - 185), ("2006-01-02T1Z", 1136163600),
        ("2006-01-02TZ", None), ("2006-01-02+00:00", 1136160000), ("2006-01-02-00:01", 1136160060),
        ("2006-01-02Z", 1136160000), ("2006-01-32Z", None), ("2006-02-30", None), ("2006-1-2", None),
        ("1136073600", 1136073600), ("1136073600.000000001", 1136073600.000000001), ("+5", 5), ("-5", None), ("0", 0),
        ("1m", 1577880000 - 60), ("1.5h", 1577880000 - 5400), ("1h30m", 1577880000 - 5400), ("-1h", 1577880000 + 3600),
        ("1h1us", 1577880000 - 3600), ("500ms", 1577880000), ("1s", 1577879999),
        (".5h", 1577880000 - 1800), ("0s", 1577880000),
        ("1d", None), ("h", None), ("1h ", None), ("-", None), ("9999999999h", None),
        ("invalid", None), ("yesterday", None), ("", None),
    ],
)  # fmt: skip
def test_the_time_of_a_filter_is_a_duration_a_date_or_a_timestamp(text: str, expected: float | None) -> None:
    found = filter_moment(text, NOW)
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-6))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9", 9), ("+9", 9), ("009", 9), ("KILL", 9), ("SIGKILL", 9), ("sigkill", 9), ("CLD", 17), ("IOT", 6),
        ("POLL", 29),
        ("34", 34), ("RTMIN", 34), ("SIGRTMIN+15", 49), ("RTMAX-14", 50), ("rtmax", 64),
    ],
)  # fmt: skip
def test_a_signal_has_a_number_and_a_name(text: str, expected: int) -> None:
    assert signal_number(text) == expected


@pytest.mark.parametrize(
    "text", ["", "0", "-9", "65", "32", "RTMIN+16", "RTMAX-15", "RTMIN-1", "KILL ", "SIGSIGKILL", "\u00b2"]
)
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="Invalid signal"):
        signal_number(text)


def test_every_name_of_a_signal_is_one_of_this_machines() -> None:
    assert {signal_number(each.name) for each in signal.Signals} <= signal.valid_signals()


def test_of_a_terminals_size_a_kernel_keeps_16_bits() -> None:
    assert terminal_size(ContainerResize.read({"h": "65560", "w": "-1"})) == (24, 65535)
