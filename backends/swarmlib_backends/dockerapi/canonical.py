"""The canonical form of a request: its parameters and its body, read once and strictly, as an engine reads them.

What a stage judges and what an engine does are the same because both come from this form: the source that receives a
request converts it (`canonical`), and the `docker` stage writes the engine's request from it.

- Parameters: one text each (a list where the API takes several), in the forms that `parameters` describes.
- The body: fields have the API's names, whatever their case was; no field is null; every value is of its type; fields
  of HostConfig at the top level of a container's creation (where engines up to 26 took them) are moved inside
  HostConfig. Fields that the schema does not know stay as they are.
- What the operation requires is present (`required`).
- A body that is null itself counts as an empty one: to Go, null leaves the empty value unchanged.
- A body that no engine reads, because the row takes none, is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final, cast

from swarmlib import Invalid, Json, Meta, Path, Request, Unsupported, Verb
from swarmlib.names import check_path
from swarmlib.request import Handler

from ..http.headers import JSON, is_form, media_type, not_json
from . import required, schema, strictjson, table
from .rows import Kind, Row
from .schema import Wrong

_WHOLE: Final = Kind.WHOLE
_MOST_FOR_A_START: Final = 7
"""The size of a body that an engine ignores when a container is started: it could be `{}`, or null."""
_ABOUT_THE_BODY: Final = frozenset({"content-type", "content-encoding"})


class _Body(Json):
    """The body of a canonical request."""

    __slots__ = ("row",)
    row: Row


def canonical(request: Request) -> Request:
    """Return the request with its parameters and body in canonical form, or unchanged if the table has no row for it.

    Applying it twice is the same as once, and the second time costs next to nothing.

    Raises:
        Invalid, TooLarge: a parameter or the body is wrong; the error says where, and what would be right.
    """
    try:
        row = table.row_of(request.verb, request.path, upload=request.upload is not None)
    except Unsupported:
        return request
    if row.kind is _WHOLE:
        return request
    params, body, meta = request.params, request.body, request.meta
    check = required.of_row(row.name)
    params_done = type(params) is row.params or not (check or params)
    body_done = body is None or (type(body) is _Body and body.row is row)
    if params_done and body_done and not (meta.headers and _says_of_the_body(meta)):
        return request
    if row.upload:
        _check_no_form(meta)
    if not body_done:
        assert body is not None
        body = _body(row, meta, body)
    made = params if params_done else row.params.read(params)
    if check is not None:
        check(made, None if body is None else body.data)
    if "name" in row.params.declared:
        _check_new_name(request.path, made.get("name"))
    elif row.verb is Verb.SPAWN and body is not None:
        _check_new_name(request.path, body.data.get("Name"))
    kept = meta if row.upload else _without_type(meta)
    return Request(request.verb, request.path, made, body, kept, request.deadline, request.upload, request.reply)


def _says_of_the_body(meta: Meta) -> bool:
    return any(name in _ABOUT_THE_BODY for name, _ in meta.headers)


def _without_type(meta: Meta) -> Meta:
    """Return the meta without the headers about the body, which is now plain JSON in UTF-8."""
    if not _says_of_the_body(meta):
        return meta
    return meta.replace(headers=tuple(header for header in meta.headers if header[0] not in _ABOUT_THE_BODY))


def reading_canonical(handlers: Mapping[Verb, Handler]) -> Mapping[Verb, Handler]:
    """Wrap handlers so that each gets its request in canonical form, also from Python programs that call the stage."""
    return {verb: partial(_handle, handler) for verb, handler in handlers.items()}


async def _handle(handler: Handler, request: Request) -> Any:
    return await handler(canonical(request))


def _check_new_name(path: Path, name: object) -> None:
    """Refuse the name of a new or renamed object if no path could lead to the object by it.

    Raises:
        Invalid, TooLarge: see `swarmlib.names.check_path`.
    """
    if isinstance(name, str) and name:
        check_path((path[0], name.removeprefix("/")))  # an engine takes /web for web


def _check_no_form(meta: Meta) -> None:
    """Refuse a form: an engine would read parameters from it, in addition to those of the query and before them."""
    if is_form(kind := _media_type(meta)):
        raise Invalid(f"a body of the type {kind} is not supported: send parameters in the query")


def _media_type(meta: Meta) -> str:
    return media_type(meta.header("content-type") or "")


def _body(row: Row, meta: Meta, body: Json) -> _Body | None:
    if not body.raw.strip():
        return None
    _check_is_json(meta)
    read = schema.body_reader(row.name)
    if read is None:
        _check_unread(row, body)
        return None
    data = _read(read, body)
    if row.name == "ContainerCreate":
        _gather_host_config(data)
    made = _Body.from_data(data)
    made.row = row
    return made


def _check_is_json(meta: Meta) -> None:
    _check_no_form(meta)
    if _media_type(meta) not in ("", JSON):
        raise not_json(meta.header("content-type") or "")
    if (encoding := (meta.header("content-encoding") or "identity").strip().lower()) not in ("", "identity"):
        raise Invalid(f"a compressed body (encoding {encoding}) is not supported")


def _read(reader: schema.Reader, value: Json) -> Any:
    data = strictjson.read(value.raw, "the body")
    try:
        return reader(data)
    except Wrong as wrong:
        raise Invalid(str(wrong) if wrong.place else f"the body {wrong}") from None


def _check_unread(row: Row, value: Json) -> None:
    """Check a body that no engine reads, and that is left out: some clients (dockerode) repeat their parameters there.

    Raises:
        Invalid: it is the body of a start, in which engines before API 1.24 accepted a whole HostConfig.
    """
    if row.name == "ContainerStart" and len(value.raw) > _MOST_FOR_A_START:
        raise Invalid(
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24: "
            "send HostConfig when you create it"
        )


def _gather_host_config(body: dict[str, Any]) -> None:
    """Move the fields of HostConfig that are at the top level of a container's creation into HostConfig.

    Raises:
        Invalid: HostConfig has another value for one of them.
    """
    moved = {name: body.pop(name) for name in schema.top_level_host_fields() & body.keys()}
    if not moved:
        return
    if "Cpuset" in moved:  # its older name
        moved.setdefault("CpusetCpus", moved.pop("Cpuset"))
    host = cast("dict[str, Any]", body.setdefault("HostConfig", {}))
    for name, value in moved.items():
        inner = host.setdefault(name, value)
        if value and inner != value:
            raise Invalid(f"{name} is {value!r:.80} at the top level, but {inner!r:.80} in HostConfig")
