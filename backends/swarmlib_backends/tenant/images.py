"""The operations on images: a tenant sees and uses the shared ones, and changes its own only."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any, Final

from swarmlib import Denied, Request, Verb

from .. import notes
from ..dockerapi.filters import encode, flag
from ..dockerapi.matching import glob
from ..dockerapi.nullable import dict_of, list_of
from ..dockerapi.operations import ImageCommit, ImageCreate, ImageList, ImagePrune, ImageTag
from ..dockerapi.references import familiar, is_digest, is_id, repository, tagged
from ..enginekit.filters import PRUNE_FILTERS, pruned
from . import answers
from .amounts import tags_of
from .call import Call
from .names import REGISTRY, UNNAMED
from .shapes import Show

_BOUNDS: Final = ("before", "since")


async def named(call: Call) -> Any:
    """Forward an operation on the image that its path names; the answer is about the image itself."""
    return await call.forward_seen(await at(call), lambda value: value and shown(call, value))


async def at(call: Call) -> Request:
    """Return the request with the reference at the engine of the image that its path names."""
    kind, ref, *rest = call.request.path
    return call.request.replace(path=(kind, await call.own.image(ref), *rest))


def shown(call: Call, image: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return an image, inspected or listed, as the tenant sees it; None if none of its references is for the tenant.

    How many containers use it, and which layers others use too, would tell of others.
    """
    tags = [each for each in list_of(image.get("RepoTags")) if call.tenancy.sees(each)]
    repositories = {repository(each) for each in tags}
    digests = list_of(image.get("RepoDigests"))
    digests = [each for each in digests if call.tenancy.sees(each) or repository(each) in repositories]
    if not tags and not digests:
        return None
    hidden = {"Containers": -1, "SharedSize": -1}
    kept = {name: hidden.get(name, each) for name, each in image.items() if name != "Manifests"}
    return dict(answers.IMAGE(call.names, {**kept, "RepoTags": tags, "RepoDigests": digests}))


async def listed(call: Call) -> Any:
    """List the images that the tenant sees. A filter by reference is about what is shown."""
    asked = ImageList.of(call.request)
    filters = dict(asked.filters)
    patterns = [glob(each, any_character="[^/]") for each in filters.pop("reference", ())]
    for name in _BOUNDS:
        if name in filters:
            filters[name] = [await call.own.image(each) for each in filters[name]]
    params = {name: value for name, value in asked.items() if name not in ("filters", "manifests")}

    def fits(tag: str) -> bool:
        return any(each(form) for each in patterns for form in (tag, familiar(tag), repository(tag)))

    def see(value: Any) -> Any:
        rows = [row for each in value if (row := shown(call, each)) is not None]
        if patterns:
            rows = [{**row, "RepoTags": tags} for row in rows if (tags := [*filter(fits, row["RepoTags"])])]
        return rows

    return await call.forward_seen(call.request.replace(params={**params, "filters": encode(filters)}), see)


async def history(call: Call) -> Any:
    """Tell how an image was made; its layers' other names are not for the tenant, and no step that was added."""

    def see(value: Any) -> Any:
        steps = [each for each in value if not str(each.get("CreatedBy")).endswith(call.names.stamp)]
        layers = [{**each, "Tags": [*filter(call.tenancy.sees, list_of(each.get("Tags")))] or None} for each in steps]
        return answers.HISTORY(call.names, layers)

    return await call.forward_seen(await at(call), see)


async def searched(call: Call) -> Any:
    """Forward a search of a registry. None of the tenants' images is in one."""

    def see(value: Any) -> Any:
        return [each for each in list_of(value) if not str(each.get("name")).startswith(REGISTRY)]

    return await call.forward_seen(call.request, see)


async def pull(call: Call) -> Any:
    """Pull an image, which is shared. One that the engine is to fetch from an address becomes the tenant's own."""
    if not ImageCreate.of(call.request).from_image:
        return await imported(call)
    return await call.forward(call.request, answers.PROGRESS)


async def imported(call: Call) -> None:
    """Make an image of the tenant's of files."""
    asked = ImageCreate.of(call.request)
    await _make(call, call.request, new_name(call, asked.repo, asked.tag), answers.PROGRESS)


async def commit(call: Call) -> None:
    """Make an image of the tenant's of a container."""
    asked = ImageCommit.of(call.request)
    found = await call.own.container(asked.container)
    container = call.names.nobody(asked.container) if found is None else str(found["Id"])
    request = call.request.replace(params={**call.request.params, "container": container})
    await _make(call, request, new_name(call, asked.repo, asked.tag))


async def tag(call: Call) -> None:
    """Give an image another name, of the tenant's."""
    asked = ImageTag.of(call.request)
    await _make(call, await at(call), new_name(call, asked.repo, asked.tag))


async def _make(call: Call, request: Request, new: str, show: Show | None = None) -> None:
    """Forward a request that names an image, if the quota has room for its name.

    new: the name at the engine.
    """
    name = repository(new)
    async with call.quotas.tagging(call.names.tenant, new):
        await call.relay(request.replace(params={**request.params, "repo": name, "tag": new[len(name) + 1 :]}), show)


def new_name(call: Call, repo: str = "", tag: str = "") -> str:
    """Return the name at the engine of a new image of the tenant's. Raises SwarmError if what is asked for is none."""
    if not repo:
        repo, tag = UNNAMED, secrets.token_hex(6)
    return call.names.real_image(tagged(repo, tag))


async def delete(call: Call) -> Any:
    """Remove an image, or a name of one, that is the tenant's. One that has other names too only loses the tenant's.

    Raises:
        Denied: it is shared.
    """
    ref = call.request.path[1]
    real = await call.own.image(ref)
    there = call.request.replace(path=("images", real))
    found = await call.own.inspected("images", real)
    if found is not None:
        notes.found(str(found["Id"]))
    if found is None or real.startswith(call.names.repositories):
        return await call.forward(there, answers.REMOVED)
    references = [*list_of(found.get("RepoTags")), *list_of(found.get("RepoDigests"))]
    own = [each for each in references if each.startswith(call.names.repositories)]
    if not (is_id(real) or is_digest(real)) or not own:
        raise Denied(f"the image {ref} is shared: a tenant can't remove it")
    if len(own) == len(references):
        return await call.forward(there, answers.REMOVED)
    told = [each for name in own for each in await call.ask(there.replace(path=("images", name)))]
    return answers.REMOVED(call.names, told)


async def prune(call: Call) -> Any:
    """Remove the tenant's images that none of its containers uses: those that have lost their names to others, and
    those with names if all unused ones are asked for.
    """
    filters = ImagePrune.of(call.request).filters
    fits = pruned(filters, time.time(), {*PRUNE_FILTERS, "dangling"})
    everything = "dangling" in filters and flag(filters, "dangling", ("false", "0"), ("true", "1"))
    used = {each.get("ImageID") for each in await call.own.listed("containers", all="1")}
    told, freed = list[Any](), 0
    for image in await call.ask(Request(Verb.LS, ("images",), meta=call.meta)):
        labels = dict_of(image.get("Labels"))
        if image["Id"] not in used and fits(call.names.unlabelled(labels), image["Created"]):
            own = [each for each in tags_of(image) if each.startswith(call.names.repositories)] if everything else []
            nameless = [image["Id"]] if not tags_of(image) and call.names.owns(labels) else []
            removed = [each for name in own + nameless for each in await call.remove(("images", name)) or ()]
            freed += image["Size"] if any("Deleted" in each for each in removed) else 0
            told += removed
    return {"ImagesDeleted": answers.REMOVED(call.names, told) or None, "SpaceReclaimed": freed}
