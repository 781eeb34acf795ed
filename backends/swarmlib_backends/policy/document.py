"""A policy: clients and rules, read from a TOML file, and the verdicts that they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.util import find_spec
from itertools import islice
from typing import Final, Self, cast

from swarmlib import Request, Sender, SwarmError
from swarmlib.quantities import number_of_bytes, seconds

from .. import clients
from ..clients import Client, Facts
from ..dockerapi.rows import ROWS, WHOLE, Row
from ..globs import globs
from ..redact_text import MAX_ERROR, shortened, without_credentials
from ..toml_tables import Table
from . import answers, folders, grants, hiding, image_ids, operations, readings, requirements, signatures
from .changes import Changes, differences
from .demands import Demand
from .grants import Grants
from .holding import HOLD_SECONDS, Hold
from .names import BY_ID
from .ownership import CONFINABLE, OWNED, Owner
from .protection import GUARDED, Protection, label_of
from .readings import UNJUDGED
from .redaction import Redaction
from .requirements import Requirements
from .sight import Repeats, Sight
from .signatures import Signers

MODES: Final = ("enforce", "warn")


@dataclass(frozen=True)
class Verdict:
    """What a policy says about a request.

    Attributes:
        allowed: whether it may pass: because a rule allows it, or because the rule that denies it only warns.
        rule: the rule that decided; None where no rule is about the request.
        reason: why it is denied, or would be; "" if a rule allows it.
        advice: the line that would allow it, for the operator.
        changed: the request as the rule that allows it has changed it, which is what was judged; None if it did not.
        demands: what it asks for, if a rule allows it.
    """

    allowed: bool
    rule: Rule | None = None
    reason: str = ""
    advice: str = ""
    demands: Sequence[Demand] = ()
    changed: Request | None = None

    def changes_of(self, request: Request) -> Iterator[str]:
        """Yield in words what the rule changed in the request that was judged."""
        if self.changed is not None:
            yield from differences(dict(request.params), dict(self.changed.params))
            yield from differences(request.json or {}, self.changed.json or {})

    @property
    def word(self) -> str:
        """It in a word or two: `allowed`, `denied`, or `would deny` for what passes with a warning."""
        if not self.allowed:
            return "denied"
        return "would deny" if self.reason else "allowed"


@dataclass(frozen=True)
class Rule:
    """A rule: what it allows or denies, to whom, and how the descriptions of containers have to be."""

    name: str
    clients: Sequence[Client]
    allow: frozenset[str]
    deny: frozenset[str]
    warn: bool
    owner: Owner | None
    grants: Grants
    requirements: Requirements
    changes: Changes | None
    redaction: Redaction | None
    hold: Hold | None
    """What waits for a person's approval."""
    signers: Signers | None = None
    """Who must have signed the images of containers."""
    raced: frozenset[str] = frozenset()
    """The kinds of `folders.RACED` that a rule of the policy grants: what a container binds may have become a link."""
    _repeats: Repeats = field(default_factory=Repeats, compare=False, repr=False)

    def is_for(self, operation: str, caller: str, facts: Facts | None) -> bool:
        """Return whether it is about this client. What is not known of it never lets a rule allow more."""
        doubt = operation in self.deny
        return not self.clients or any(client.is_caller(caller, facts, doubt=doubt) for client in self.clients)

    def refusals(self, row: Row, request: Request, demands: Sequence[Demand]) -> Iterator[tuple[str, str]]:
        """Yield what a request demands and this rule does not grant: in words, and the line that would grant it."""
        for demand in demands:
            if not self._grants((demand,)):
                kind = BY_ID.get(demand.kind, demand.kind)
                value = without_credentials(shortened(demand.value, MAX_ERROR))  # the search of a long one takes long
                yield (
                    f"{demand.place:.100} asks for {value!r:.200}, which {kind} of the rule does not list",
                    _line(kind, value),
                )
        for what in self.redaction.refusals(row, request) if self.redaction is not None else ():
            yield what, "no [rule.redact]"
        for missed in self.requirements.missed_by(row.name, request, demands):
            yield f"it needs {missed}", "[rule.container] without this requirement"

    def may_allow(self, demands: Sequence[Demand]) -> bool:
        """Return whether it grants what a request demands, or may change that: a quick check before the whole one."""
        return self.changes is not None or self._grants(demands)

    def _grants(self, demands: Sequence[Demand]) -> bool:
        return self.grants.allow(demands, () if self.owner is None else OWNED)

    def acts_on(self, row: Row, demands: Sequence[Demand]) -> bool:
        """Return whether a request that this rule allows may have to be resolved."""
        if self.owner is not None:
            return True
        if self.raced and row.name in folders.STARTING:
            return True
        if self.signers is not None and row.name == signatures.OPERATION:
            return True
        return bool(demands) and (folders.asked(demands) or image_ids.asked(demands))

    def holds(self, row: Row) -> bool:
        """Return whether an operation waits for a person's approval."""
        return self.hold is not None and row.name in self.hold.operations

    async def resolve(self, row: Row, request: Request, demands: Sequence[Demand], sender: Sender) -> Request:
        """Return the request as it goes on: confined to what is the owner's, and with the real paths of folders.

        demands: what it asks for.

        Raises:
            Denied: an object, or a folder to which a link leads, is not the client's; an image is not signed.
            SwarmError: the engine's error for an object that does not exist.
        """
        if folders.asked(demands):
            request = await folders.resolve(request, demands, self.grants)
        if image_ids.asked(demands):
            request = await image_ids.resolve(request, demands, self._allows_image, sender)
        if self.signers is not None and row.name == signatures.OPERATION:
            request = await self.signers.check(request, self._allows_image, sender)
        if self.owner is not None:
            request = await self.owner.confine(row, request, sender, self.grants)
        if self.owner is not None and row.name in hiding.OF_AN_IMAGE:
            request = await self._sight(self.owner, request, sender).resolve_image(request)
        if self.raced and row.name in folders.STARTING:
            request = await folders.check(request, self.raced, self.grants, sender)
        return request

    def redacts(self, row: Row) -> bool:
        """Return whether the answers of an operation are redacted."""
        return self.redaction is not None and row.name in self.redaction.by_operation

    def redacted(self, row: Row, request: Request) -> Request:
        """Return the request with a reply channel that shows the client what it may see."""
        show = None if self.redaction is None else self.redaction.by_operation.get(row.name)
        return request if show is None else request.replace(reply=answers.showing(request.reply, show))

    def _allows_image(self, image: Demand) -> bool:
        return self.grants.allows(image) and self.requirements.accepts(image)

    def sight(self, row: Row, request: Request, sender: Sender) -> Sight | None:
        """Return what the client may see of the answer to a request; None if it may see all of it."""
        if self.owner is None or row.name not in hiding.OPERATIONS:
            return None
        return self._sight(self.owner, request, sender)

    def _sight(self, owner: Owner, request: Request, sender: Sender) -> Sight:
        return Sight(owner, self.grants, request.meta, sender, self._repeats)


@dataclass(frozen=True)
class Document:
    """The rules of a policy. Nothing is allowed but what one of them allows and none denies."""

    name: str
    by_operation: Mapping[str, Sequence[Rule]]
    warn: bool
    """Whether what no rule is about passes, with a warning."""
    protection: Protection | None
    """The objects that are protected."""
    for_clients: bool
    """Whether it treats clients differently."""
    by_facts: frozenset[str]
    """The operations whose rules depend on what is known about a container that calls."""
    about: Callable[[str, str, Facts | None], tuple[Rule | None, Sequence[Rule]]]
    """Returns the first rule that denies an operation to a caller, if there is one, and all rules about both."""

    @classmethod
    def of(cls, name: str, rules: Sequence[Rule], *, warn: bool, protection: Protection | None = None) -> Self:
        """Make a policy of its rules."""
        known = {each for rule in rules for each in rule.allow | rule.deny}
        index = {each: [rule for rule in rules if each in rule.allow | rule.deny] for each in known}

        @lru_cache(maxsize=_REMEMBERED)
        def about(operation: str, caller: str, facts: Facts | None) -> tuple[Rule | None, Sequence[Rule]]:
            found = [rule for rule in index.get(operation, ()) if rule.is_for(operation, caller, facts)]
            return next((rule for rule in found if operation in rule.deny), None), found

        asking = {each for each in known if any(one.by_facts for rule in index[each] for one in rule.clients)}
        if protection is not None and any(one.by_facts for one in protection.override):
            asking |= GUARDED
        for_clients = any(rule.clients for rule in rules) or (protection is not None and bool(protection.override))
        return cls(name, index, warn, protection, for_clients, frozenset(asking), about)

    @property
    def summary(self) -> str:
        """What it allows, in a few words."""
        rules = {rule.name: rule for found in self.by_operation.values() for rule in found}
        allowed = {row.name for row in ROWS if any(row.name in rule.allow for rule in rules.values())}
        return f"{len(rules)} rules, which allow {len(allowed)} of the {len(ROWS)} operations"

    def judge(self, row: Row, request: Request, facts: Facts | None = None) -> Verdict:
        """Judge a request in canonical form, which is of this row. Raises nothing.

        facts: what is known about the container that calls, if one does; None if that could not be found out.
        """
        denying, rules = self.about(row.name, request.meta.caller, facts)
        if denying is not None:
            return Verdict(denying.warn, denying, f"rule {denying.name!r} denies {row.name}")
        demands = tuple(readings.demands(row, request))
        if not rules:
            what, line = (demands[0].value, UNJUDGED) if row is WHOLE else (row.name, "allow")
            return Verdict(self.warn, None, f"no rule allows {what:.200} to this client", f'{line} = ["{what:.200}"]')
        first = self._judge_demands(rules[0], row, request, demands)
        if not first.reason:
            return first
        others = (self._judge_demands(each, row, request, demands) for each in rules[1:] if each.may_allow(demands))
        return next((each for each in others if not each.reason), first)

    def guard(self, row: Row, caller: str, facts: Facts | None) -> Protection | None:
        """Return the protection that a request of this row and caller has to respect; None if it need not."""
        found = self.protection
        return found if found is not None and found.concerns(row, caller, facts) else None

    @staticmethod
    def _judge_demands(rule: Rule, row: Row, request: Request, demands: Sequence[Demand]) -> Verdict:
        try:
            judged = request if rule.changes is None else rule.changes.apply(row, request)
        except SwarmError as exc:
            return Verdict(rule.warn, rule, f"rule {rule.name!r}: {exc.message}")
        if judged is not request:
            demands = tuple(readings.demands(row, judged))
        refusals = list(islice(rule.refusals(row, judged, demands), _MOST_REASONS))
        if not refusals:
            return Verdict(True, rule, demands=demands, changed=None if judged is request else judged)
        reasons = "; ".join(what for what, _ in refusals)
        return Verdict(rule.warn, rule, f"rule {rule.name!r}: {reasons}", refusals[0][1])


_MOST_REASONS: Final = 5
_REMEMBERED: Final = 4096
"""The pairs of operations and callers whose rules are remembered."""


def _line(kind: str, value: str) -> str:
    """Return the line of a rule that would grant a demand."""
    return f"{'' if kind == UNJUDGED else '[rule.container] '}{kind} = [{value!r:.200}]"


def parse(text: str, name: str) -> Document:
    """Read a policy from the text of its file.

    Raises:
        Invalid: something in it is wrong; the error names the line.
    """
    top = Table.parse(text, name)
    warn = _mode(top)
    known = clients.read(top.table("clients"))
    rules = [_rule(table, index, known, warn) for index, table in enumerate(top.tables("rule"), 1)]
    protection = _protection(top, known)
    top.end()
    if not rules:
        raise top.mistake("rule", "a policy requires a rule, [[rule]]")
    raced = frozenset(kind for kind in folders.RACED if any(kind in rule.grants.matches for rule in rules))
    return Document.of(name, [replace(rule, raced=raced) for rule in rules], warn=warn, protection=protection)


def _protection(table: Table, known: Mapping[str, Client]) -> Protection | None:
    label, override = table.text("protect"), clients.named(table, known, "override")
    if label is None:
        if override:
            raise table.mistake("override", "override requires protect")
        return None
    name, value = table.read("protect", label, label_of)
    return Protection(name, value, override)


def _mode(table: Table, default: str = "enforce") -> bool:
    mode = table.text("mode") or default
    if mode not in MODES:
        raise table.mistake("mode", f"mode must be 'enforce' or 'warn', not {mode!r}")
    return mode == "warn"


def _rule(table: Table, index: int, known: Mapping[str, Client], warn: bool) -> Rule:
    name = table.text("name") or f"rule {index}"
    allow, deny = (_operations(table, key) for key in ("allow", "deny"))
    unjudged = table.texts(UNJUDGED) or ()
    if unjudged:
        allow |= {WHOLE.name}
    container = table.table("container")
    made = Rule(
        name,
        clients.named(table, known),
        allow,
        deny,
        _mode(table, "warn" if warn else "enforce"),
        _owner(table, allow),
        _grants(container, unjudged),
        _requirements(container),
        table.read_table("change", Changes.read),
        table.read_table("redact", Redaction.read),
        _hold(table, allow),
        _signers(container, allow),
    )
    container.end()
    table.end()
    if not allow and not deny:
        raise table.mistake("name", f"rule {name!r} requires allow or deny")
    return made


def _owner(table: Table, allow: frozenset[str]) -> Owner | None:
    text = table.text("own")
    if text is None:
        return None
    for name in sorted(allow - CONFINABLE):
        raise table.mistake("allow", f"{name} can't be confined to the objects of an owner: allow it in another rule")
    owner: Owner = table.read("own", text, Owner.read)
    return owner


def _signers(container: Table, allow: frozenset[str]) -> Signers | None:
    files = container.texts("signed_by")
    if files is None:
        return None
    for name in sorted(allow & signatures.UNCHECKED):
        raise container.mistake("signed_by", f"the images of {name} can't be checked: allow it in another rule")
    if find_spec("httpx") is None:
        raise container.mistake("signed_by", "signed_by requires the package httpx: pip install 'swarmlib[signatures]'")
    return cast("Signers", container.read("signed_by", files, Signers.read))


def _hold(table: Table, allow: frozenset[str]) -> Hold | None:
    held, text = _operations(table, "hold"), table.text("hold_for")
    if not held:
        if text is not None:
            raise table.mistake("hold_for", "hold_for requires hold")
        return None
    for name in sorted(held - allow):
        raise table.mistake("hold", f"{name} is held, but not allowed by this rule")
    return Hold(held, HOLD_SECONDS if text is None else table.read("hold_for", text, seconds))


def _operations(table: Table, key: str) -> frozenset[str]:
    patterns = table.texts(key) or ()
    return frozenset[str]().union(*(table.read(key, pattern, operations.named) for pattern in patterns))


def _grants(table: Table, unjudged: Sequence[str]) -> Grants:
    return Grants({**grants.read(table).matches, UNJUDGED: globs(unjudged)})


def _requirements(table: Table) -> Requirements:
    memory, users = table.text("memory"), table.texts("users")
    return Requirements(
        memory=None if memory is None else table.read("memory", memory, number_of_bytes),
        cpus=table.number("cpus"),
        pids=table.take("pids", int, "a whole number"),
        users=None if users is None else requirements.users(users),
        runtime=table.text("runtime"),
        read_only=table.flag("read_only"),
        no_new_privileges=table.flag("no_new_privileges"),
        dropped=table.read("drop_capabilities", table.texts("drop_capabilities") or (), requirements.to_drop),
        pinned=table.flag("images_pinned"),
    )
