"""The form of a message: what goes in comes out, and what is no message is refused with its reason."""

import math
from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarmlib import ERRORS, BadAnswer, Invalid, Json, Message, SwarmError, TooLarge, Verb
from swarmlib.wire.codec import Apart, Kind, Ref, RefKind, Refs, WireError, decode, encode, pack_value, unpack_value
from swarmlib.wire.validation import check_request
from swarmlib_backends.dockerapi.status import error_body, error_headers, error_of, status_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | TEXT
    | st.binary(max_size=20)
)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple) | st.dictionaries(TEXT, inner),
    max_leaves=8,
)
ARGS = st.dictionaries(TEXT, DATA, max_size=4)
PATHS = st.lists(TEXT, max_size=4).map(tuple)
NAMES = st.lists(st.text("abc-_ %\\\U0001f433", min_size=1, max_size=20), max_size=4).map(tuple)
"""Paths of requests: any that are checked."""
ERROR_VALUES = st.builds(
    lambda kind, message, backend, path, details: kind(message, backend=backend, path=path, details=details),
    st.sampled_from(list(ERRORS.values())),
    TEXT,
    TEXT,
    PATHS,
    ARGS,
)
VALUES = st.none() | st.binary(max_size=50) | st.binary(max_size=50).map(Json) | ERROR_VALUES
IDS = st.integers(0, 2**64 - 1)
CHANNELS = st.none() | st.builds(Ref, st.just(RefKind.CHANNEL), IDS)
ATTS = st.none() | st.builds(Ref, st.sampled_from([RefKind.STREAM, RefKind.DUPLEX]), IDS)
REFS = st.builds(Refs, CHANNELS, CHANNELS, ATTS, st.none())
MESSAGES = st.builds(
    Message, st.sampled_from(Verb), NAMES, ARGS, VALUES, deadline=st.just(math.inf) | st.integers(0, 2**40).map(float)
)


def form(message: Message) -> Any:
    """Everything that a message holds, for comparing."""
    value: Any = message.value
    if isinstance(value, SwarmError):
        value = (type(value), value.message, value.backend, value.path, value.details)
    elif isinstance(value, Json):
        value = ("json", value.raw)
    return (message.verb, message.path, message.args, value, message.deadline)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MESSAGES, REFS)
def test_a_message_and_its_references_come_back_as_they_were(message: Message, refs: Refs) -> None:
    came, came_refs = decode(encode(message, refs, now=7.0), now=7.0)
    late = max(message.deadline, 7.0)
    assert form(came) == form(message.but(deadline=late))
    assert came_refs == refs


@given(MESSAGES, IDS, IDS)
def test_a_value_that_comes_apart_leaves_its_place_to_a_reference(message: Message, id: int, length: int) -> None:
    apart = Apart(id, length, Kind.JSON)
    came, refs = decode(encode(message, Refs(value=apart), now=0.0), now=0.0)
    assert came.value is None
    assert refs == Refs(value=apart)


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_but_the_wires_own_error(garbage: bytes) -> None:
    with pytest.raises(WireError):
        decode(garbage, now=0.0)


@given(MESSAGES, REFS, st.data())
def test_a_damaged_message_is_read_or_refused(message: Message, refs: Refs, data: st.DataObject) -> None:
    packed = bytearray(encode(message, refs, now=0.0))
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place] = data.draw(st.integers(0, 255))
    with suppress(WireError):
        message, _ = decode(bytes(packed), now=0.0)
        assert isinstance(message, Message)


@given(MESSAGES, REFS, st.data())
def test_a_truncated_message_is_refused(message: Message, refs: Refs, data: st.DataObject) -> None:
    packed = encode(message, refs, now=0.0)
    with pytest.raises(WireError):
        decode(packed[: data.draw(st.integers(0, len(packed) - 1))], now=0.0)


def test_trailing_bytes_are_refused_and_counted() -> None:
    with pytest.raises(WireError, match="3 bytes stand after the end"):
        decode(encode(Message(Verb.LS), now=0.0) + b"abc", now=0.0)


def fields(**changes: Any) -> bytes:
    """A message's nine fields, some of them other than they should be."""
    names = ("verb", "path", "args", "kind", "value", "ret", "channel", "att", "left")
    usual: dict[str, Any] = dict(zip(names, ("ls", [], {}, 0, None, None, None, None, None), strict=True))
    packed: bytes = msgpack.packb(list((usual | changes).values()))
    return packed


CHANNEL_7 = msgpack.ExtType(1, (7).to_bytes(8, "big"))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (fields(verb="lss"), "'lss' is no verb"),
        (fields(verb=3), "3 is no verb"),
        (fields(path="web"), "a path is an array of text"),
        (fields(path=["a", 1]), "a path is an array of text"),
        (fields(args=[1]), "args and details are maps"),
        (fields(kind=9, value=b""), "a value is of kind"),
        (fields(kind=1), "a value is of kind"),
        (fields(kind=1, value="text"), "a value is of kind"),
        (fields(kind=True, value=b"1"), "a value is of kind"),
        (fields(kind=0, value=b"x"), "a value is of kind"),
        (fields(ret=5), "references or nil"),
        (fields(att=CHANNEL_7), "att is nil or a reference of type"),
        (fields(args={"a": CHANNEL_7}), "a reference stands where none may"),
        (fields(ret=msgpack.ExtType(1, b"7")), "no extension type 1 with 1 bytes"),
        (fields(ret=msgpack.ExtType(77, b"7")), "no extension type 77"),
        (fields(kind=0, value=msgpack.ExtType(5, bytes(16))), "that comes apart is of kind"),
        (fields(left=-1), "the time left"),
        (fields(left=math.nan), "the time left"),
        (fields(left=math.inf), "the time left"),
        (fields(left=True), "the time left"),
        (fields(left="1"), "the time left"),
        (fields(extra=1), "an array of 9 fields, not an array of 10"),
        (msgpack.packb({"verb": "ls"}), "an array of 9 fields"),
        (
            fields(kind=3, value=msgpack.ExtType(5, bytes(8) + (1 << 20 | 1).to_bytes(8, "big"))),
            "an error of 1048577 bytes",
        ),
        (fields(args=[msgpack.ExtType(4, bytes(8))]), "no extension type 4"),
        (fields(args={"a": msgpack.ExtType(6, b"\x01")}), "a tuple is an array"),
        (b"\x91" * 2000 + b"\xc0", "not msgpack"),
        (b"\x91" * 1000 + b"\xc0", "an array of 9 fields, not an array of 1"),
        (fields(path=b"\x91" * 1000), "a path is an array of text"),
    ],
)
def test_what_is_no_message_is_refused_with_its_reason(data: bytes, told: str) -> None:
    with pytest.raises(WireError, match=told):
        decode(data, now=0.0)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (b"\xc0", "an error is an array of 5"),
        (b"\xc1", "an error that can't be read: this is not msgpack"),
        (msgpack.packb([5, "", "", [], {}]), "code, message and backend are text"),
        (msgpack.packb(["invalid", 1, "", [], {}]), "code, message and backend are text"),
        (msgpack.packb(["invalid", "", "", 5, {}]), "a path is an array of text"),
        (msgpack.packb(["invalid", "", "", [], 5]), "args and details are maps"),
        (msgpack.packb(["invalid", "", "", [], {"a": CHANNEL_7}]), "5 plain fields"),
        (msgpack.packb(["teapot", "no coffee", "", [], {}]), "no coffee"),
    ],
)
def test_an_error_that_is_none_is_an_error_of_who_said_it(value: bytes, told: str) -> None:
    found = decode(fields(kind=3, value=value), now=0.0)[0].error
    assert isinstance(found, BadAnswer)
    assert told in found.message


def test_an_error_that_is_too_long_is_refused_where_it_is_sent() -> None:
    with pytest.raises(TooLarge, match="an error of"):
        pack_value(Invalid("x" * (1 << 20)))


def test_tuples_may_lie_eight_deep() -> None:
    deep: Any = ()
    for _ in range(7):
        deep = (deep,)
    assert decode(encode(Message(Verb.LS, args={"a": deep}), now=0.0), now=0.0)[0].args == {"a": deep}
    deeper, _ = decode(encode(Message(Verb.LS, args={"a": ((deep,),)}), now=0.0), now=0.0)
    with pytest.raises(Invalid, match="the argument 'a' is nested too deep"):
        check_request(deeper, 1)


@pytest.mark.parametrize(
    "args",
    [{"a": object()}, {"a": {1, 2}}, {"a": 2**64}, {"a": "\ud800"}, {"a": {"b": [object()]}}],
    ids=["object", "set", "large", "surrogate", "inside"],
)
def test_what_cant_be_carried_is_refused_where_it_is_sent(args: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="this ls message can't be carried") as caught:
        encode(Message(Verb.LS, ("web",), args), now=0.0)
    assert caught.value.path == ("web",)
    assert decode(encode(Message(Verb.LS), now=0.0), now=0.0)[0].verb is Verb.LS  # the packer is fit for the next


def test_the_details_of_an_engines_error_arrive_as_the_gateway_reads_them() -> None:
    headers = [(b"Api-Version", b"1.41"), (b"Content-Type", b"application/json")]
    error = error_of(409, headers, b'{"message":"in use"}\n', "docker")
    message, _ = decode(encode(Message(Verb.ERROR, value=error), now=0.0), now=0.0)
    came = message.error
    assert (type(came), str(came), came.backend) == (type(error), "in use", "docker")
    assert (status_of(came), error_headers(came), error_body(came)) == (409, headers, b'{"message":"in use"}\n')


def test_a_json_values_bytes_are_not_decoded_on_the_way() -> None:
    raw = b'{"a" : 1,\n "b": not json}'
    message, _ = decode(encode(Message(Verb.SET, value=Json(raw)), now=0.0), now=0.0)
    assert isinstance(message.value, Json)
    assert message.value.raw == raw


def test_the_time_left_goes_over_and_not_the_time_of_day() -> None:
    packed = encode(Message(Verb.LS, deadline=110.0), now=100.0)
    assert decode(packed, now=5.0)[0].deadline == 15.0
    assert decode(encode(Message(Verb.LS, deadline=90.0), now=100.0), now=5.0)[0].deadline == 5.0


@given(st.integers(-10, 10), st.none() | st.binary(max_size=30))
def test_any_kind_with_any_bytes_is_a_value_or_refused(kind: int, data: bytes | None) -> None:
    with suppress(WireError):
        value = unpack_value(kind, data)
        assert value is None or isinstance(value, BadAnswer) or pack_value(value) == (kind, data)
