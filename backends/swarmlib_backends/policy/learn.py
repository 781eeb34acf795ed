"""Writes the smallest policy that serves what a recording holds.

The requests of a recording become rules: for each client, the operations that it called with the same demands share a
rule, and values of one kind are joined where everything else is the same. So a privilege that one container had is
granted together with that container's image, folders and networks, and to nothing else. A value that a rule can't list
as itself (a wildcard, or what `record` has hidden) is not learned; the policy says so in a comment.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from swarmlib import Invalid, Request, SwarmError

from .. import clients
from ..dockerapi import references, table
from ..dockerapi.canonical import canonical
from ..dockerapi.rows import WHOLE
from ..recording import Recording, What, request_in
from . import readings
from .demands import Demand
from .document import Document
from .grants import KINDS
from .names import BY_ID, IMAGES, TAGS
from .readings import UNJUDGED

_WILD: Final = re.compile(r"[*?]|\$\{")
"""What a text of a rule can't hold as itself."""
_ALL_TAGS: Final = ":*"
_BELOW: Final = "/**"
_KEYS: Final = {form: key for key, (form, _) in clients.KINDS.items() if key != "groups"}

Grant = tuple[str, str]
"""A kind of demands, and a value of it."""


@dataclass(frozen=True)
class _Use:
    """What one client called with the same demands, and how often."""

    caller: str
    operations: frozenset[str]
    grants: frozenset[Grant]
    calls: int = 1

    def without(self, kind: str) -> frozenset[Grant]:
        return frozenset(grant for grant in self.grants if grant[0] != kind)


@dataclass
class _Learned:
    """What is read of a recording: how often each use was made, and what can't be learned, in words."""

    uses: Counter[_Use] = field(default_factory=Counter[_Use])
    missed: dict[str, None] = field(default_factory=dict[str, None])


def learn(recording: Path, *, beside: Document | None = None, generalise: bool = False) -> str:
    """Return the text of the policy that serves a recording; "" if there is nothing to allow.

    beside: only what these rules deny is learned.
    generalise: any tag of an image is allowed, whatever is below a folder, and every client.

    Raises:
        Invalid: the file is not a recording, or is damaged.
    """
    learned = _Learned()
    for number, request, upload in _requests(recording):
        try:
            _add(learned, request, beside, upload=upload, generalise=generalise)
        except SwarmError as exc:
            learned.missed[f"call {number}: {exc.message}"] = None
    uses = [replace(use, calls=calls) for use, calls in learned.uses.items()]
    rules = _same_demands(_joined(uses))
    return "\n".join(_text(recording, rules, list(learned.missed))) if rules or learned.missed else ""


def _requests(recording: Path) -> Iterator[tuple[int, Request, bool]]:
    with closing(Recording(str(recording))) as recorded:
        for event in recorded.events():
            if event.what is What.ASK:
                yield (event.call, *request_in(recorded.data(event)))
        if recorded.damage:
            raise Invalid(recorded.damage)


def _add(learned: _Learned, request: Request, beside: Document | None, *, upload: bool, generalise: bool) -> None:
    row = table.row_of(request.verb, request.path, upload=upload)
    request = canonical(request)
    if beside is not None and not beside.judge(row, request).reason:
        return
    caller = "" if generalise else request.meta.caller
    if caller and not _is_listable(caller):
        raise Invalid(f"no client can be listed that is {caller!r:.80}")
    grants = [(BY_ID.get(each.kind, each.kind), each) for each in readings.demands(row, request)]
    for kind, demand in grants:
        if not _is_plain(kind, demand):
            raise Invalid(
                f"{row.name}: {demand.place:.100} asks for {demand.value!r:.100}, which a rule can't list as itself"
            )
    values = frozenset((kind, _wider(kind, each.value) if generalise else each.value) for kind, each in grants)
    learned.uses[_Use(caller, frozenset({row.name}), values)] += 1


def _is_listable(caller: str) -> bool:
    form, _, value = caller.partition(":")
    return form in _KEYS and not _WILD.search(value) and bool(clients.KINDS[_KEYS[form]][1]([value])(value))


def _is_plain(kind: str, demand: Demand) -> bool:
    """Return whether a rule that lists the value of a demand allows that, and no other one."""
    value = demand.value.removesuffix(_ALL_TAGS) if kind in (IMAGES, TAGS) else demand.value
    if kind == "ports":
        value = value.removeprefix("*:")  # any address
    if _WILD.search(value):
        return False
    if kind == UNJUDGED or demand.kind in BY_ID:
        return True
    try:
        return bool(KINDS[kind]([demand.value])(demand.value))
    except (SwarmError, ValueError):
        return False


def _wider(kind: str, value: str) -> str:
    if kind in (IMAGES, TAGS) and not (references.is_digest(value) or "@" in value):
        return references.repository(value) + _ALL_TAGS
    return value.removesuffix("/") + _BELOW if kind == "binds" and value != "/" else value


def _joined(uses: Iterable[_Use]) -> list[_Use]:
    """Join uses that differ in the values of one kind only."""
    found = list(uses)
    for kind in sorted({kind for use in found for kind, _ in use.grants}):
        groups = dict[object, list[_Use]]()
        for use in found:
            has = any(each == kind for each, _ in use.grants)
            groups.setdefault((use.caller, use.operations, use.without(kind), has), []).append(use)
        found = [_union(group) for group in groups.values()]
    return found


def _same_demands(uses: Sequence[_Use]) -> list[_Use]:
    """Join the operations that were called with the same demands; return the rules in their order."""
    groups = dict[object, list[_Use]]()
    for use in uses:
        groups.setdefault((use.caller, use.grants), []).append(use)
    return sorted(map(_union, groups.values()), key=lambda use: (use.caller, len(use.grants), sorted(use.grants)))


def _union(uses: Sequence[_Use]) -> _Use:
    operations = frozenset[str]().union(*(use.operations for use in uses))
    grants = frozenset[Grant]().union(*(use.grants for use in uses))
    return _Use(uses[0].caller, operations, grants, sum(use.calls for use in uses))


def _text(recording: Path, rules: Sequence[_Use], missed: Sequence[str]) -> Iterator[str]:
    calls = sum(use.calls for use in rules)
    yield f"# Learned from {_comment(recording.name)}: what its {calls} calls asked for, and nothing else."
    for each in missed:
        yield f"# Not learned: {_comment(each)}"
    names = _client_names(rules)
    for caller, name in names.items():
        form, _, value = caller.partition(":")
        yield f"\n[clients.{name}]\n{_KEYS[form]} = [{_quoted(value)}]"
    for number, use in enumerate(rules, 1):
        yield from _rule(number, use, names.get(use.caller, ""))
    yield ""


def _client_names(rules: Sequence[_Use]) -> Mapping[str, str]:
    """Return a name for each caller that a table of clients describes."""
    callers = sorted({use.caller for use in rules if use.caller})
    plain = [re.sub(r"[^A-Za-z0-9_-]", "-", caller) for caller in callers]
    unique = len(set(plain)) == len(plain)
    return {
        caller: name if unique else f"{name}-{at}" for at, (caller, name) in enumerate(zip(callers, plain, strict=True))
    }


def _rule(number: int, use: _Use, client: str) -> Iterator[str]:
    yield f'\n[[rule]]  # {use.calls} calls\nname = "learned {number}"'
    if client:
        yield f"clients = [{_quoted(client)}]"
    operations = use.operations - {WHOLE.name}
    yield from _list("allow", operations)
    yield from _list(UNJUDGED, {value for kind, value in use.grants if kind == UNJUDGED})
    kinds = sorted({kind for kind, _ in use.grants} - {UNJUDGED})
    if kinds:
        yield "[rule.container]"
    for kind in kinds:
        yield from _list(kind, {value for each, value in use.grants if each == kind})


def _list(key: str, values: Iterable[str]) -> Iterator[str]:
    texts = [_quoted(each) for each in sorted(values)]
    line = f"{key} = [{', '.join(texts)}]"
    if len(line) <= 120:
        yield from [line] if texts else []
    else:
        yield "\n".join([f"{key} = [", *(f"    {each}," for each in texts), "]"])


def _quoted(text: str) -> str:
    """Return a text as TOML writes it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    return ascii(text)[1:-1]
