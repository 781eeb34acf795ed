"""How long an engine may take over an operation: what waits for a disk or a registry is given its time."""

import pytest

from swarmlib import Json, Request
from swarmlib_backends.dockerapi import patience, table
from swarmlib_backends.dockerapi.canonical import canonical


@pytest.mark.parametrize(
    ("method", "target", "long"),
    [
        ("GET", "/containers/json?all=1", False),
        ("GET", "/containers/json?size=yes", True),
        ("GET", "/containers/json?size=0", False),
        ("GET", "/containers/web/json", False),
        ("GET", "/containers/web/json?size=1", True),
        ("GET", "/containers/web/changes", True),
        ("GET", "/images/json", False),
        ("GET", "/images/json?shared-size=true", True),
        ("GET", "/system/df", True),
        ("GET", "/images/search?term=x", True),
        ("GET", "/distribution/busybox/json", True),
        ("GET", "/plugins/privileges?remote=x", True),
        ("GET", "/info", False),
        ("GET", "/_ping", False),
        ("POST", "/auth", True),
        ("POST", "/images/prune", True),
        ("POST", "/containers/web/start", True),
        ("DELETE", "/images/busybox", True),
    ],
)
def test_reads_are_quick_unless_they_wait_for_a_disk_or_a_registry(method: str, target: str, long: bool) -> None:
    found = table.route(method, target)
    message = canonical(Request(found.row.verb, found.path, found.params, Json(b"{}") if method == "POST" else None))
    limit = patience.seconds(message.verb, message.path, message.params, 5)
    assert limit == (patience.LONG_SECONDS if long else 5)
    assert patience.seconds(message.verb, message.path, message.params, 1000) == 1000
