"""The build of a tenant's image, by an engine's classic builder, of what the tenant may use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, cast

import orjson

from swarmlib import Denied

from ..calls import forward
from ..dockerapi.operations import ImageBuild
from . import answers, joining, networks
from .bases import Bases
from .call import Call
from .contexts import Context
from .images import new_name
from .recipes import Judge
from .terms import Terms

_STEP: Final = re.compile(r"Step (\d{1,6})/(\d{1,6}) : .*", re.DOTALL)
_PERIOD: Final = 100_000
"""Microseconds of the period in which a limit of CPUs is given."""


async def build(call: Call) -> None:
    """Build an image of the tenant's.

    Raises:
        Denied: what is asked for can't be judged, or uses what the tenant may not use.
    """
    asked = ImageBuild.of(call.request)
    _check(call, asked)
    upload = call.request.upload
    assert upload is not None, "the row has one"
    tags = list(dict.fromkeys(new_name(call, each) for each in filter(None, asked.t))) or [new_name(call)]
    bases = Bases(call, pull=asked.pull, platform=asked.platform)
    judge = Judge(bases, call.names.stamp, asked.buildargs or {}, cached=not asked.nocache)
    context = Context(asked.dockerfile, judge.recipe)
    changed = {**await _changed(call, asked), "t": tags, "dockerfile": context.name}
    params = ImageBuild.read({**call.request.params, **changed})
    async with call.quotas.tagging(call.names.tenant, *tags):
        request = call.request.replace(params=params, meta=call.meta, upload=context.rewritten(upload))
        await forward(await call.progress(request, _Steps(call, context).see), call.request.reply)


async def prune(call: Call) -> Any:
    """Remove nothing: what BuildKit keeps is not for tenants."""
    return {"CachesDeleted": None, "SpaceReclaimed": 0}


def _check(call: Call, asked: ImageBuild) -> None:
    """Refuse builds whose Dockerfile nobody can judge, or that a tenant's terms do not allow."""
    if asked.version == "2" or asked.session or asked.outputs:
        raise Denied("builds by BuildKit are not for tenants: set DOCKER_BUILDKIT=0, for the classic builder")
    if asked.remote:
        raise Denied("contexts that the engine fetches are not for tenants: fetch it, and send it")
    if call.tenancy.terms.runtime:
        raise Denied(f"{call.names.tenant} can't build images: the classic builder does not use its runtime")


async def _changed(call: Call, asked: ImageBuild) -> dict[str, Any]:
    """Return the parameters that are not sent as they came."""
    mode = asked.networkmode or "default"
    if mode.startswith(joining.JOINED):
        mode = joining.JOINED + (await joining.container(call, mode.removeprefix(joining.JOINED)))["Id"]
    elif mode not in ("none", "host"):
        mode = await networks.id_of(call, mode)
    cached = [await call.own.image(each) for each in asked.cachefrom or ()]
    return {
        "networkmode": mode,
        **({"cachefrom": orjson.dumps(cached).decode()} if cached else {}),
        **({"labels": orjson.dumps(call.names.unlabelled(asked.labels)).decode()} if asked.labels else {}),
        **_limits(call.tenancy.terms, asked),
        # What was built for a step is nobody's by name, so that nobody could remove it.
        "rm": "1",
        "forcerm": "1",
        "pull": "0",  # they have been pulled
    }


def _limits(terms: Terms, asked: ImageBuild) -> dict[str, int]:
    """Return the limits of the containers of a build that says none."""
    found: dict[str, int] = {}
    memory, cpus = (terms.defaults.get(name, terms.limits.get(name, 0)) for name in ("memory", "cpus"))
    if memory and not asked.memory:
        found["memory"] = memory
    if cpus and not asked.cpuquota:
        found |= {"cpuperiod": _PERIOD, "cpuquota": cpus * _PERIOD // 10**9}
    return found


class _Steps:
    """What is shown of a build's steps: those that the tenant wrote, as it wrote them, and with their numbers."""

    def __init__(self, call: Call, context: Context) -> None:
        self._names = call.names
        self._context = context
        self._hidden = False

    def see(self, value: Any) -> Any:
        """Return what is shown of a line of progress; None for nothing."""
        line = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        text = line.get("stream")
        if isinstance(text, str) and self._context.recipe is not None:
            shown = self._text(self._context.recipe.steps, text)
            if shown is None:
                return None
            value = {**line, "stream": shown}
        return answers.PROGRESS(self._names, value)

    def _text(self, steps: Sequence[str | None], text: str) -> str | None:
        found = _STEP.fullmatch(text)
        if found is not None:
            numbered = _numbered(steps, int(found[1]), int(found[2]), text)
            self._hidden = numbered is None
            return numbered
        if text.startswith("Successfully "):
            self._hidden = text.startswith(f"Successfully tagged {self._names.unnamed}")
        return None if self._hidden else text


def _numbered(steps: Sequence[str | None], number: int, total: int, text: str) -> str | None:
    """Return a step's line with its number among those of the tenant's; None for one that was added."""
    if not 0 < number <= total:
        return text
    written = steps[number - 1] if number <= len(steps) else text.partition(" : ")[2]
    if written is None:
        return None
    shown = [sum(each is not None for each in steps[:end]) + max(0, end - len(steps)) for end in (number, total)]
    return f"Step {shown[0]}/{shown[1]} : {written}"
