"""References to images, and credentials for registries, as a pull of the Engine API takes them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from ..operation import NO_META, Meta


def repository_and_tag(image: str) -> tuple[str, str]:
    """Split a reference into the repository, and the tag or digest. Without a tag, an engine would pull all of them."""
    name, _, digest = image.partition("@")
    before, slash, last = name.rpartition("/")
    base, _, tag = last.partition(":")
    return f"{before}{slash}{base}", digest or tag or "latest"


def with_credentials(credentials: Mapping[str, str] | None) -> Meta:
    """Return the meta of a call to a registry. Source: the Engine API's X-Registry-Auth."""
    if credentials is None:
        return NO_META
    encoded = base64.urlsafe_b64encode(json.dumps(dict(credentials)).encode()).decode()
    return Meta(headers=(("x-registry-auth", encoded),))
