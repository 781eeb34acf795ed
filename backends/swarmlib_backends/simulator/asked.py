"""What the operations of a simulated engine read out of a request."""

from __future__ import annotations

from typing import Any, Final, cast

from swarmlib import Invalid, Request, TooLarge

from ..dockerapi.references import tagged

NOT_A_MANAGER: Final = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" '
    "to connect this node to swarm and try again."
)
MAX_UPLOAD: Final = 256 * 1024 * 1024
"""Bytes of an upload, at most: it is kept in memory."""


def as_list(value: Any) -> list[str]:
    """All values of a parameter that may be given several times."""
    if value is None:
        return []
    return [str(each) for each in cast("list[Any]", value)] if isinstance(value, list) else [str(value)]


async def upload_of(request: Request) -> bytes:
    """All bytes of an upload. Raises `TooLarge` over the bound, `Invalid` if there is none."""
    if request.upload is None:
        raise Invalid(f"{request.verb} on {'/'.join(request.path)} needs a stream of bytes")
    data = bytearray()
    async with request.upload:
        async for piece in request.upload:
            data += piece
            if len(data) > MAX_UPLOAD:
                raise TooLarge(f"the upload is over {MAX_UPLOAD} bytes")
    return bytes(data)


def given_reference(request: Request, *, status: int) -> str:
    """The normal reference that the args `repo` and `tag` make."""
    return tagged(str(request.params.get("repo") or ""), str(request.params.get("tag") or ""), status=status)


def as_given(request: Request) -> str:
    """The reference that the args `repo` and `tag` make, as the user wrote it."""
    return _joined(str(request.params.get("repo") or ""), request.params.get("tag"))


def _joined(name: str, tag: Any) -> str:
    if not tag:
        return name
    return f"{name}@{tag}" if str(tag).startswith("sha256:") else f"{name}:{tag}"
