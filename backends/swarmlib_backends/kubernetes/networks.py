"""The networks of a namespace: each is a headless Service without a selector, and its domain has the containers' names.

A Service holds what its network was created with. Equal names on two networks don't collide, as each is a domain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from swarmlib import BadAnswer, Conflict, NotFound, SwarmError

from ..dockerapi import schema
from ..dockerapi.nullable import dict_of
from ..dockerapi.schema import Wrong
from ..dockerapi.status import refusal
from ..enginekit.networks import PREDEFINED, only
from .annotated import annotated, annotation, field, moment_of, text_of
from .api.client import Api
from .api.errors import reason_of
from .api.resources import ENDPOINT_SLICES, SERVICES, SLICE_VERSIONS, Resource, served
from .following import Body, Following
from .pods import names

KIND: Final = "network"
"""The kind (`names.KIND`) of the Services that are networks."""
_KEY: Final = f"{names.PREFIX}network"
"""The annotation that holds a network."""


@dataclass(frozen=True)
class Network:
    """A network. `created` is seconds since the epoch; `body` is that of its creation."""

    id: str
    name: str
    created: float
    body: dict[str, Any]

    @property
    def driver(self) -> str:
        """The driver that it is shown with."""
        return PREDEFINED.get(self.name, "bridge")

    @property
    def predefined(self) -> bool:
        """Whether it is one of the three that every engine has."""
        return self.name in PREDEFINED

    def service(self) -> Body:
        """Return the Service that it is."""
        data = {"id": self.id, "name": self.name, "created": self.created, "body": self.body}
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": names.network_name(self.name),
                "labels": names.own_labels(KIND),
                "annotations": annotation(_KEY, data),
            },
            "spec": {"clusterIP": "None"},
        }


def read(service: Body) -> Network:
    """Return the network that a Service is. Raises `BadAnswer` if it is none."""
    about = service["metadata"]
    try:
        data = annotated(service, _KEY)
        found = Network(text_of(data, "id"), text_of(data, "name"), moment_of(data, "created"), _body(data))
        if names.network_name(found.name) != about["name"]:
            raise Wrong(f"is the network {found.name!r:.80}, which has another Service")
        return found
    except (Wrong, SwarmError) as exc:
        raise BadAnswer(f"the Service {about['name']} is not a network: {exc}") from exc


def _body(data: Any) -> dict[str, Any]:
    reader = schema.body_reader("NetworkCreate")
    assert reader is not None
    return dict_of(reader(field(data, "body")))


class Networks(Following):
    """The networks of a namespace, and the EndpointSlices with the names of their containers."""

    def __init__(self, api: Api, namespace: str) -> None:
        super().__init__(api, namespace, (SERVICES, ENDPOINT_SLICES))
        self.listeners: list[Callable[[Network, bool], None]] = []
        """Are told of each network that is new, and of its removal (True)."""
        self.slice_listeners: list[Callable[[Body, bool], None]] = []
        """Are told of each slice that has changed, and of its removal (True)."""
        self.slices: dict[str, Body] = {}
        """All slices, by their names."""
        self._made: dict[str, Network] = {}
        """By the names of the Services."""
        self._predefined = [_predefined(namespace, name) for name in PREDEFINED]
        self._slices = ENDPOINT_SLICES

    def __iter__(self) -> Iterator[Network]:
        yield from self._predefined
        yield from self._made.values()

    async def served(self, resource: Resource) -> Resource:
        """See `Following`."""
        if resource is ENDPOINT_SLICES:
            self._slices = await served(self.api, resource, SLICE_VERSIONS)
            return self._slices
        return resource

    @property
    def slice_resource(self) -> Resource:
        """EndpointSlices in the version that the cluster has."""
        return self._slices

    def note(self, body: Body, *, gone: bool) -> None:
        """See `Following`."""
        name = body["metadata"]["name"]
        if body["kind"] == ENDPOINT_SLICES.kind:
            self.slices.pop(name, None)
            if not gone:
                self.slices[name] = body
            for listener in self.slice_listeners:
                listener(body, gone)
        elif body["metadata"]["labels"].get(names.KIND) == KIND:
            self._note_network(name, body, gone=gone)

    def _note_network(self, name: str, body: Body, *, gone: bool) -> None:
        before = self._made.pop(name, None)
        if not gone:
            try:
                self._made[name] = read(body)
            except BadAnswer as exc:
                self.left_out(exc)
        after = self._made.get(name)
        for network, removed in ((before, True), (after, False)):
            if network is not None and before != after and self.complete:
                for listener in self.listeners:
                    listener(network, removed)

    def find(self, ref: str) -> Network:
        """Return a network by its id, its name, or a prefix of its id. Raises `NotFound`; `SwarmError` for several."""
        return only(self, ref)

    def name_of(self, ref: str) -> str:
        """Return the name of the network that `find` finds; `ref` itself if it finds none."""
        with suppress(SwarmError):
            return self.find(ref).name
        return ref

    async def create(self, network: Network) -> None:
        """Make a network.

        Raises:
            Conflict: another one has its name. SwarmError: the cluster's error.
        """
        try:
            made = await self.api.post(SERVICES.path(self.namespace), network.service())
        except Conflict as exc:
            if reason_of(exc) != "AlreadyExists":
                raise
            raise refusal(409, f"network with name {network.name} already exists") from exc
        await self.seen(made)

    async def remove(self, network: Network) -> None:
        """Remove a network. It is gone when this returns. Raises `SwarmError`: the cluster's error."""
        with suppress(NotFound):
            await self.api.delete(SERVICES.path(self.namespace, names.network_name(network.name)))
        await self.until(SERVICES, lambda: network not in self._made.values(), "tell of a removal")


def _predefined(namespace: str, name: str) -> Network:
    id = hashlib.sha256(f"{namespace}/{name}".encode()).hexdigest()
    return Network(id, name, 0.0, {})
