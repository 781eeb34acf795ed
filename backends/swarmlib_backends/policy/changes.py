"""What a rule changes in the requests that it allows: labels, limits, folders, networks and images.

A request is changed first, and judged then, so that what a rule puts in needs to be granted as well. The engine gets
exactly what was judged, with folders and names resolved (`folders`, `ownership`).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self, cast

from swarmlib import Denied, Json, Meta, Request, SwarmError
from swarmlib.quantities import number_of_bytes

from ..dockerapi import references
from ..dockerapi.canonical import canonical
from ..dockerapi.operations import ImageCreate
from ..dockerapi.rows import Row
from ..json_differences import differing, in_words
from ..toml_tables import Table
from .grants import folders
from .requirements import Requirements

LABELLED: Final = frozenset({"ContainerCreate", "NetworkCreate", "VolumeCreate"})
"""The operations whose body has the labels of the object that they create."""
_DOCKER_SOCKETS: Final = frozenset({"/var/run/docker.sock", "/run/docker.sock"})
_NO_NETWORK_GIVEN: Final = frozenset({"", "default"})
_ALL: Final = "/**"
_CALLER: Final = "{caller}"
_FOLDER_NAME: Final = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_CREDENTIALS: Final = "x-registry-auth"


@dataclass(frozen=True)
class Changes:
    """What a rule changes.

    Attributes:
        labels: what is created gets these labels, whatever it says itself.
        limits: a container that sets no limit gets these.
        paths: folders of the client, each with the folder of the engine's host that is bound in its place.
        docker_socket: the socket that is bound where a container binds the engine's; "" for none.
        network: the network of a container that names none; "" for the engine's default.
        images: images, or registries with `/**`, each with what is used in its place.
    """

    labels: Mapping[str, str]
    limits: Requirements
    paths: Mapping[str, str]
    docker_socket: str
    network: str
    images: Mapping[str, str]

    @classmethod
    def read(cls, table: Table) -> Self:
        """Read the table `[rule.change]`.

        Raises:
            Invalid: something in it is wrong; the error names the line.
        """
        memory, cpus, pids = table.text("memory"), table.number("cpus"), table.take("pids", int, "a whole number")
        limits = Requirements(None if memory is None else table.read("memory", memory, number_of_bytes), cpus, pids)
        made = cls(
            table.pairs("labels"),
            limits,
            table.pairs("paths", _check_folders),
            _socket(table),
            table.filled("network") or "",
            table.pairs("images", _check_images),
        )
        table.end()
        if not table.values:
            raise table.mistake("", "[rule.change] must not be empty: leave it out for a rule that changes nothing")
        return made

    def apply(self, row: Row, request: Request) -> Request:
        """Return a request in canonical form as it is judged; the same one if nothing changes.

        Raises:
            Denied: a folder is for each caller, and the caller's name can't be that of a folder.
            SwarmError: what a client or the rule gives is not in a form that the engine takes.
        """
        if row.name == "ImageCreate":
            return self._pull(request)
        if row.name not in LABELLED:
            return request
        given: Mapping[str, Any] = request.json or {}
        body = copy.deepcopy(dict(given))
        if row.name == "ContainerCreate":
            self._change_container(body, request.meta.caller)
        if self.labels:
            stamp(body, self.labels)
        return request if body == given else canonical(request.replace(body=Json.from_data(body)))

    def _change_container(self, body: dict[str, Any], caller: str) -> None:
        if body.get("Image"):
            body["Image"] = self._image(body["Image"])
        host = cast("dict[str, Any]", body.get("HostConfig", {}))
        _limit(host, self.limits)
        if "Binds" in host:
            host["Binds"] = [self._bind(each, caller) for each in host["Binds"]]
        for mount in host.get("Mounts", ()):
            if mount.get("Type") == "bind" and "Source" in mount:
                mount["Source"] = self._source(mount["Source"], caller)
        if self.network and not body.get("NetworkDisabled"):
            _attach(body, host, self.network)
        if host:
            body["HostConfig"] = host

    def _bind(self, bind: str, caller: str) -> str:
        source, colon, rest = bind.partition(":")
        return self._source(source, caller) + colon + rest

    def _source(self, source: str, caller: str) -> str:
        if self.docker_socket and source in _DOCKER_SOCKETS:
            return self.docker_socket
        for folder in sorted(self.paths, key=len, reverse=True):
            if source == folder or source.startswith(f"{folder}/"):
                return _of_caller(self.paths[folder], caller) + source.removeprefix(folder)
        return source

    def _pull(self, request: Request) -> Request:
        """Change what is pulled. The client's credentials are for the registry that it named, so they are left out."""
        asked = ImageCreate.of(request)
        name = asked.from_image
        if not self.images or not name:
            return request
        separator = "@" if asked.tag.startswith("sha256:") else ":"
        image = f"{name}{separator}{asked.tag}" if asked.tag else name
        if (changed := self._image(image)) == image:
            return request
        params = {key: value for key, value in request.params.items() if key != "tag"}
        meta = _without_credentials(request.meta)
        return canonical(request.replace(params={**params, "fromImage": changed}, meta=meta))

    def _image(self, image: str) -> str:
        if references.is_digest(image):
            return image
        try:
            full = references.full(image)
        except SwarmError:
            return image  # what no engine takes is judged as it is
        for given in sorted(self.images, key=len, reverse=True):
            if given.endswith(_ALL):
                if full.startswith(given.removesuffix("**")):
                    return self.images[given].removesuffix("**") + full.removeprefix(given.removesuffix("**"))
            elif references.normal(given) == references.normal(image):
                return self.images[given]
        return image


def stamp(body: dict[str, Any], labels: Mapping[str, str]) -> None:
    """Give the object that a body describes these labels, whatever it says itself."""
    body["Labels"] = {**(body.get("Labels") or {}), **labels}


def differences(before: Any, after: Any) -> Iterator[str]:
    """Yield in words how JSON data differ: the place, what was there and what is there now."""
    for place, old, new in differing(before, after):
        was = f", not {old!r:.200}" if old else ""
        yield f"{in_words(place)} is {new!r:.200}{was}"


def _limit(host: dict[str, Any], limits: Requirements) -> None:
    if limits.memory is not None and not host.get("Memory"):
        host["Memory"] = limits.memory
    if limits.pids is not None and not host.get("PidsLimit"):
        host["PidsLimit"] = limits.pids
    if limits.cpus is not None and not host.get("NanoCpus") and not host.get("CpuQuota"):
        if host.get("CpuPeriod"):  # an engine refuses a period beside NanoCpus
            host["CpuQuota"] = round(limits.cpus * host["CpuPeriod"])
        else:
            host["NanoCpus"] = round(limits.cpus * 1e9)


def _attach(body: dict[str, Any], host: dict[str, Any], network: str) -> None:
    """Put a container that names no network into one; the settings for the default network become this one's."""
    networking = cast("dict[str, Any]", body.get("NetworkingConfig", {}))
    endpoints = cast("dict[str, Any]", networking.get("EndpointsConfig", {}))
    if host.get("NetworkMode", "") in _NO_NETWORK_GIVEN and endpoints.keys() <= _NO_NETWORK_GIVEN:
        host["NetworkMode"] = network
        for name in _NO_NETWORK_GIVEN & endpoints.keys():
            endpoints[network] = endpoints.pop(name)


def _without_credentials(meta: Meta) -> Meta:
    return meta.replace(headers=tuple(header for header in meta.headers if header[0] != _CREDENTIALS))


def _of_caller(folder: str, caller: str) -> str:
    """Return a folder with `{caller}` replaced by a name that no other caller has, such as `cert-ci` or `uid-1000`."""
    if _CALLER not in folder:
        return folder
    form, _, value = caller.partition(":")
    name = value.partition("/")[0] if form == "tenant" else value
    if not _FOLDER_NAME.fullmatch(name):
        raise Denied(f"the caller {caller!r:.80} can't be the name of a folder, so {folder} is not for it")
    return folder.replace(_CALLER, f"{form}-{name}")


def _socket(table: Table) -> str:
    path = table.filled("docker_socket")
    if path is None:
        return ""
    table.read("docker_socket", (path,), _check_folders)
    return path


def _check_folders(given: tuple[str, ...]) -> None:
    for folder in given:
        folders([folder.replace(_CALLER, "caller")])
        if "*" in folder:
            raise ValueError(f"{folder!r} must be a folder: what is below it is meant too")


def _check_images(pair: tuple[str, str]) -> None:
    for each in pair:
        name = each.removesuffix(_ALL)
        if "*" in name:
            raise ValueError(f"{each!r} must be an image, or a registry or repository with {_ALL}")
        references.normal(name if name == each else f"{name}/x")
    if len({each.endswith(_ALL) for each in pair}) > 1:
        raise ValueError(f"both must end in {_ALL}, or neither")
