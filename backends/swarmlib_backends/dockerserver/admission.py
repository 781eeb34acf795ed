"""The checks of a request's body: it has the type that its operation takes."""

from __future__ import annotations

from swarmlib import Invalid

from ..dockerapi import schema
from ..dockerapi.rows import Kind, Row
from ..http.head import Head
from ..http.headers import JSON, is_form, media_type, not_json


def check_type(head: Head) -> None:
    """Refuse a body that is a form: an engine would take its fields for query parameters, and prefer them to those of
    the query.

    Raises:
        Invalid: its type is that of a form.
    """
    if any(map(is_form, _types(head))):
        raise Invalid("a form as body is not supported: send parameters in the query")


def takes_json(row: Row) -> bool:
    """Return whether the operation has a JSON body, by the API's schema."""
    return row.kind is not Kind.WHOLE and schema.body_reader(row.name) is not None


def check_json(head: Head) -> None:
    """Refuse a body that is not declared as JSON, in an engine's words.

    Raises:
        Invalid: the type is another one, or is missing.
    """
    types = _types(head)
    if not types or any(kind != JSON for kind in types):
        raise not_json((head.get(b"content-type") or b"").decode("latin-1"))


def _types(head: Head) -> list[str]:
    """Return the media types that a head names, without their parameters."""
    return [media_type(value.decode("latin-1")) for name, value in head.headers if name.lower() == b"content-type"]
