"""The errors of an apiserver: its `Status` objects, with the real one's reasons and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...http.serving import Answer, Body
from ..api.resources import Resource


class StatusError(Exception):
    """A request that is refused.

    code: the HTTP status. reason: the apiserver's word for it. details: of the resource that it is about.
    """

    def __init__(self, code: int, reason: str, message: str, details: Body | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details

    @property
    def status(self) -> Body:
        """The object that says so."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            **({} if self.details is None else {"details": self.details}),
            "code": self.code,
        }

    def answer(self) -> Answer:
        """Return the answer that says so."""
        return Answer(self.code, self.status)


class Cause(NamedTuple):
    """What is wrong with a field of an object: `reason` is the apiserver's, such as FieldValueRequired."""

    field: str
    reason: str
    message: str


def _about(resource: Resource, name: str) -> Body:
    group = {"group": resource.group} if resource.group else {}
    return {**({"name": name} if name else {}), **group, "kind": resource.plural}


def _called(resource: Resource) -> str:
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def bad_request(message: str) -> StatusError:
    """Return the error for a request that makes no sense."""
    return StatusError(400, "BadRequest", message)


def not_found(resource: Resource, name: str) -> StatusError:
    """Return the error for an object that doesn't exist."""
    return StatusError(404, "NotFound", f'{_called(resource)} "{name}" not found', _about(resource, name))


def no_such_path() -> StatusError:
    """Return the error for a path that leads nowhere."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def no_such_method() -> StatusError:
    """Return the error for a method that a path doesn't have."""
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message, {})


def unsupported_media_type(accepted: str) -> StatusError:
    """Return the error for a body of another type."""
    message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    return StatusError(415, "UnsupportedMediaType", message)


def already_exists(resource: Resource, name: str) -> StatusError:
    """Return the error for a name that is taken."""
    return StatusError(409, "AlreadyExists", f'{_called(resource)} "{name}" already exists', _about(resource, name))


def conflict(resource: Resource, name: str, why: str = "") -> StatusError:
    """Return the error for a change of a version that is no longer the last one, or for another reason."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {_called(resource)} "{name}": {why}'
    return StatusError(409, "Conflict", message, _about(resource, name))


def unauthorized() -> StatusError:
    """Return the error for credentials that are none."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(resource: Resource, name: str, why: str) -> StatusError:
    """Return the error for what an account, or a rule, doesn't allow."""
    named = f'{_called(resource)} "{name}"' if name else _called(resource)
    return StatusError(403, "Forbidden", f"{named} is forbidden: {why}", _about(resource, name))


def invalid(resource: Resource, name: str, causes: Sequence[Cause]) -> StatusError:
    """Return the error for an object with wrong fields."""
    said = [f"{cause.field}: {cause.message}" for cause in causes]
    listed = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    group = {"group": resource.group} if resource.group else {}
    shown = [{"reason": each.reason, "message": each.message, "field": each.field} for each in causes]
    called = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details: dict[str, Any] = {"name": name, **group, "kind": resource.kind, "causes": shown}
    return StatusError(422, "Invalid", f'{called} "{name}" is invalid: {listed}', details)


def required(field: str, message: str = "Required value") -> Cause:
    """Return what is wrong with a field that is missing."""
    return Cause(field, "FieldValueRequired", message)


def invalid_value(field: str, value: object, why: str) -> Cause:
    """Return what is wrong with a field that has a wrong value."""
    shown = f'"{value}"' if isinstance(value, str) else value
    return Cause(field, "FieldValueInvalid", f"Invalid value: {shown}: {why}")


def expired(asked: int, oldest: int) -> StatusError:
    """Return the error for a version of a watch that was forgotten."""
    return StatusError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def expired_list() -> StatusError:
    """Return the error for a further page of a list whose version was forgotten."""
    message = (
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
        "results."
    )
    return StatusError(410, "Expired", message)
