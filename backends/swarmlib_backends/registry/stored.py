"""The credentials that `docker login` has stored for the user of this process: in config.json, or with a helper."""

from __future__ import annotations

from typing import Any, cast

import trio

from swarmlib import Unavailable

from .credentials import Credentials


async def stored(registry: str) -> Credentials:
    """Return what `docker login` has stored of a registry; nobody's for nothing.

    Raises:
        Unavailable: a helper that keeps passwords fails.
    """
    return await trio.to_thread.run_sync(_stored, registry, abandon_on_cancel=True)


def _stored(registry: str) -> Credentials:
    from docker import auth, errors  # imported when used: it takes long

    configured = cast("Any", auth).load_config()
    try:
        found: dict[str, Any] = configured.resolve_authconfig(registry) or {}
    except errors.DockerException as exc:
        raise Unavailable(f"the credentials for {registry} can't be read: {exc}") from exc
    except (KeyError, ValueError) as exc:  # the answer, which may be a secret, is not told
        raise Unavailable(f"the credentials for {registry} can't be read: a helper gave a malformed answer") from exc
    known = {name.lower(): str(value or "") for name, value in found.items()}  # helpers' names begin with capitals
    return Credentials(known.get("username", ""), known.get("password", ""), known.get("identitytoken", ""))
