"""The servers that a simulated engine would speak to: registries, and those of URLs that are imported."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, urlsplit

from swarmlib import SwarmError

from ..dockerapi.status import refusal

DOCKER_HUB: Final = "https://registry-1.docker.io/v2/"
_NAMES: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
"""Those of Docker Hub's registry."""
_STRANGE: Final = re.compile(r'[ "<>\\^`{|}]')
"""What can't stand in the name of a host."""


def named(server: str) -> str:
    """The URL of the registry that a login names; Docker Hub's if it names none.

    Raises:
        SwarmError: it is no address.
    """
    if not server:
        return DOCKER_HUB
    host = server.removeprefix("https://").removeprefix("http://").partition("/")[0]
    if problem := _problem(f"https://{host}"):
        raise refusal(400, f"unable to parse server address: {problem}")
    return DOCKER_HUB if host in _NAMES else f"https://{quote(host, safe=':=')}/v2/" if host else "https:/v2/"


def _problem(url: str) -> str:
    """What is wrong with the host of a URL; empty if nothing is."""
    found = _STRANGE.search(url.partition("://")[2].partition("/")[0])
    return "" if found is None else f'parse "{url}": invalid character "{found[0]}" in host name'


def check(url: str) -> None:
    """Refuse what is no URL. Raises `SwarmError`."""
    if problem := _problem(url):
        raise refusal(400, problem)


def unreachable(url: str) -> SwarmError:
    """What an engine says that can't reach what a URL names."""
    scheme, host = urlsplit(url).scheme, urlsplit(url).hostname
    if scheme not in ("http", "https"):
        problem = f'unsupported protocol scheme "{scheme}"'
    elif not host:
        problem = "http: no Host in request URL"
    else:
        problem = f"dial tcp: lookup {host}: no such host"
    return refusal(500, f'Get "{url}": {problem}')
