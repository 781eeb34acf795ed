"""The form of the objects that a watch tells: of what is read of them, which types it has. All else is left unread.

An apiserver lets no other objects through; what stands in for one, or in between, might.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from swarmlib import BadAnswer

from .resources import CLAIMS, CONFIG_MAPS, ENDPOINT_SLICES, EVENTS, PODS, SERVICES, Resource

Object: TypeAlias = Mapping[str, Any]
_Version: TypeAlias = Annotated[str, msgspec.Meta(pattern="^[0-9]{1,19}$")]
"""In all clusters, versions are numbers that grow (KEP-5504)."""
_Name: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([-.:a-z0-9]*[a-z0-9])?$", max_length=253)]
_Int: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)]
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
_Texts: TypeAlias = dict[str, str]


class Metadata(msgspec.Struct, frozen=True):
    """What identifies an object and its state. A bookmark and a list have a version only."""

    resourceVersion: _Version  # noqa: N815 - the apiserver's name
    namespace: str = ""
    name: str = ""
    uid: str = ""

    @classmethod
    def of(cls, object: Object) -> Metadata:
        """Read an object's metadata.

        Raises:
            BadAnswer: it has none, or of other types.
        """
        try:
            return msgspec.convert(object.get("metadata"), cls)
        except msgspec.ValidationError as exc:
            raise BadAnswer(f"the cluster told of a malformed object: metadata: {exc}") from exc

    @property
    def key(self) -> tuple[str, str, str]:
        """Which object it is: one that was deleted and created again is another one."""
        return self.namespace, self.name, self.uid


def at_version(object: Object, version: str) -> Object:
    """Return an object with another version."""
    return {**object, "metadata": {**object["metadata"], "resourceVersion": version}}


def check(resource: Resource, object: Object, namespace: str) -> None:
    """Check an object whose metadata could be read: its form, and, unless that is "", its namespace.

    Raises:
        BadAnswer: it is another one; the error names the object and the place.
    """
    about = Metadata.of(object)
    what = f"{resource.kind} {about.name!a:.80}"
    if namespace and about.namespace != namespace:
        raise BadAnswer(f"the cluster told of the {what} of the namespace {about.namespace!a:.80}")
    try:
        msgspec.convert(object, _SHAPES.get(resource.kind, _Named))
    except msgspec.ValidationError as exc:
        raise BadAnswer(f"the cluster told of a malformed {what}: {exc}") from exc


class _Shape(msgspec.Struct, rename="camel"):
    pass


class _About(_Shape):
    name: _Name
    resource_version: _Version
    labels: _Texts | None = None
    annotations: _Texts | None = None


class _Named(_Shape):
    metadata: _About


class _Identified(_About, kw_only=True):
    uid: str


class _ConfigMap(_Shape):
    metadata: _Identified
    data: _Texts | None = None


class _Running(_Shape):
    started_at: str | None = None


class _Terminated(_Shape):
    exit_code: _Int | None = None
    reason: str | None = None
    message: str | None = None
    started_at: str | None = None
    finished_at: str | None = None


class _Waiting(_Shape):
    reason: str | None = None
    message: str | None = None


class _State(_Shape):
    running: _Running | None = None
    terminated: _Terminated | None = None
    waiting: _Waiting | None = None


class _ContainerStatus(_Shape):
    name: str
    state: _State | None = None
    last_state: _State | None = None
    restart_count: _Count | None = None
    container_id: str | None = msgspec.field(name="containerID", default=None)
    image: str | None = None
    image_id: str | None = msgspec.field(name="imageID", default=None)


class _Condition(_Shape):
    type: str
    status: str
    reason: str | None = None
    message: str | None = None


class _Container(_Shape):
    name: str
    command: list[str] | None = None


class _PodSpec(_Shape):
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None
    restart_policy: str | None = None
    node_name: str | None = None


class _PodStatus(_Shape):
    phase: str | None = None
    reason: str | None = None
    message: str | None = None
    pod_ip: str | None = msgspec.field(name="podIP", default=None)
    host_ip: str | None = msgspec.field(name="hostIP", default=None)
    conditions: list[_Condition] | None = None
    container_statuses: list[_ContainerStatus] | None = None
    init_container_statuses: list[_ContainerStatus] | None = None


class _Pod(_Shape):
    metadata: _Identified
    spec: _PodSpec | None = None
    status: _PodStatus | None = None


class _Endpoint(_Shape):
    addresses: list[str]
    hostname: str | None = None


class _EndpointSlice(_Shape):
    metadata: _About
    address_type: str
    endpoints: list[_Endpoint] | None = None


class _ClaimSpec(_Shape):
    storage_class_name: str | None = None
    access_modes: list[str] | None = None


class _ClaimStatus(_Shape):
    phase: str | None = None
    capacity: dict[str, str] | None = None


class _Claim(_Shape):
    metadata: _About
    spec: _ClaimSpec | None = None
    status: _ClaimStatus | None = None


class _Involved(_Shape):
    field_path: str | None = None


class _Event(_Shape):
    metadata: _About
    involved_object: _Involved | None = None


_SHAPES: Final[Mapping[str, type[_Shape]]] = {
    PODS.kind: _Pod,
    CONFIG_MAPS.kind: _ConfigMap,
    SERVICES.kind: _Named,
    ENDPOINT_SLICES.kind: _EndpointSlice,
    CLAIMS.kind: _Claim,
    EVENTS.kind: _Event,
}
"""By the kinds that are watched."""
