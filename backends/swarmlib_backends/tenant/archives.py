"""Archives of images, as `docker save` writes them and `docker load` reads them: with the names that a tenant knows.

What is loaded is written anew, but for the layers: a manifest whose images have names of the tenant's, and their
configurations with the tenant's label, without what an engine's cache would compare with the builds of others.
"""

from __future__ import annotations

import hashlib
import posixpath
import tarfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final, cast

import orjson
import trio

from swarmlib import Ack, BadAnswer, Internal, Invalid, Reply, Request, Server, Tap, TooLarge

from ..calls import forward
from ..dockerapi import strictjson
from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.operations import ImageGetAll
from ..dockerapi.schema import Reader, Wrong, reader
from ..dockerapi.status import to_tell_in_band
from ..tars import Change, Rewritten, Tar, with_content
from . import answers
from .call import Call
from .images import at, new_name
from .names import Names

_MANIFEST: Final = "manifest.json"
_INDEXES: Final = frozenset({_MANIFEST, "repositories", "index.json"})
"""The files of an archive that hold the names of images."""
_LEFT_OUT: Final = _INDEXES | {"oci-layout"}
_LONGEST: Final = 1 << 20
"""Bytes of the longest configuration."""
_LONGEST_INDEX: Final = 16 << 20
_MOST: Final = 32 << 20
"""Bytes of all files of an archive that could be configurations."""
_MOST_FILES: Final = 100_000
_READ_MANIFEST: Final = reader([{"Config": "string", "RepoTags": ["string"], "Layers": ["string"]}])
_STEP: Final = {"empty_layer": "boolean", **dict.fromkeys(("created", "created_by", "author", "comment"), "string")}
_CONFIG_FIELDS: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("architecture", "os", "os.version", "variant", "author", "created", "docker_version"), "string"),
    "os.features": ["string"],
    "config": "#ContainerConfig",
    "rootfs": {"type": "string", "diff_ids": ["string"]},
    "history": [_STEP],
}
"""The fields of a configuration that are kept."""
_READ_CONFIG: Final = reader(dict(_CONFIG_FIELDS))


async def saved(call: Call) -> Any:
    """Send an image as an archive."""
    return await _save(call, await at(call))


async def saved_all(call: Call) -> Any:
    """Send several images as an archive."""
    names = [await call.own.image(each) for each in ImageGetAll.of(call.request).names]
    return await _save(call, call.request.replace(params={**call.request.params, "names": names}))


async def _save(call: Call, request: Request) -> Any:
    def see(reply: Reply) -> Reply | None:
        if isinstance(reply, Ack) and reply.stream is not None:
            return reply.replace(stream=Rewritten(reply.stream, _with_names(call.names)))
        return call.shown(reply, None)

    return await Server.forward(request.replace(reply=Tap(request.reply, see)), call.sender)


def _with_names(names: Names) -> Change:
    async def change(tar: Tar, info: tarfile.TarInfo) -> bytes | None:
        if posixpath.normpath(info.name) not in _INDEXES or not info.isreg():
            return None
        try:
            value = orjson.loads(await tar.content(_LONGEST_INDEX))
        except orjson.JSONDecodeError as exc:
            raise BadAnswer(f"the engine's archive has a malformed {info.name}: {exc}") from exc
        return with_content(info, orjson.dumps(_shown(names, value)))

    return change


def _shown(names: Names, value: Any) -> Any:
    if isinstance(value, str):
        return names.shown_image(value)
    if isinstance(value, list):
        return [_shown(names, each) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {names.shown_image(name): _shown(names, each) for name, each in fields.items()}
    return value


async def load(call: Call) -> None:
    """Load the images of an archive, under names of the tenant's."""
    upload = call.request.upload
    assert upload is not None, "the row has one"
    async with AsyncExitStack() as stack:
        request = call.request.replace(upload=_Archive(call, stack).rewritten(upload), meta=call.meta)
        try:
            ack = await call.progress(request, partial(answers.PROGRESS, call.names))
        except Internal as exc:  # an engine tells of an archive that it can't unpack in its progress
            raise to_tell_in_band(exc) from exc
        await forward(ack, call.request.reply)


class _Archive:
    """An archive that is loaded.

    stack: holds what its names take of the quota.
    """

    def __init__(self, call: Call, stack: AsyncExitStack) -> None:
        self._call = call
        self._stack = stack
        self._manifest: bytes | None = None
        self._kept: dict[str, bytes] = {}
        """The files that could be configurations, by their paths."""
        self._size = 0
        self._digests: dict[str, Callable[[], str]] = {}
        """Those of the files, by their paths: each could be a layer."""
        self._links: dict[str, str] = {}

    def rewritten(self, archive: trio.abc.ReceiveStream) -> Rewritten:
        """Return what the engine gets."""
        return Rewritten(archive, self._change, self._last)

    async def _change(self, tar: Tar, info: tarfile.TarInfo) -> bytes | None:
        path = _path(info.name)
        if path in _LEFT_OUT:
            if path == _MANIFEST and info.isreg():
                self._manifest = await tar.content(_LONGEST_INDEX)
            return b""
        if len(self._digests) + len(self._links) >= _MOST_FILES:
            raise TooLarge(f"the archive has more than {_MOST_FILES} files")
        for known in (self._kept, self._digests, self._links):
            known.pop(path, None)
        if info.issym():
            self._links[path] = _path(posixpath.join(posixpath.dirname(path), info.linkname))
        if not info.isreg():
            return None
        hash = hashlib.sha256()
        self._digests[path] = hash.hexdigest
        if info.size > _LONGEST:
            tar.watch = hash.update
            return None
        content = await tar.content(_LONGEST)
        hash.update(content)
        if content.startswith(b"{"):
            self._size += len(content)
            self._kept[path] = content
        if self._size > _MOST:
            raise TooLarge(f"the archive has more than {_MOST} bytes of JSON")
        return with_content(info, content)

    async def _last(self) -> bytes:
        if self._manifest is None:
            raise Invalid(f"the archive has no {_MANIFEST}, which docker save writes")
        given = _read(_READ_MANIFEST, self._manifest, _MANIFEST)
        files: dict[str, bytes] = {}
        made: list[dict[str, Any]] = []
        names: list[str] = []
        for each in list_of(given):
            config = self._config(str(each.get("Config", "")), list_of(each.get("Layers")))
            path = f"{hashlib.sha256(config).hexdigest()}.json"
            files[path] = config
            tags = [new_name(self._call, str(tag)) for tag in list_of(each.get("RepoTags"))] or [new_name(self._call)]
            names += tags
            made.append({"Config": path, "RepoTags": tags, "Layers": list_of(each.get("Layers"))})
        await self._stack.enter_async_context(self._call.quotas.tagging(self._call.names.tenant, *dict.fromkeys(names)))
        files[_MANIFEST] = orjson.dumps(made)
        return b"".join(with_content(tarfile.TarInfo(path), content) for path, content in files.items())

    def _config(self, path: str, layers: Sequence[str]) -> bytes:
        """Return the configuration of an image as the engine gets it.

        All of its layers must be there: an engine that has one already does not ask for it, whosever it is.
        """
        content = self._kept.get(_path(path))
        if content is None:
            raise Invalid(f"the archive has no configuration {path!r:.100}, or one over {_LONGEST} bytes")
        found = dict_of(_read(_READ_CONFIG, content, path))
        kept = {name: value for name, value in found.items() if name in _CONFIG_FIELDS}
        digests = list_of(dict_of(kept.get("rootfs")).get("diff_ids"))
        if digests != [self._digest(layer) for layer in layers]:
            raise Invalid(f"the archive does not have the layers that {path!r:.100} names, or has them compressed")
        config = dict_of(kept.get("config"))
        kept["config"] = {**config, "Labels": self._call.names.labelled(config.get("Labels"))}
        return orjson.dumps(kept)

    def _digest(self, layer: str) -> str:
        path = _path(layer)
        found = self._digests.get(self._links.get(path, path))
        return "" if found is None else f"sha256:{found()}"


def _path(name: str) -> str:
    return posixpath.normpath(f"/{name}").lstrip("/")


def _read(read: Reader, content: bytes, name: str) -> Any:
    try:
        return read(strictjson.read(content, f"{name:.100} of the archive"))
    except Wrong as exc:
        raise Invalid(f"{name:.100} of the archive: {exc}") from exc
