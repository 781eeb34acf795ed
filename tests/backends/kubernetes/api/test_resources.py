"""The paths of objects, and the version of a group that a cluster serves."""

from __future__ import annotations

from typing import Any

import pytest

from swarmlib import BadAnswer, Invalid, Unsupported
from swarmlib_backends.kubernetes.api.access import Access
from swarmlib_backends.kubernetes.api.client import Api
from swarmlib_backends.kubernetes.api.resources import (
    ACCESS_REVIEWS,
    ENDPOINT_SLICES,
    NODES,
    POD_METRICS,
    PODS,
    SLICE_VERSIONS,
    served,
)
from tests.support import scripted_http
from tests.support.scripted_http import Answer, Asked


def test_paths() -> None:
    assert PODS.path() == "/api/v1/pods"
    assert PODS.path("ci") == "/api/v1/namespaces/ci/pods"
    assert PODS.path("ci", "web", "log") == "/api/v1/namespaces/ci/pods/web/log"
    assert NODES.path(name="n1") == "/api/v1/nodes/n1"
    assert POD_METRICS.path("ci") == "/apis/metrics.k8s.io/v1beta1/namespaces/ci/pods"
    assert ACCESS_REVIEWS.path() == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert (PODS.api_version, ENDPOINT_SLICES.api_version) == ("v1", "discovery.k8s.io/v1")


def test_a_name_stays_a_name() -> None:
    assert PODS.path("ci", "a?watch=1#b c") == "/api/v1/namespaces/ci/pods/a%3Fwatch%3D1%23b%20c"


@pytest.mark.parametrize("name", [".", "..", "a/b", "../secrets/x"])
def test_a_name_that_could_lead_elsewhere_is_refused(name: str) -> None:
    for place in ((name, "a"), ("ci", name)):
        with pytest.raises(Invalid, match="invalid name"):
            PODS.path(*place)


@pytest.mark.parametrize(("there", "found"), [(["v1beta1"], "v1beta1"), (["v2", "v1beta1", "v1"], "v1")])
async def test_the_newest_version_that_is_known_and_served(there: list[str], found: str) -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        assert asked.path == "/apis/discovery.k8s.io"
        await answer.json({"kind": "APIGroup", "versions": [{"version": each} for each in there]})

    async with scripted_http.served(script) as server, Api.open(Access(server.url)) as api:
        assert (await served(api, ENDPOINT_SLICES, SLICE_VERSIONS)).version == found


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (200, {"versions": [{"version": "v9"}]}, Unsupported, "it has: v9"),
        (404, {"kind": "Status", "reason": "NotFound", "message": "no"}, Unsupported, "it has: none"),
        (200, {"versions": [1]}, BadAnswer, "malformed"),
        (200, [], BadAnswer, "malformed"),
    ],
)
async def test_no_version_that_is_known(status: int, body: Any, kind: type[Exception], message: str) -> None:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.json(body, status)

    async with scripted_http.served(script) as server, Api.open(Access(server.url)) as api:
        with pytest.raises(kind, match=message):
            await served(api, ENDPOINT_SLICES, SLICE_VERSIONS)
