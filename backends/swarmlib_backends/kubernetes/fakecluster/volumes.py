"""The volumes of Pods: empty ones, claims, and what ConfigMaps and Secrets hold as files."""

from __future__ import annotations

import base64
import posixpath

from ...dockerapi.nullable import dict_of, list_of
from ...http.serving import Body
from ...simulator.files import Files, Mounted, file
from ..api.resources import CLAIMS, CONFIG_MAPS, SECRETS
from .objects import Objects


class MissingVolume(Exception):
    """A Pod can't start, since one of its volumes isn't there."""


class Volumes:
    """The volumes of a cluster."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._claimed: dict[str, Files] = {}

    def of_pod(self, pod: Body) -> dict[str, Files]:
        """Return the volumes of a Pod by their names.

        Raises:
            MissingVolume: what a volume is made of isn't there.
        """
        namespace = pod["metadata"]["namespace"]
        return {each["name"]: self._files(each, namespace) for each in list_of(pod["spec"].get("volumes"))}

    def _files(self, volume: Body, namespace: str) -> Files:
        if claim := volume.get("persistentVolumeClaim"):
            found = self._objects.store.get(CLAIMS, (namespace, claim["claimName"]))
            if found is None:
                raise MissingVolume(f'persistentvolumeclaim "{claim["claimName"]}" not found')
            return self._claimed.setdefault(found["metadata"]["uid"], Files({}))
        if source := volume.get("configMap"):
            return self._data(CONFIG_MAPS, namespace, source["name"], source)
        if source := volume.get("secret"):
            return self._data(SECRETS, namespace, source["secretName"], source)
        return Files({})

    def _data(self, resource: object, namespace: str, name: str, source: Body) -> Files:
        kind = SECRETS if resource is SECRETS else CONFIG_MAPS
        found = self._objects.store.get(kind, (namespace, name))
        if found is None and not source.get("optional"):
            raise MissingVolume(f'{kind.plural.removesuffix("s")} "{name}" not found')
        texts = dict_of((found or {}).get("data"))
        plain = {key: base64.b64decode(value) if kind is SECRETS else value.encode() for key, value in texts.items()}
        plain |= {key: base64.b64decode(value) for key, value in dict_of((found or {}).get("binaryData")).items()}
        now = self._objects.clock.now()
        items = {each["key"]: each["path"] for each in list_of(source.get("items"))} or {key: key for key in plain}
        return Files({f"/{path}": file(plain[key], now) for key, path in items.items() if key in plain})


def mount(files: Files, container: Body, volumes: dict[str, Files]) -> None:
    """Mount the volumes of a container."""
    for each in list_of(container.get("volumeMounts")):
        root = posixpath.normpath(posixpath.join("/", each.get("subPath") or ""))
        mounted = Mounted(volumes[each["name"]], root, writable=not each.get("readOnly"))
        files.mount(posixpath.normpath(each["mountPath"]), mounted)
