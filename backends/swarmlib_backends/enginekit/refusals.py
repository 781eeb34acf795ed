"""What an engine refuses, in its words and with its statuses."""

from __future__ import annotations

from swarmlib import Request, SwarmError, Unsupported

from ..dockerapi.status import refusal
from .filters import Listed


def no_such_place(backend: str, request: Request) -> Unsupported:
    """Return the error of a backend that has nothing of that kind where the request points."""
    where = "/".join(request.path) or "the service"
    return Unsupported(f"{backend} does not support {request.verb} on {where}", path=request.path)


def not_running(id: str) -> SwarmError:
    """Return the error of a call that needs the container to run."""
    return refusal(409, f"Container {id} is not running")


def check_running(container: Listed) -> None:
    """Refuse a call that needs a container to run. Raises `Conflict`."""
    if not container.running:
        raise not_running(container.id)


def check_not_restarting(container: Listed) -> None:
    """Refuse a call on a container that is about to be restarted. Raises `Conflict`."""
    if container.status == "restarting":
        raise refusal(409, f"Container {container.id} is restarting, wait until the container is running")


def check_attachable(container: Listed, called: str) -> None:
    """Refuse an attach to a container that is paused, or about to be restarted. Raises `Conflict`.

    called: how the client calls it, as an engine does too.
    """
    if container.status == "paused":
        raise refusal(409, f"container {called} is paused, unpause the container before attach")
    if container.status == "restarting":
        raise refusal(409, f"container {called} is restarting, wait until the container is running")


def still_runs(id: str, status: str) -> SwarmError:
    """Return the error of removing a container that is `running` or `paused` without force."""
    how = "Unpause and then stop" if status == "paused" else "Stop"
    text = f"You cannot remove a {status} container {id}"
    return refusal(409, f"{text}. {how} the container before attempting removal or force remove")


def no_link() -> SwarmError:
    """Return the error of removing a link by a name that is a container's."""
    return refusal(500, "Conflict, cannot remove the default link name of the container")
