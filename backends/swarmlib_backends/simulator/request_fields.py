"""What the operations of a simulated engine read out of a request."""

from __future__ import annotations

from typing import Final

from swarmlib import Invalid, Request, TooLarge

from ..dockerapi.operations import ImageCommit, ImageTag

MAX_UPLOAD: Final = 256 * 1024 * 1024
"""Bytes of an upload, at most: it is kept in memory."""


async def upload_of(request: Request) -> bytes:
    """Return all bytes of an upload. Raises `TooLarge` over the bound, `Invalid` if there is none."""
    if request.upload is None:
        raise Invalid(f"{request.verb} on {'/'.join(request.path)} needs a stream of bytes")
    data = bytearray()
    async with request.upload:
        async for piece in request.upload:
            data += piece
            if len(data) > MAX_UPLOAD:
                raise TooLarge(f"the upload is over {MAX_UPLOAD} bytes")
    return bytes(data)


def as_given(asked: ImageCommit | ImageTag) -> str:
    """Return the reference that the parameters `repo` and `tag` make, as the user wrote it."""
    if not asked.tag:
        return asked.repo
    return f"{asked.repo}@{asked.tag}" if asked.tag.startswith("sha256:") else f"{asked.repo}:{asked.tag}"
