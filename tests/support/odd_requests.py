"""Requests with odd and wrong values, drawn from the official schema: for every row of the routing table."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from hypothesis import strategies as st

from swarmlib_backends.dockerapi import parameters, schema
from swarmlib_backends.dockerapi.rows import ROWS, Kind, Row

SHIPPED: dict[str, Any] = json.loads(schema.DATA.read_text())
LEFT_OUT = {
    "SwarmInit": "it changes what the engine is, for seconds",
    "SwarmJoin": "it waits for a manager that is not there",
    "SystemPingHead": "it is SystemPing",
}
"""Rows that are not asked, each with its reason."""
ASKED = [row for row in ROWS if row.name not in LEFT_OUT and row.kind is not Kind.HIJACK]
"""Conversations have tests of their own."""
NAMES = ["thing", "thing", "stopped", "nosuch", "twice", "{id}", "{ambiguous}"]
"""Of objects: there, not there, and several (of containers). Who asks fills in what only an engine knows."""


@dataclass(frozen=True)
class Question:
    """One request."""

    row: str
    method: str
    target: str
    body: bytes | None = None
    type: str | None = "application/json"

    def __str__(self) -> str:
        said = "" if self.body is None else f" {self.body[:300]!r} ({self.type})"
        return f"{self.method} {self.target}{said}"


def questions(row: Row) -> st.SearchStrategy[Question]:
    """Requests for a row: some are right, most have something odd or wrong in one or two places."""
    query = st.lists(_parameter(row), max_size=3) if row.params.declared else st.just([])
    body, type_ = _body_and_type(row)
    names = NAMES if row.template.startswith("/containers/") else NAMES[:-1]
    return st.builds(
        lambda name, pairs, sent, kind: Question(row.name, row.method, _target(row, name, pairs), sent, kind),
        st.sampled_from(names), query, body, type_,
    )  # fmt: skip


def _target(row: Row, name: str, pairs: list[tuple[str, str]]) -> str:
    place = row.template.replace("{name}", name).replace("{id}", name)
    fixed = [row.when] if row.when else []
    query = urlencode([*fixed, *pairs])
    return f"/v1.41{place}{'?' if query else ''}{query}"


# Parameters.

_BOOLEANS = ["1", "0", "true", "False", "yes", "no", "t", "on", "2", "none", " No ", "", "oops", "-1", "TRUE", "\u00e9"]
_INTEGERS = [
    *("0", "5", "+5", "-5", "-0", "007", "", "abc", " 5", "0x5", "1e3", "5.0", "70000", "\u00b2"),
    *("9223372036854775807", "9223372036854775808", "9" * 60, "0" * 60),
]
_TIMES = [
    "0",
    "1",
    "1.5",
    "1.",
    "-1",
    "1.0000000005",
    "99999999999",
    "2006-01-02T15:04:05Z",
    "10m",
    "yesterday",
    "",
    "1e3",
]
_TEXTS = [
    "thing",
    "nosuch",
    "",
    "a b",
    "\u00e9",
    "/etc",
    "..",
    "x" * 300,
    "busybox",
    "9",
    "-9",
    "SIGNOPE",
    "0",
    "removed",
]
_FILTERS = [
    *("label", "label!", "until", "dangling", "name", "id", "status", "health", "is-task", "exited", "before", "since"),
    *(
        "volume",
        "network",
        "publish",
        "expose",
        "ancestor",
        "reference",
        "driver",
        "type",
        "scope",
        "event",
        "container",
    ),
    *("image", "xyz"),
]
_FILTER_VALUES = [
    *(
        "true",
        "false",
        "1",
        "0",
        "thing",
        "nosuch",
        "running",
        "exited",
        "yesterday",
        "10m",
        "2006-01-02",
        "80",
        "80/tcp",
    ),
    *("x", "", "a=b", "local", "custom", "healthy", "none", "9x", "[", "2006-01-02T15:04:05+01:00"),
]
_NO_FILTERS = ["", "null", "{}", "[]", '"x"', "5", "{", '{"label":5}', '{"label":[5]}', '{"label":["a"]} x', "\u00e9"]
_JSON = ["", "null", "{}", "[]", "5", '{"A":"b"}', '{"A":null}', '{"A":5}', '["a"]', "[null]", "[5]", "{"]


def _parameter(row: Row) -> st.SearchStrategy[tuple[str, str]]:
    known = row.params.declared
    named = st.sampled_from(sorted(known)).flatmap(lambda name: st.tuples(_spelt(name), _values(known[name])))
    return st.one_of(named, named, named, st.tuples(st.just("unknown"), st.sampled_from(_TEXTS)))


def _spelt(name: str) -> st.SearchStrategy[str]:
    return st.sampled_from([name] * 9 + [name.upper()])


def _values(parameter: parameters.Parameter[Any]) -> st.SearchStrategy[str]:
    if parameter.name == "container":
        return st.sampled_from([*NAMES, ""])
    match parameter:
        case parameters.Filters():
            return st.one_of(st.sampled_from(_NO_FILTERS), _filters().map(json.dumps), _filters().map(json.dumps))
        case parameters.Data():
            return st.sampled_from(_JSON)
        case parameters.Texts() | parameters.Text():
            return st.sampled_from(_TEXTS)
        case parameters.Flag():
            return st.sampled_from(_BOOLEANS)
        case parameters.Time():
            return st.sampled_from(_TIMES)
        case _:
            return st.sampled_from([*_INTEGERS, "all"])


def _filters() -> st.SearchStrategy[Any]:
    value = st.sampled_from(_FILTER_VALUES)
    lists = st.one_of(st.none(), st.lists(value, max_size=2))
    objects = st.one_of(st.none(), st.dictionaries(value, st.just(True), max_size=2))
    name = st.sampled_from(_FILTERS)
    return st.one_of(st.dictionaries(name, lists, max_size=2), st.dictionaries(name, objects, max_size=2))


# Bodies.

_ODD = [
    *(
        "null",
        "true",
        "5",
        "-1",
        "-0",
        "1e3",
        "1.0",
        "9223372036854775808",
        '""',
        '"x"',
        '"5"',
        '"\\ud800"',
        '"\\u0041"',
    ),
    *("[]", "[null]", '["x"]', "[5]", "[[]]", "{}", '{"x":null}', '{"x":"y"}', '{"x":5}'),
]
_WHOLE = ["", " ", "null", "{}", "[]", "5", '"x"', "{", "{oops", '{"a":1,}', "\ufeff{}", "{} x"]
_TYPES = ["application/json"] * 12 + ["application/json; charset=utf-8", "text/plain", None]
_RIGHT: dict[str, dict[str, str]] = {
    "ContainerCreate": {"Image": '"busybox"', "Cmd": '["true"]'},
    "ContainerExec": {"Cmd": '["true"]'},
    "NetworkCreate": {"Name": '"made"'},
    "NetworkConnect": {"Container": '"thing"'},
    "NetworkDisconnect": {"Container": '"thing"', "Force": "true"},
    "VolumeCreate": {"Name": '"made"'},
}
"""The fields, as JSON, that make a body one that an engine does something with."""
_UPLOADS = [None, b"", b"garbage", b"\0" * 1024]
"""Bytes that are no tar, and the end of an empty one."""


def _body_and_type(row: Row) -> tuple[st.SearchStrategy[bytes | None], st.SearchStrategy[str | None]]:
    if row.upload:
        return st.sampled_from(_UPLOADS), st.just("application/x-tar")
    if row.method in ("GET", "HEAD", "DELETE"):
        return st.none(), st.none()
    type_ = SHIPPED["rows"].get(row.name)
    if type_ is None:
        return st.sampled_from([None, None, None, b"{}", b"null"]), st.just("application/json")
    whole = st.sampled_from(_WHOLE).map(str.encode)
    fields = _object(_resolved(type_), _RIGHT.get(row.name, {})).map(lambda text: text.encode("utf-8", "surrogatepass"))
    return st.one_of(st.none(), whole, fields, fields, fields, fields), st.sampled_from(_TYPES)


def _resolved(type_: Any) -> Any:
    return SHIPPED["types"][type_[1:]] if isinstance(type_, str) and type_.startswith("#") else type_


def _object(type_: Any, right: dict[str, str]) -> st.SearchStrategy[str]:
    """A body with what makes it right, and up to two fields of the schema, some of them odd."""
    if not isinstance(type_, dict):
        return _of_type(type_)
    name = st.sampled_from(sorted(type_))
    extra = name.flatmap(lambda each: st.tuples(_cased(each), _field(type_[each])))
    return st.lists(extra, max_size=2).map(lambda more: _written({**right, **dict(more)}))


def _written(fields: dict[str, str]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in fields.items()) + "}"


def _cased(name: str) -> st.SearchStrategy[str]:
    return st.sampled_from([name] * 9 + [name.lower(), name.upper()])


def _field(type_: Any) -> st.SearchStrategy[str]:
    return st.one_of(_of_type(type_), _of_type(type_), st.sampled_from(_ODD))


def _inside(type_: Any) -> st.SearchStrategy[str]:
    return st.deferred(lambda: _field(type_))  # a type may hold itself


def _of_type(type_: Any) -> st.SearchStrategy[str]:
    """JSON of a type, in which something inside may be odd."""
    type_ = _resolved(type_)
    if isinstance(type_, list):
        return st.lists(_field(type_[0]), max_size=2).map(lambda items: f"[{','.join(items)}]")
    if isinstance(type_, dict):
        names = st.sampled_from(["a", "80/tcp", "thing", ""] if "*" in type_ else sorted(type_) or ["x"])
        of = names.flatmap(
            lambda each: st.tuples(_cased(each), st.deferred(lambda: _field(type_.get(each, type_.get("*", {})))))
        )
        return st.lists(of, max_size=2).map(lambda found: _written(dict(found)))
    if type_ == "boolean":
        return st.sampled_from(["true", "false"])
    if type_ in schema.INTEGERS or type_ == "float64":
        return st.sampled_from(["0", "1", "5", "-1", "65536", "100000000"])
    return st.sampled_from(['""', '"thing"', '"a b"', '"\u00e9"', '"/x"', '"A=b"', '"local"', '"default"', '"80"'])
