"""Containers for the tests of their Pods."""

from typing import Any

from swarmlib_backends.kubernetes.pods.options import PodOptions
from swarmlib_backends.kubernetes.pods.pod import pod
from swarmlib_backends.kubernetes.pods.record import Image, Record

ID = "0123456789abcdef" * 4
BUSYBOX = Image(config={"Cmd": ["sh"], "Env": ["PATH=/bin"]})
OPTIONS = PodOptions(namespace="ci", tools_image="busybox:1")


def record(body: dict[str, Any] | None = None, image: Image | None = BUSYBOX, **more: Any) -> Record:
    """A container of busybox; body: what its creation says besides."""
    more = {"uid": "uid", "version": "17", "ruled": True, **more}
    return Record(ID, "web", 1.0, {"Image": "busybox:1", **(body or {})}, image, **more)


def made(
    body: dict[str, Any] | None = None, options: PodOptions = OPTIONS, image: Image | None = BUSYBOX, **more: Any
) -> dict[str, Any]:
    """The Pod of a container of busybox."""
    return pod(record(body, image, keep=options.keep), options, run=1, **more)


def main(made: dict[str, Any]) -> dict[str, Any]:
    """Docker's own container in a Pod."""
    found: dict[str, Any] = made["spec"]["containers"][0]
    assert found["name"] == "main"
    return found


def host(**fields: Any) -> dict[str, Any]:
    """A body with fields of HostConfig."""
    return {"HostConfig": fields}
