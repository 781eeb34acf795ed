"""Images out of tars and into them: import, save, load; and out of containers: commit."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from swarmlib import BytesStream, NotFound, Request, SwarmError, Unsupported

from ..dockerapi.jsonerrors import explain
from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.operations import ImageCommit, ImageCreate, ImageGetAll, ImageImport
from ..dockerapi.references import is_id, normal, repository, tagged
from ..dockerapi.schema import Reader, Wrong, reader
from ..dockerapi.status import refusal, to_tell_in_band
from ..dockerapi.values import stamp
from ..enginekit.configs import NO_CONFIG
from ..enginekit.operations import answers, body_of, ref_of
from ..enginekit.stdio import stream_headers
from .build.configuration import with_changes
from .container import Container
from .engine import Family
from .files import Node, file, tar, untar
from .image import Image, Origin, digest, layer_of
from .paths import ROOT
from .registries import check, unreachable
from .request_fields import as_given, upload_of

_INHERITED: Final = ("User", "Env", "Cmd", "Volumes", "WorkingDir", "Entrypoint", "Labels")
_MANIFEST: Final = reader([{"Config": "string", "RepoTags": ["string"], "Layers": ["string"]}])
_IMAGE: Final = reader({"config": "#ContainerConfig"})


class ImageTars(Family):
    """Answers what is asked of images and tars, and of commits."""

    @answers("ImageImport")
    async def _import(self, request: Request) -> None:
        reply = request.reply
        asked = ImageImport.of(request)
        ref, config = _to_import(asked)
        nodes = _rooted(untar(await upload_of(request), self.engine.clock.now()))
        comment = asked.message or "Imported from -"
        made = self.engine.images.add(ref, config=config, files=nodes, origin=Origin(comment))
        self.engine.images.tell("import", made)
        await reply.set({"status": made.id})

    @answers("ImageCreate")
    async def _create(self, request: Request) -> None:
        asked = ImageCreate.of(request)
        if asked.from_image:
            await self.engine.images.pull_asked(asked, request.reply.set)
            return
        _to_import(asked)
        source = asked.from_src
        url = source if "://" in source else f"http://{source}"
        check(url)
        if self.engine.online and source:
            raise Unsupported("the simulator imports what is sent to it, not what a URL names")
        raise unreachable(url)

    @answers("ImageGet")
    async def _save(self, request: Request) -> None:
        await self._send(request, [ref_of(request)])

    @answers("ImageGetAll")
    async def _save_all(self, request: Request) -> None:
        await self._send(request, ImageGetAll.of(request).names)

    async def _send(self, request: Request, refs: list[str]) -> None:
        tar = BytesStream(self._saved(refs))
        await request.reply.ack(stream=tar, details={"headers": stream_headers(b"application/x-tar")})

    def _saved(self, refs: list[str]) -> bytes:
        nodes: dict[str, Node] = {}
        manifest: list[dict[str, Any]] = []
        for ref in refs:
            image = self._existing(ref)
            name = image.id.removeprefix("sha256:")
            layer = layer_of(image.files)
            about = {
                "config": image.config,
                "created": stamp(image.created),
                "os": "linux",
                "architecture": "amd64",
                # All of it is one layer here; whoever loads it checks the layer against this.
                "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
                "history": [{"created": stamp(image.created), "comment": image.origin.comment}],
            }
            nodes[f"{name}.json"] = file(orjson.dumps(about), image.created)
            nodes[f"{name}/layer.tar"] = file(layer, image.created)
            by_id = image.id.startswith(f"sha256:{ref.removeprefix('sha256:')}")
            tags = image.tags if not by_id and repository(normal(ref)) == ref else [] if by_id else [normal(ref)]
            manifest.append({"Config": f"{name}.json", "RepoTags": tags or None, "Layers": [f"{name}/layer.tar"]})
            self.engine.images.tell("save", image)
        return tar(nodes | {"manifest.json": file(orjson.dumps(manifest))})

    def _existing(self, ref: str) -> Image:
        found = self.engine.images.lookup(ref, status=500)
        if found is not None:
            return found
        if is_id(ref):
            place = f"{ROOT}/image/overlay2/imagedb/content/sha256/{ref}"
            raise refusal(500, f"failed to get digest sha256:{ref}: open {place}: no such file or directory")
        if not ref.startswith("sha256:") and (":" in ref or "@" in ref):
            raise NotFound("reference does not exist")
        raise NotFound(f"No such image: {ref}")

    @answers("ImageLoad")
    async def _load(self, request: Request) -> None:
        reply = request.reply
        data = await upload_of(request)
        try:
            for each in saved(dict(untar(data, self.engine.clock.now()))):
                for line in self._load_one(each):
                    await reply.set({"stream": f"{line}\n"})
        except SwarmError as exc:
            raise to_tell_in_band(exc) from exc

    def _load_one(self, given: Saved) -> list[str]:
        image = self.engine.images.lookup(given.id)
        if image is None:
            files: dict[str, Node] = {}
            for layer in given.layers:
                files |= _rooted(untar(layer, self.engine.clock.now()))
            image = self.engine.images.add(None, id=given.id, config=NO_CONFIG | given.config, files=files)
        for tag in given.tags:
            if self.engine.images.lookup(normal(tag)) is not image:
                self.engine.images.tag(image, normal(tag))
        self.engine.images.tell("load", image)
        return [f"Loaded image: {tag}" for tag in given.tags] or [f"Loaded image ID: {given.id}"]

    @answers("ImageCommit")
    async def _commit(self, request: Request) -> dict[str, str]:
        asked = ImageCommit.of(request)
        container = self.engine.find(asked.container)
        ref = tagged(asked.repo, asked.tag, status=500) if asked.repo else None
        if ref is not None and "@" in ref:
            raise refusal(400, "refusing to create a tag with a digest reference")
        pauses = container.running and not container.paused and asked.pause
        if pauses:  # for as long as it takes, which is no time here
            self.engine.tell(container, "pause")
        made = self._committed(container, body_of(request), asked)
        if ref is not None:
            self.engine.images.tag(made, ref)
            self.engine.images.tell("tag", made, as_given(asked))
        about = {"comment": made.origin.comment, "imageID": made.id, "imageRef": as_given(asked) if ref else ""}
        self.engine.tell(container, "commit", **about)
        if pauses:
            self.engine.tell(container, "unpause")
        return {"Id": made.id}

    def _committed(self, container: Container, body: dict[str, Any], asked: ImageCommit) -> Image:
        kept = {name: container.config.get(name) for name in (_INHERITED if body else container.config)}
        config = NO_CONFIG | kept | {name: value for name, value in body.items() if value and name in NO_CONFIG}
        config["Labels"] = dict_of(container.config.get("Labels")) | dict_of(body.get("Labels"))
        return self.engine.images.add_child(
            container.image if container.image.id else None,
            container.files,
            config=with_changes(config, asked.changes),
            origin=Origin(asked.comment, asked.author, container.id, container.config),
        )


def _to_import(asked: ImageCreate) -> tuple[str | None, dict[str, Any]]:
    """Return the normal reference of what is imported, if it gets one, and its configuration."""
    ref = tagged(asked.repo, asked.tag, status=400) if asked.repo else None
    if ref is not None and "@" in ref:
        raise refusal(400, "cannot import digest reference")
    return ref, with_changes(dict(NO_CONFIG), asked.changes)


def _rooted(nodes: Iterable[tuple[str, Node]]) -> dict[str, Node]:
    return {f"/{name}": node for name, node in nodes if name != "."}


@dataclass(frozen=True)
class Saved:
    """An image of a tar."""

    id: str
    config: dict[str, Any]
    tags: list[str]
    layers: list[bytes]
    """The tars of its layers, the lowest first."""


def saved(nodes: Mapping[str, Node]) -> Iterator[Saved]:
    """Yield the images of a tar with these files.

    Raises:
        SwarmError: it is no tar of images; those before the one that is wrong were given.
    """
    # An engine looks for the older format's file where this one is missing.
    manifest = nodes.get("manifest.json") or _member(nodes, "repositories")
    for each in _read(_MANIFEST, manifest.data):
        about = str(each.get("Config") or "")
        data = _member(nodes, about).data
        name = posixpath.basename(about).removesuffix(".json")
        id = f"sha256:{name if len(name) == 64 else hashlib.sha256(data).hexdigest()}"
        layers = [_member(nodes, layer).data for layer in list_of(each.get("Layers"))]
        yield Saved(id, dict_of(_read(_IMAGE, data).get("config")), list_of(each.get("RepoTags")), layers)


def _member(nodes: Mapping[str, Node], name: str) -> Node:
    found = nodes.get(name)
    if found is None:
        raise refusal(500, f"open {ROOT}/tmp/docker-import-000000000/{name}: no such file or directory")
    return found


def _read(read: Reader, data: bytes) -> Any:
    try:
        return read(orjson.loads(data))
    except orjson.JSONDecodeError as exc:
        problem = explain(data) or str(exc)
        cut = problem == "unexpected end of JSON input"
        raise refusal(500, "unexpected EOF" if cut else problem) from exc
    except Wrong as exc:
        raise refusal(500, f"json: {exc}") from exc
