"""The canonical form: the same twice, the same over HTTP, and what Go's `encoding/json` makes of the same bytes.

The second reading is a model of Go's decoder, written apart from the product: it works on pairs, where a key may stand
twice, and knows of the schema only which fields a struct has.
"""

import json
import timeit
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from string import ascii_letters
from typing import Any
from unicodedata import category

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmlib import BytesStream, Invalid, Json, Meta, Request, Verb
from swarmlib_backends.dockerapi import parameters, schema, strictjson, table
from swarmlib_backends.dockerapi.canonical import canonical
from swarmlib_backends.dockerapi.operations import ContainerList, ContainerLogs, ContainerStats, ImageBuild
from swarmlib_backends.dockerapi.rows import ROWS, Row

SHIPPED: dict[str, Any] = json.loads(schema.DATA.read_text())
WITH_BODY = [row for row in ROWS if row.name in SHIPPED["rows"]]
PLAIN = [row for row in ROWS if not row.upload]
few = settings(max_examples=settings.default.max_examples // 5)
"""For what is tried on every row."""
CREATE = (Verb.SPAWN, ("containers",))

NEEDED = {
    **{f"{what}Logs": {"stdout": "1"} for what in ("Container", "Service", "Task")},
    **{f"{what}Resize": {"h": "24", "w": "80"} for what in ("Container", "Exec")},
    "ContainerArchive": {"path": "/"},
    "ContainerRename": {"name": "other"},
    **{f"{what}Update": {"version": "5"} for what in ("Config", "Node", "Secret", "Service", "Swarm")},
}
"""Parameters that a row can't do without."""

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
names = st.text(ascii_letters, max_size=6)
"""Of objects that are made: not every text is one."""
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(texts, inner, max_size=2)),
    max_leaves=4,
)


def resolved(type_: Any) -> Any:
    return SHIPPED["types"][type_[1:]] if isinstance(type_, str) and type_.startswith("#") else type_


def values(type_: Any) -> st.SearchStrategy[Any]:
    """JSON of a type, with nulls wherever Go takes them."""
    type_ = resolved(type_)
    if isinstance(type_, str):
        scalars: dict[str, st.SearchStrategy[Any]] = {
            "string": texts,
            "boolean": st.booleans(),
            "float64": st.floats(allow_nan=False, allow_infinity=False),
            "base64": texts.map(lambda text: b64encode(text.encode()).decode()),
            "words": st.one_of(texts, st.lists(texts, max_size=3)),
            "any": anything,
        }
        allowed = schema.INTEGERS.get(type_)
        return st.integers(allowed.start, allowed.stop - 1) if allowed else scalars[type_]
    if isinstance(type_, list):
        return st.lists(values(type_[0]), max_size=2)
    if "*" in type_:
        return st.dictionaries(texts, st.one_of(st.none(), values(type_["*"])), max_size=2)
    fields = {name: st.one_of(st.none(), st.deferred(lambda each=each: values(each))) for name, each in type_.items()}
    few = st.lists(st.sampled_from(sorted(fields)), max_size=4, unique=True) if fields else st.just([])
    return few.flatmap(lambda names: st.fixed_dictionaries({name: fields[name] for name in names}))


def message(row: Row, args: dict[str, Any] | None = None, body: bytes | None = None) -> Request:
    """A request for a row, with what it can't do without."""
    att = BytesStream(b"") if row.upload else None
    if body is None and (type_ := SHIPPED["rows"].get(row.name)) is not None:
        body = b"[]" if isinstance(type_, list) else b'{"Cmd":["true"]}' if row.name == "ContainerExec" else b"{}"
    needed = NEEDED.get(row.name.removeprefix("Put").removesuffix("Info"), {})
    return Request(
        row.verb, row.path("web"), {**(args or {}), **needed}, None if body is None else Json(body), upload=att
    )


def of_create(body: Any) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return canonical(Request(*CREATE, body=Json(raw))).json


# Twice is once.


@pytest.mark.parametrize("row", WITH_BODY, ids=lambda row: row.name)
@few
@given(data=st.data())
def test_a_body_is_the_same_twice(row: Row, data: st.DataObject) -> None:
    body = data.draw(values(SHIPPED["rows"][row.name]))
    if row.verb is Verb.SPAWN and "Name" in body:
        body["Name"] = data.draw(names)
    if row.name == "ContainerExec":
        body["Cmd"] = ["true"]
    once = canonical(message(row, body=json.dumps(body).encode()))
    assert canonical(once) is once
    if isinstance(once.body, Json):
        unmarked = message(row, body=once.body.raw)
        assert canonical(unmarked).body == once.body


def texts_for(parameter: parameters.Parameter[Any]) -> st.SearchStrategy[Any]:
    """Texts that a parameter takes, most of which it has in another canonical form."""
    match parameter:
        case parameters.Filters():
            lists = st.dictionaries(texts, st.lists(texts, max_size=2), min_size=1, max_size=2)
            older = st.dictionaries(texts, st.dictionaries(texts, st.just(True), max_size=2), min_size=1, max_size=2)
            return st.one_of(lists, older).map(json.dumps)
        case parameters.Data():
            return st.sampled_from(OF_DATA[parameter.name]).map(json.dumps)
        case parameters.Texts():
            return st.lists(texts, min_size=1, max_size=3)
        case parameters.Integer():
            return st.integers(0, 2**63 - 1).map(str)
        case parameters.Flag():
            return st.sampled_from(["1", "true", "True", "0", "False"])
        case parameters.Time():
            return st.tuples(st.integers(-(2**40), 2**40), st.integers(0, 10**12)).map(
                lambda each: f"{each[0]}.{each[1]}"
            )
        case parameters.Tail():
            return st.one_of(st.integers(0, 2**63 - 1).map(str), st.just("all"))
        case _:
            return texts


OF_DATA: dict[str, list[Any]] = {
    "buildargs": [{}, {"a": "b"}, {"a": None}],
    "labels": [{}, {"a": "b"}],
    "cachefrom": [[], ["a", "b"]],
    "outputs": [[], [{"Type": "tar", "Attrs": {"a": "b"}}]],
    "ulimits": [[{"Name": "nofile", "Soft": 1, "Hard": 2}]],
}


def parameters_of(row: Row) -> st.SearchStrategy[dict[str, Any]]:
    known = {name: texts_for(each) for name, each in row.params.declared.items()}
    if "name" in known:
        known["name"] = names
    if row.name == "ContainerKill":
        known["signal"] = st.sampled_from(["9", "TERM", "SIGRTMIN+3"])
    if "detachKeys" in known:
        known["detachKeys"] = st.sampled_from(["ctrl-p,ctrl-q", "a", "DEL"])
    if row.name in ("ImageCreate", "ImageImport"):
        del known["fromImage"]
        known["fromSrc"] = st.just("-" if row.upload else "http://there")
    chosen = st.lists(st.sampled_from(sorted(known)), unique=True, max_size=4) if known else st.just([])
    if row.when:
        chosen = chosen.map(lambda found: sorted({*found, "fromSrc"}))
    return chosen.flatmap(lambda found: st.fixed_dictionaries({name: known[name] for name in found}))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@few
@given(data=st.data())
def test_a_canonical_request_is_the_same_over_http(row: Row, data: st.DataObject) -> None:
    once = canonical(message(row, data.draw(parameters_of(row))))
    assert canonical(once) is once
    found = table.route(row.method, table.target(row, once.path, once.params, once.meta.version))
    assert found.row is row
    again = canonical(Request(found.row.verb, found.path, found.params, once.body, upload=once.upload))
    assert (again.path, dict(again.params)) == (once.path, dict(once.params))


# The mark.


def test_a_change_takes_the_mark_away() -> None:
    once = canonical(Request(*CREATE, params={"name": "web"}, body=Json(b'{"image":"a"}')))
    assert canonical(once.replace(deadline=5.0)).body is once.body
    for changed in (
        once.replace(params={**once.params, "name": ["a", "b"]}),
        once.replace(body=Json.from_data({"Image": 5})),
    ):
        with_args = changed.params is not once.params
        if with_args:
            assert canonical(changed).params == {"name": "a"}
        else:
            with pytest.raises(Invalid, match="Image must be a string"):
                canonical(changed)


def test_the_mark_of_one_operation_is_none_for_another() -> None:
    once = canonical(Request(*CREATE, params={"name": "web"}, body=Json(b'{"Image":"a"}')))
    other = canonical(once.replace(verb=Verb.STOP, path=("containers", "web")))
    assert other.body is None


def test_a_message_of_no_row_and_one_that_is_passed_on_whole_stay_as_they_are() -> None:
    for each in (Request(Verb.ATTACH, ("containers", "web"), {"x": object()}), Request(Verb.CONNECT, ("whole",))):
        assert canonical(each) is each


# What the parameters mean.


def test_the_parameters_of_a_request_are_typed_whether_it_is_canonical_or_not() -> None:
    said = {"all": "yes", "limit": "+05", "filters": '{"label":{"a":true}}', "more": "as it is"}
    request = Request(Verb.LS, ("containers",), said)
    for each in (request, canonical(request)):
        asked = ContainerList.of(each)
        assert (asked.all, asked.size, asked.limit, asked.filters) == (True, False, 5, {"label": ["a"]})
        assert asked == {"all": "1", "limit": "5", "filters": '{"label":["a"]}', "more": "as it is"}
    with pytest.raises(Invalid, match="limit must be an integer"):
        ContainerList.of(Request(Verb.LS, ("containers",), {"limit": "five"}))


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ({}, (None, None, False)),
        ({"since": "1.5", "tail": "3", "follow": "1"}, (1.5, 3, True)),
        ({"since": "", "tail": "-3", "follow": "None"}, (None, None, False)),
    ],
)
def test_what_is_not_given_has_the_value_that_an_engine_takes(given: dict[str, str], values: tuple[Any, ...]) -> None:
    asked = ContainerLogs.read(given)
    assert (asked.since, asked.tail, asked.follow) == values


def test_a_flag_is_on_or_off_as_the_documents_say_and_json_is_of_its_type() -> None:
    assert (ContainerStats.read({}).stream, ContainerStats.read({"stream": ""}).stream) == (True, False)
    assert (ImageBuild.read({}).rm, ImageBuild.read({"rm": ""}).rm, ImageBuild.read({"rm": "0"}).rm) == (
        True,
        True,
        False,
    )
    built = ImageBuild.read({"buildargs": '{"a":null,"b":"c"}', "t": ["one", "two"], "memory": "lots"})
    assert (built.buildargs, built.labels, built.t, built.memory) == ({"a": None, "b": "c"}, None, ["one", "two"], 0)


# Bodies, held to a model of Go's decoder.


class Pairs(list[tuple[str, Any]]):
    """A JSON object with its keys in order, where one may stand twice."""


class Doubtful(Exception):
    """Go reads it, merging what stands twice; here it is refused."""


def folded(name: str) -> str:
    """`foldName` of Go's encoding/json, for names of ASCII: the letters that fold to k and s are those."""
    return "".join({"\u017f": "S", "\u212a": "K"}.get(char, char.upper() if char.isascii() else char) for char in name)


def go(type_: Any, value: Any) -> Any:
    """What Go decodes into a variable of that type, as JSON without what is not set."""
    type_ = resolved(type_)
    if isinstance(value, Pairs):
        keys = [key for key, _ in value]
        if len(keys) != len(set(keys)):
            raise Doubtful
        if isinstance(type_, dict) and "*" in type_:
            zero = "" if type_["*"] == "string" else None
            return {key: zero if each is None else go(type_["*"], each) for key, each in value}
        if not isinstance(type_, dict):
            return {key: go("any", each) for key, each in value}
        fields = {folded(name): name for name in type_}
        if len({folded(key) for key in keys}) != len(keys):
            raise Doubtful
        named = [(fields.get(folded(key), key), each) for key, each in value]
        return {key: go(type_.get(key, "any"), each) for key, each in named if each is not None}
    if isinstance(value, list):
        inner = type_[0] if isinstance(type_, list) else "string" if type_ == "words" else "any"
        made = [go(inner, each) for each in value]
        return [*made, *[0] * type_[1]][: type_[1]] if isinstance(type_, list) and len(type_) > 1 else made
    return [value] if type_ == "words" and isinstance(value, str) else value


def respelt(draw: Callable[[st.SearchStrategy[Any]], Any], value: Any) -> str:
    """The text of JSON with keys of any case, letters that fold, escapes, and now and then a key twice."""
    if isinstance(value, dict):
        pairs = [(draw(spellings(key)), respelt(draw, each)) for key, each in value.items()]
        if pairs and draw(st.integers(0, 30)) == 0:
            pairs.append(draw(st.sampled_from(pairs)))
        return "{" + ",".join(f"{draw(escaped(key))}:{each}" for key, each in pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(respelt(draw, each) for each in value) + "]"
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


def spellings(key: str) -> st.SearchStrategy[str]:
    odd = key.replace("s", "\u017f").replace("k", "\u212a").replace("K", "\u212a")
    return st.sampled_from([key, key, key, key.lower(), key.upper(), odd])


def escaped(key: str) -> st.SearchStrategy[str]:
    units = key.encode("utf-16-be").hex()
    escapes = "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
    return st.sampled_from([json.dumps(key), json.dumps(key, ensure_ascii=False), f'"{escapes}"'])


@pytest.mark.parametrize("row", [row for row in WITH_BODY if row.name != "ContainerCreate"], ids=lambda row: row.name)
@few
@given(data=st.data())
def test_a_body_is_what_go_decodes(row: Row, data: st.DataObject) -> None:
    held_to_go(row, SHIPPED["rows"][row.name], data)


@given(data=st.data())
def test_a_creation_is_what_go_decodes(data: st.DataObject) -> None:
    row = next(row for row in ROWS if row.name == "ContainerCreate")
    whole = SHIPPED["rows"]["ContainerCreate"]
    own = {*SHIPPED["types"]["ContainerConfig"], "HostConfig", "NetworkingConfig"}
    held_to_go(row, {name: each for name, each in whole.items() if name in own}, data)


def held_to_go(row: Row, type_: Any, data: st.DataObject) -> None:
    text = respelt(data.draw, data.draw(values(type_)))
    try:
        expected = go(type_, json.loads(text, object_pairs_hook=Pairs))
    except Doubtful:
        with pytest.raises(Invalid, match=r"the duplicate key|more than once"):
            canonical(message(row, body=text.encode()))
        return
    if row.verb is Verb.SPAWN and isinstance(expected, dict) and not is_name(expected.get("Name") or "web"):
        with pytest.raises(Invalid, match="invalid name"):
            canonical(message(row, body=text.encode()))
        return
    if row.name == "ContainerExec" and not expected.get("Cmd"):
        with pytest.raises(Invalid, match="No exec command specified"):
            canonical(message(row, body=text.encode()))
        return
    assert canonical(message(row, body=text.encode())).json == expected


def is_name(text: str) -> bool:
    """Whether something may be made with this name."""
    segments = text.removeprefix("/").split("/")
    return {"", ".", ".."}.isdisjoint(segments) and all(category(each) != "Cc" for each in text)


@given(st.binary(max_size=30))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for body in (raw, b'{"Env":["' + raw + b'"]}', b'{"' + raw + b'":1}'):
        with suppress(Invalid):
            once = canonical(Request(*CREATE, body=Json(body)))
            assert once.body is None or once.body.raw


@given(st.lists(st.sampled_from(["\\ud83d", "\\udca9", "a", "\\u0041", "\\\\u0041", "\u00e9"]), max_size=6))
def test_halves_of_surrogate_pairs_are_replaced_one_by_one(parts: list[str]) -> None:
    text = "".join(parts)
    loose = json.loads(f'"{text}"')
    expected = "".join("\ufffd" if 0xD800 <= ord(char) < 0xE000 else char for char in loose)
    assert of_create(f'{{"Env":["{text}"]}}'.encode()) == {"Env": [expected]}


def test_bytes_that_are_no_utf8_are_replaced_one_by_one() -> None:
    assert strictjson.read(b'"\xe9t\xe9 \xf0\x9f\x92 \xed\xa0\x80 \xc0\xae"', "it") == (
        "\ufffdt\ufffd \ufffd\ufffd\ufffd \ufffd\ufffd\ufffd \ufffd\ufffd"
    )


@pytest.mark.parametrize(
    ("raw", "sentence"),  # each is dockerd 20.10's on a body of these bytes
    [
        (b"{i", "invalid character 'i' looking for beginning of object key string"),
        (b"{", "unexpected EOF"),
        (b'{"a', "unexpected EOF"),
        (b'{"Name" x', "invalid character 'x' after object key"),
        (b'{"Name":}', "invalid character '}' looking for beginning of value"),
        (b'{"Name":"a" x', "invalid character 'x' after object key:value pair"),
        (b'{"Name":"a",}', "invalid character '}' looking for beginning of object key string"),
        (b'{"Name":"a",', "unexpected EOF"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"[1,]", "invalid character ']' looking for beginning of value"),
        (b"[1}", "invalid character '}' after array element"),
        (b"nul", "unexpected EOF"),
        (b"nulx", "invalid character 'x' in literal null (expecting 'l')"),
        (b'{"Name":-}', "invalid character '}' in numeric literal"),
        (b'{"Name":1.x}', "invalid character 'x' after decimal point in numeric literal"),
        (b'{"Name":1e}', "invalid character '}' in exponent of numeric literal"),
        (b'{"Name":01}', "invalid character '1' after object key:value pair"),
        (b'{"Name":"\\x"}', "invalid character 'x' in string escape code"),
        (b'{"Name":"\\u12x4"}', "invalid character 'x' in \\u hexadecimal character escape"),
        (b'{"Name":"a\nb"}', "invalid character '\\n' in string literal"),
        (b"{'a'", "invalid character '\\'' looking for beginning of object key string"),
        ("{é".encode(), "invalid character 'Ã' looking for beginning of object key string"),
        (b"{} x", "invalid character 'x' after top-level value"),  # of a body, dockerd reads no further
    ],
)
def test_what_is_not_json_is_refused_in_the_words_of_an_engine(raw: bytes, sentence: str) -> None:
    with pytest.raises(Invalid) as refused:
        strictjson.read(raw, "the body")
    assert str(refused.value) == f"the body is not JSON: {sentence}"


@pytest.mark.parametrize("raw", [b"[" * 400 + b"x", b"[" + b"1," * 100_000 + b"x"])
def test_what_is_not_json_far_or_deep_inside_is_refused_too(raw: bytes) -> None:
    with pytest.raises(Invalid, match="the body is not JSON: "):
        strictjson.read(raw, "the body")


# Speed.


def test_a_canonical_request_costs_next_to_nothing_the_second_time() -> None:
    body = json.dumps({"Image": "a", "HostConfig": {f"Unknown{n}": n for n in range(2000)}}).encode()
    once = canonical(Request(*CREATE, body=Json(body)))
    first = min(timeit.repeat(lambda: canonical(Request(*CREATE, body=Json(body))), number=5, repeat=3))
    second = min(timeit.repeat(lambda: canonical(once), number=5, repeat=3))
    assert second < first / 20


@pytest.mark.parametrize("meta", [Meta(), Meta("uid:0", "1.41")])
def test_a_list_without_parameters_is_not_even_copied(meta: Meta) -> None:
    asked = Request(Verb.LS, ("containers",), meta=meta)
    assert canonical(asked) is asked


def test_a_copy_of_parameters_with_changes_stays_typed_and_only_the_changes_are_read() -> None:
    asked = ContainerLogs.read({"tail": "5", "follow": "yes"})
    changed = asked.having({"tail": "", "stdout": True})
    assert (type(changed), dict(changed), dict(asked)) == (
        ContainerLogs,
        {"follow": "1", "stdout": "1"},
        {"tail": "5", "follow": "1"},
    )
    with pytest.raises(Invalid, match="since must be seconds"):
        asked.having({"since": "yesterday"})
