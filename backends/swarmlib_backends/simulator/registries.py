"""The servers that a simulated engine would speak to: registries, and those of URLs that are imported."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from swarmlib import SwarmError

from ..dockerapi.status import refusal

DOCKER_HUB: Final = "https://registry-1.docker.io/v2/"
_NAMES: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
"""Those of Docker Hub's registry."""
_URL: Final = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*):(?://(?P<host>[^/?#]*))?(?P<rest>.*)", re.DOTALL)
_STRANGE: Final = re.compile(r"[ \\^`{|}]")
"""What can't stand in the name of a host."""
_PASSWORD: Final = re.compile("^([a-z]+://[^/@:]*:)[^/@]*@")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9a-fA-F]{2}).{0,2}", re.DOTALL)
_AS_IT_IS: Final = "!#$%&'()*+,/:;=?@[]"
"""What stands in a URL as it is, besides letters and digits."""
_IN_HOST: Final = '"<>'
"""What stands as it is in the name of a host alone."""


def named(server: str) -> str:
    """Return the URL of the registry that a login names; Docker Hub's if it names none.

    Raises:
        SwarmError: it is no address.
    """
    if not server:
        return DOCKER_HUB
    url = server if server.startswith(("https://", "http://")) else f"https://{server}"
    if problem := _problem(url):
        raise refusal(400, f"unable to parse server address: {problem}")
    host = _host(url).removesuffix(":")
    return DOCKER_HUB if host in _NAMES else f"https://{host}/v2/" if host else "https:/v2/"


def check(url: str) -> None:
    """Refuse what is no URL. Raises `SwarmError`."""
    if problem := _problem(url):
        raise refusal(400, problem)


def _host(url: str) -> str:
    """Return the host of a URL, with its port."""
    found = _URL.fullmatch(url)
    return (found["host"] or "") if found is not None else ""


def _problem(url: str) -> str:
    """Return what is wrong with a URL, as Go says it; empty if nothing is."""
    found = _URL.fullmatch(url)
    if _CONTROL.search(url):
        what = "net/url: invalid control character in URL"
    elif found is None:
        what = "missing protocol scheme" if url.startswith(":") else "first path segment in URL cannot contain colon"
    else:
        what = _host_problem(found["host"] or "") or _escape_problem(found["rest"])
    return f'parse "{_quoted(url)}": {what}' if what else ""


def _host_problem(host: str) -> str:
    name = host.rpartition("@")[2]
    if name.startswith("[") and "]" not in name:
        return "missing ']' in host"
    _, bracket, after = name.rpartition("]")
    port = after if bracket else name[name.rfind(":") :] if ":" in name else ""
    if not re.fullmatch("(?::[0-9]*)?", port):
        return f'invalid port "{_quoted(port)}" after host'
    strange = _STRANGE.search(name)
    return f'invalid character "{_quoted(strange[0])}" in host name' if strange else _escape_problem(name)


def _escape_problem(text: str) -> str:
    found = _BAD_ESCAPE.search(text)
    return f'invalid URL escape "{_quoted(found[0])}"' if found else ""


def _quoted(text: str) -> str:
    """Return what a text is between quotation marks."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def unreachable(url: str) -> SwarmError:
    """Return what an engine says that can't reach what a URL names."""
    found = _URL.fullmatch(url)
    scheme, host, rest = (found[1].lower(), found[2] or "", found[3]) if found is not None else ("", "", url)
    if scheme not in ("http", "https"):
        problem = f'unsupported protocol scheme "{scheme}"'
    elif not host:
        problem = "http: no Host in request URL"
    else:
        problem = f"dial tcp: lookup {host.rpartition('@')[2]}: no such host"
    before = url[: len(url) - len(rest)] if host or rest else f"{scheme}:"
    shown = _escaped(before.removesuffix(":") if host else before, _AS_IT_IS + _IN_HOST) + _escaped(rest, _AS_IT_IS)
    shown = _PASSWORD.sub(r"\1***@", shown)  # as Go shows it
    return refusal(500, f'Get "{_quoted(shown)}": {problem}')


def _escaped(text: str, as_it_is: str) -> str:
    return quote(text, safe=as_it_is, errors="surrogateescape")
