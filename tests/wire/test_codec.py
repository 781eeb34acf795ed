"""The form of requests and replies: what goes in comes out, and what is neither is refused with its reason."""

import math
from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarmlib import (
    ERRORS,
    Ack,
    BadAnswer,
    Error,
    Invalid,
    Json,
    Log,
    Meta,
    Operation,
    Reply,
    Request,
    Set,
    TooLarge,
    Verb,
)
from swarmlib.trace_context import TraceContext
from swarmlib.wire.codec import Message, complete, encode, raw_value
from swarmlib.wire.errors import WireError
from swarmlib.wire.references import NO_REFS, OutOfBandValue, Ref, RefKind, Refs
from swarmlib.wire.reply_codec import decode_reply
from swarmlib.wire.request_codec import decode_request
from swarmlib.wire.validation import check_reply, check_request
from swarmlib_backends.dockerapi.status import error_body, error_headers, error_of, status_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ESCAPED = st.binary(max_size=20).map(lambda data: data.decode(errors="surrogateescape"))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | TEXT
    | st.binary(max_size=20)
)


def nested(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple) | st.dictionaries(TEXT, inner)
        ),
        max_leaves=8,
    )


PARAMS = st.dictionaries(TEXT, nested(SCALARS | ESCAPED), max_size=4)
DETAILS = st.dictionaries(TEXT, nested(SCALARS), max_size=4)
PATHS = st.lists(TEXT, max_size=4).map(tuple)
NAMES = st.lists(st.text("abc-_ %\\\U0001f433", min_size=1, max_size=20), max_size=4).map(tuple)
"""Paths of requests: any that are checked."""
TRACES = st.builds(
    TraceContext,
    st.integers(1, 2**128 - 1).map("{:032x}".format),
    st.integers(1, 2**64 - 1).map("{:016x}".format),
    st.booleans(),
    st.sampled_from(["", "a=b", "a@b=c,d=e f"]),
)
METAS = st.builds(Meta, TEXT, TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple), st.none() | TRACES)
VALUES = st.none() | st.binary(max_size=50).map(Json)
IDS = st.integers(0, 2**64 - 1)
APARTS = st.none() | st.builds(OutOfBandValue, IDS, st.integers(0, 2**20))
REQUESTS = st.builds(
    Request,
    st.sampled_from(Verb),
    NAMES,
    PARAMS,
    VALUES,
    meta=METAS,
    deadline=st.just(math.inf) | st.integers(0, 2**40).map(float),
)
REQUEST_REFS = st.builds(
    Refs,
    st.builds(Ref, st.just(RefKind.CHANNEL), IDS),
    st.none() | st.builds(Ref, st.just(RefKind.STREAM), IDS),
    APARTS,
)
ERRORS_TOLD = st.builds(
    lambda kind, message, backend, path, details: Error(kind(message, backend=backend, path=path, details=details)),
    st.sampled_from(list(ERRORS.values())),
    TEXT,
    TEXT,
    PATHS,
    DETAILS,
)
ACKS = st.builds(Ack, VALUES, DETAILS)
OTHERS = st.builds(Set, VALUES, DETAILS) | st.builds(Log, st.binary(max_size=50), DETAILS) | ERRORS_TOLD
STREAMS = st.none() | st.builds(Ref, st.sampled_from([RefKind.STREAM, RefKind.DUPLEX]), IDS)
REPLIES = st.tuples(ACKS, st.builds(Refs, st.none(), STREAMS, APARTS)) | st.tuples(
    OTHERS, st.builds(Refs, st.none(), st.none(), APARTS)
)
REPLY_TO_7 = Refs(Ref(RefKind.CHANNEL, 7))
SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def form(message: Message) -> Any:
    """Everything that a request or reply holds, for comparing; the types tell lists from tuples, and 1 from 1.0."""
    if isinstance(message, Error):
        error = message.error
        return "error", type(error), error.message, error.backend, error.path, repr(error.details)
    if isinstance(message, Operation):
        deadline = max(message.deadline, 7.0)  # what had passed is due now
        return message.verb, message.path, repr(message.params), raw_value(message), message.meta, deadline
    return message.kind, repr(message.details), raw_value(message)


def decode(packed: bytes, like: Message) -> tuple[Message, Refs]:
    return decode_request(packed, now=7.0) if isinstance(like, Operation) else decode_reply(packed)


@SLOW
@given(st.tuples(REQUESTS, REQUEST_REFS) | REPLIES)
def test_a_request_or_reply_and_its_references_come_back_as_they_were(sent: tuple[Message, Refs]) -> None:
    message, refs = sent
    raw = raw_value(message)
    refs = refs._replace(value=None) if raw is None else refs
    came, came_refs = decode(encode(message, refs, now=7.0), message)
    if refs.value is not None and raw is not None:
        complete(came, raw)  # as when it has come, apart
    assert form(came) == form(message)
    assert came_refs == refs


@given(REQUESTS, IDS, IDS)
def test_a_value_that_comes_apart_leaves_its_place_to_a_reference(request: Request, id: int, length: int) -> None:
    refs = REPLY_TO_7._replace(value=OutOfBandValue(id, length))
    came, came_refs = decode_request(encode(request, refs, now=0.0), now=0.0)
    assert came.body is None
    assert came_refs == refs
    told, told_refs = decode_reply(encode(Log(b"a long line"), Refs(value=refs.value), now=0.0))
    assert told == Log(b"")
    assert told_refs == Refs(value=refs.value)


@SLOW
@given(st.tuples(REQUESTS, REQUEST_REFS) | REPLIES)
def test_what_came_is_passed_on_in_the_same_bytes(sent: tuple[Message, Refs]) -> None:
    message, refs = sent
    packed = encode(message, refs._replace(value=None), now=0.0)
    came, came_refs = decode_request(packed, now=0.0) if isinstance(message, Operation) else decode_reply(packed)
    assert encode(came, came_refs, now=0.0) == packed


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_but_the_wires_own_error(garbage: bytes) -> None:
    with pytest.raises(WireError):
        decode_request(garbage, now=0.0)
    with pytest.raises(WireError):
        decode_reply(garbage)


def judged(packed: bytes, like: Message) -> None:
    """Decode bytes and check what they hold, as a session does: nothing but the wire's own errors may be raised."""
    with suppress(WireError):
        came, _ = decode(packed, like)
        assert isinstance(came, Operation) == isinstance(like, Operation)
        with suppress(Invalid, TooLarge, BadAnswer):
            check_request(came, 256) if isinstance(came, Operation) else check_reply(came, 256)


@SLOW
@given(st.tuples(REQUESTS, REQUEST_REFS) | REPLIES, st.data())
def test_a_damaged_message_is_read_or_refused(sent: tuple[Message, Refs], data: st.DataObject) -> None:
    packed = bytearray(encode(*sent, now=0.0))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(packed)))
        packed[start : start + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    judged(bytes(packed), sent[0])


@SLOW
@given(st.tuples(REQUESTS, REQUEST_REFS) | REPLIES, st.data())
def test_a_truncated_message_is_refused(sent: tuple[Message, Refs], data: st.DataObject) -> None:
    packed = encode(*sent, now=0.0)
    with pytest.raises(WireError):
        decode(packed[: data.draw(st.integers(0, len(packed) - 1))], sent[0])


@SLOW
@given(st.tuples(REQUESTS, REQUEST_REFS))
def test_a_request_is_no_reply(sent: tuple[Request, Refs]) -> None:
    with pytest.raises(WireError):
        decode_reply(encode(*sent, now=0.0))


@given(REPLIES)
def test_a_reply_is_no_request(sent: tuple[Reply, Refs]) -> None:
    with pytest.raises(WireError):
        decode_request(encode(*sent, now=0.0), now=0.0)


@pytest.mark.parametrize("message", [Request(Verb.LS), Ack()], ids=repr)
def test_trailing_bytes_are_refused_and_counted(message: Message) -> None:
    with pytest.raises(WireError, match="3 bytes after the end"):
        decode(encode(message, REPLY_TO_7, now=0.0) + b"abc", message)


CHANNEL_7 = msgpack.ExtType(1, (7).to_bytes(8, "big"))
STREAM_7 = msgpack.ExtType(2, (7).to_bytes(8, "big"))
DUPLEX_7 = msgpack.ExtType(3, (7).to_bytes(8, "big"))
VALUE_7 = msgpack.ExtType(5, (7).to_bytes(8, "big") + (9).to_bytes(8, "big"))
LONG_ERROR = msgpack.ExtType(5, bytes(8) + (1 << 20 | 1).to_bytes(8, "big"))


def request(**changes: Any) -> bytes:
    """A request's eight fields, some of them other than they should be."""
    usual = {"verb": "ls", "path": [], "params": {}, "body": None, "reply": CHANNEL_7, "upload": None, "meta": None}
    packed: bytes = msgpack.packb(list((usual | {"left": None} | changes).values()))
    return packed


def reply(**changes: Any) -> bytes:
    """A reply's four fields, likewise."""
    usual: dict[str, Any] = {"kind": "ack", "details": {}, "value": None, "stream": None}
    packed: bytes = msgpack.packb(list((usual | changes).values()))
    return packed


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (request(verb="lss"), "unknown verb str 'lss'"),
        (request(verb="log"), "unknown verb str 'log'"),
        (request(verb="ack"), "unknown verb str 'ack'"),
        (request(verb=3), "unknown verb int 3"),
        (request(path="web"), "invalid path: expected an array of text"),
        (request(path=["a", 1]), "invalid path: expected an array of text"),
        (request(params=[1]), "invalid parameters or details: expected a map"),
        (request(body="text"), "invalid value: expected nil, bytes or a reference"),
        (request(body=5), "invalid value: expected nil, bytes or a reference"),
        (request(body=STREAM_7), "invalid value: expected nil, bytes or a reference"),
        (request(reply=None), "its field reply is missing"),
        (request(reply=5), "invalid reply: expected nil or a reference of type"),
        (request(reply=STREAM_7), "invalid reply: expected nil or a reference of type"),
        (request(reply=VALUE_7), "invalid reply: expected nil or a reference of type"),
        (request(upload=CHANNEL_7), "invalid upload: expected nil or a reference of type"),
        (request(upload=DUPLEX_7), "invalid upload: expected nil or a reference of type"),
        (request(params={"a": CHANNEL_7}), "unexpected reference"),
        (request(params={"a": [{"b": VALUE_7}]}), "unexpected reference"),
        (request(path=[CHANNEL_7]), "unexpected reference"),
        (request(reply=msgpack.ExtType(1, b"7")), "unknown extension type 1 with 1 bytes"),
        (request(reply=msgpack.ExtType(77, b"7")), "unknown extension type 77"),
        (request(meta=5), "invalid meta: expected nil, or caller, version and an array of headers"),
        (request(meta=["", ""]), "invalid meta: expected nil, or caller, version and an array of headers"),
        (request(meta=[5, "", []]), "invalid meta: expected nil, or caller, version and an array of headers"),
        (request(meta=["", None, []]), "invalid meta: expected nil, or caller, version and an array of headers"),
        (request(meta=["", "", [], ""]), "invalid meta: expected nil, or caller, version and an array of headers"),
        (request(meta=["", "", [], "", b""]), "invalid meta: expected nil, or caller, version and an array of headers"),
        (
            request(meta=["", "", [], "", "", ""]),
            "invalid meta: expected nil, or caller, version and an array of headers",
        ),
        (request(meta=["", "", {}]), "invalid meta: expected nil, or caller, version and an array of headers"),
        (request(meta=["", "", ["a"]]), "invalid header: expected an array of two texts"),
        (request(meta=["", "", [["a"]]]), "invalid header: expected an array of two texts"),
        (request(meta=["", "", [["a", 5]]]), "invalid header: expected an array of two texts"),
        (request(meta=["", "", [["a", b"b"]]]), "invalid header: expected an array of two texts"),
        (request(meta=["", "", [["a", "b", "c"]]]), "invalid header: expected an array of two texts"),
        (request(meta=["", "", [["a", CHANNEL_7]]]), "unexpected reference"),
        (request(left=-1), "invalid time left"),
        (request(left=math.nan), "invalid time left"),
        (request(left=math.inf), "invalid time left"),
        (request(left=True), "invalid time left"),
        (request(left="1"), "invalid time left"),
        (request(extra=1), "an array of 8 fields, got an array of 9"),
        (msgpack.packb({"verb": "ls"}), "an array of 8 fields"),
        (request(params=[msgpack.ExtType(4, bytes(8))]), "unknown extension type 4"),
        (request(params={"a": msgpack.ExtType(6, b"\x01")}), "invalid tuple: expected an array"),
        (request(params={"a": msgpack.ExtType(7, b"text")}), "invalid extension type 7: UTF-8"),
        (b"\x91" * 2000 + b"\xc0", "invalid msgpack"),
        (b"\x91" * 1000 + b"\xc0", "an array of 8 fields, got an array of 1"),
        (request(path=b"\x91" * 1000), "invalid path: expected an array of text"),
    ],
)
def test_what_is_no_request_is_refused_with_its_reason(data: bytes, told: str) -> None:
    with pytest.raises(WireError, match=told):
        decode_request(data, now=0.0)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (reply(kind="acks"), "unknown reply str 'acks': expected one of ack, set, log, error"),
        (reply(kind="ls"), "unknown reply str 'ls'"),
        (reply(kind=3), "unknown reply int 3"),
        (reply(kind=["ack"]), "unknown reply"),
        (reply(details=[1]), "invalid parameters or details: expected a map"),
        (reply(value="text"), "invalid value: expected nil, bytes or a reference"),
        (reply(value=True), "invalid value: expected nil, bytes or a reference"),
        (reply(stream=5), "invalid stream: expected a reference or nil"),
        (reply(stream=CHANNEL_7), "invalid stream: expected nil or a reference of type"),
        (reply(stream=VALUE_7), "invalid stream: expected nil or a reference of type"),
        (reply(kind="set", stream=STREAM_7), "unexpected stream in `set`: only an `ack` may have one"),
        (reply(kind="log", value=b"", stream=STREAM_7), "unexpected stream in `log`"),
        (reply(kind="error", value=b"", stream=DUPLEX_7), "unexpected stream in `error`"),
        (reply(kind="log"), "a `log` without a line"),
        (reply(kind="error"), "invalid `error`: expected the error as its value"),
        (
            reply(kind="error", value=b"", details={"a": 1}),
            "invalid `error`: expected the error as its value, and no details",
        ),
        (reply(kind="error", value=LONG_ERROR), "the error has 1048577 bytes"),
        (reply(kind="error", value=bytes(1 << 20 | 1)), "the error has 1048577 bytes"),
        (reply(details={"a": CHANNEL_7}), "unexpected reference"),
        (reply(details={"a": msgpack.ExtType(7, b"\xff")}), "unknown extension type 7"),
        (reply(extra=1), "an array of 4 fields, got an array of 5"),
        (msgpack.packb("ack"), "an array of 4 fields"),
    ],
)
def test_what_is_no_reply_is_refused_with_its_reason(data: bytes, told: str) -> None:
    with pytest.raises(WireError, match=told):
        decode_reply(data)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (b"\xc0", "invalid error: expected an array of 5"),
        (b"\xc1", "an error that can't be read: invalid msgpack"),
        (msgpack.packb([5, "", "", [], {}]), "expected code, message and backend to be text"),
        (msgpack.packb(["invalid", 1, "", [], {}]), "expected code, message and backend to be text"),
        (msgpack.packb(["invalid", "", "", 5, {}]), "invalid path: expected an array of text"),
        (msgpack.packb(["invalid", "", "", [], 5]), "invalid parameters or details: expected a map"),
        (msgpack.packb(["invalid", "", "", [], {"a": CHANNEL_7}]), "5 plain fields"),
        (msgpack.packb(["teapot", "no coffee", "", [], {}]), "no coffee"),
    ],
)
def test_an_error_that_is_none_is_an_error_of_who_said_it(value: bytes, told: str) -> None:
    came, _ = decode_reply(reply(kind="error", value=value))
    apart, _ = decode_reply(reply(kind="error", value=VALUE_7))
    complete(apart, value)
    for each in (came, apart):
        assert isinstance(each, Error)
        assert isinstance(each.error, BadAnswer)
        assert told in each.error.message


@given(st.binary(max_size=50))
def test_whatever_an_errors_bytes_are_it_is_an_error(value: bytes) -> None:
    came, _ = decode_reply(reply(kind="error", value=value))
    assert isinstance(came, Error)


def test_an_error_that_is_too_long_is_refused_where_it_is_sent() -> None:
    with pytest.raises(TooLarge, match="the error has"):
        raw_value(Error(Invalid("x" * (1 << 20))))


def test_tuples_may_lie_eight_deep() -> None:
    deep: Any = ()
    for _ in range(7):
        deep = (deep,)
    assert decode_request(encode(Request(Verb.LS, params={"a": deep}), REPLY_TO_7, now=0.0), now=0.0)[0].params == {
        "a": deep
    }
    deeper, _ = decode_request(encode(Request(Verb.LS, params={"a": ((deep,),)}), REPLY_TO_7, now=0.0), now=0.0)
    with pytest.raises(Invalid, match="invalid parameter 'a': nested too deep"):
        check_request(deeper, 1)
    answered, _ = decode_reply(encode(Ack(details={"a": ((deep,),)}), now=0.0))
    with pytest.raises(BadAnswer, match="invalid `ack`: invalid detail 'a': nested too deep"):
        check_reply(answered, 1)


@pytest.mark.parametrize(
    "given",
    [
        {"a": object()},
        {"a": {1, 2}},
        {"a": 2**64},
        {"a": "\ud800"},
        {"a": {"b": [object()]}},
        {"\udce9": "the name stands for bytes"},
    ],
    ids=["object", "set", "large", "surrogate", "inside", "name"],
)
def test_what_cant_be_carried_is_refused_where_it_is_sent(given: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="this ls request can't be carried") as caught:
        encode(Request(Verb.LS, ("web",), given), REPLY_TO_7, now=0.0)
    assert caught.value.path == ("web",)
    with pytest.raises(Invalid, match="this `set` reply can't be carried"):
        encode(Set(None, given), now=0.0)
    with pytest.raises(Invalid, match="the details of this invalid error can't be carried"):
        encode(Error(Invalid("no", details=given)), now=0.0)
    assert decode_reply(encode(Ack(), now=0.0)) == (Ack(), NO_REFS)  # the packer is fit for the next


def test_only_a_requests_parameters_may_be_text_that_stands_for_bytes() -> None:
    for reply in (Ack(details={"path": "/caf\udce9"}), Error(Invalid("/caf\udce9"))):
        with pytest.raises(Invalid, match="can't be carried"):
            encode(reply, now=0.0)
    escaped = msgpack.ExtType(7, b"\xe9")
    for wrong in (request(path=[escaped]), request(params={escaped: "1"}), request(meta=["", "", [["a", escaped]]])):
        came, _ = decode_request(wrong, now=0.0)
        with pytest.raises(Invalid):
            check_request(came, 1)


def test_the_details_of_an_engines_error_arrive_as_the_gateway_reads_them() -> None:
    headers = [(b"Api-Version", b"1.41"), (b"Content-Type", b"application/json")]
    error = error_of(409, headers, b'{"message":"in use"}\n', "docker")
    told, _ = decode_reply(encode(Error(error), now=0.0))
    assert isinstance(told, Error)
    came = told.error
    assert (type(came), str(came), came.backend) == (type(error), "in use", "docker")
    assert (status_of(came), error_headers(came), error_body(came)) == (409, headers, b'{"message":"in use"}\n')


@pytest.mark.parametrize("make", [lambda raw: Request(Verb.SET, body=Json(raw)), lambda raw: Set(Json(raw))])
def test_a_json_values_bytes_are_not_decoded_on_the_way(make: Any) -> None:
    raw = b'{"a" : 1,\n "b": not json}'
    sent = make(raw)
    came, _ = decode(encode(sent, REPLY_TO_7 if isinstance(sent, Operation) else NO_REFS, now=0.0), sent)
    assert raw_value(came) == raw
    with pytest.raises(Invalid if isinstance(came, Operation) else BadAnswer, match="not JSON"):
        came.json  # type: ignore[union-attr]  # noqa: B018


def test_the_time_left_goes_over_and_not_the_time_of_day() -> None:
    packed = encode(Request(Verb.LS, deadline=110.0), REPLY_TO_7, now=100.0)
    assert decode_request(packed, now=5.0)[0].deadline == 15.0
    packed = encode(Request(Verb.LS, deadline=90.0), REPLY_TO_7, now=100.0)
    assert decode_request(packed, now=5.0)[0].deadline == 5.0


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        (Meta(version="1.41\r\nX: y"), "invalid version in meta"),
        (Meta(version="1.41\U0001f433"), "invalid version in meta"),
        (Meta(headers=(("X-Upper", ""),)), "invalid header name 'X-Upper'"),
        (Meta(headers=(("", "a"),)), "invalid header name ''"),
        (Meta(headers=(("a\r\nb", "a"),)), "invalid header name"),
        (Meta(headers=(("a:b", "a"),)), "invalid header name"),
        (Meta(headers=(("a", "b\r\nc: d"),)), "invalid header 'a': expected text without control characters"),
        (Meta(headers=(("a", "b\0"),)), "invalid header 'a': expected text without control characters"),
        (Meta(headers=(("a", "\U0001f433"),)), "invalid header 'a': expected text without control characters"),
        (Meta(headers=(("a", ""),) * 3), "the request has 3 headers: the maximum is 2"),
    ],
    ids=lambda found: repr(getattr(found, "headers", found)),
)
def test_meta_that_http_cant_carry_is_refused(meta: Meta, told: str) -> None:
    came, _ = decode_request(encode(Request(Verb.LS, meta=meta), REPLY_TO_7, now=0.0), now=0.0)
    with pytest.raises(Invalid, match=told):
        check_request(came, 2)


def test_a_trace_that_is_not_valid_counts_as_missing() -> None:
    came, _ = decode_request(request(meta=["", "1.41", [], "00-0-0-01", "a=b"]), now=0.0)
    assert came.meta == Meta("", "1.41")


def test_meta_that_http_can_carry_passes() -> None:
    meta = Meta("", "1.41", (("x-registry-auth", "eyJ9"), ("content-type", "text/plain;\tcharset=\xfc")))
    came, _ = decode_request(encode(Request(Verb.LS, meta=meta), REPLY_TO_7, now=0.0), now=0.0)
    check_request(came, 2)
    assert came.meta == meta
