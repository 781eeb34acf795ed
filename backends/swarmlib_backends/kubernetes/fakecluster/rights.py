"""Who asks, and what an account may do: the rules of a Role in one namespace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ..api.resources import ACCESS_REVIEWS, Resource
from .errors import StatusError, forbidden, unauthorized
from .kinds import Release


@dataclass(frozen=True)
class Rule:
    """A rule of a Role. A resource may name a subresource (`pods/exec`); `*` is anything; no names are all names."""

    resources: Sequence[str]
    verbs: Sequence[str]
    groups: Sequence[str] = ("",)
    names: Sequence[str] = ()

    def allows(self, verb: str, group: str, resource: str, name: str) -> bool:
        """Return whether it allows something. `resource` may name a subresource."""
        return (
            bool({verb, "*"} & {*self.verbs})
            and bool({group, "*"} & {*self.groups})
            and bool({resource, "*"} & {*self.resources})
            and (not self.names or name in self.names)
        )


@dataclass(frozen=True)
class User:
    """An account.

    rules: what it may do in `namespace`; None for one that may do everything everywhere. cluster_rules: what it may do
    with objects that are in no namespace, and in all namespaces.
    """

    name: str
    rules: Sequence[Rule] | None = None
    namespace: str = ""
    cluster_rules: Sequence[Rule] = ()

    def may(self, verb: str, group: str, resource: str, namespace: str = "", name: str = "") -> bool:
        """Return whether it may do something. `resource` may name a subresource."""
        if self.rules is None:
            return True
        there = [*self.cluster_rules, *(self.rules if namespace and namespace == self.namespace else ())]
        return any(rule.allows(verb, group, resource, name) for rule in there)


_ANONYMOUS: Final = User("system:anonymous", ())


@dataclass(frozen=True)
class Act:
    """What a request wants to do. `verb` is Kubernetes' own, such as list; `subresource` is "" for the object."""

    verb: str
    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def called(self) -> str:
        """The resource as rules name it."""
        return f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural


@dataclass
class Accounts:
    """The accounts by their tokens."""

    tokens: dict[str, User] = field(default_factory=dict[str, User])

    def of(self, header: str) -> User:
        """Return who sends a header Authorization.

        Raises:
            StatusError: the token is unknown.
        """
        if not header:
            return _ANONYMOUS
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or token not in self.tokens:
            raise unauthorized()
        return self.tokens[token]


def check(user: User, act: Act, release: Release) -> None:
    """Refuse what an account may not do.

    Raises:
        StatusError: it lacks a right; names it.
    """
    if act.resource is ACCESS_REVIEWS and user is not _ANONYMOUS:
        return  # whoever is known may ask what it may do
    verbs = [act.verb]
    if release.get_creates and act.subresource in ("exec", "attach", "portforward") and act.verb == "get":
        verbs.append("create")
    for verb in verbs:
        if not user.may(verb, act.resource.group, act.called, act.namespace, act.name):
            raise _refused(user, verb, act)


def _refused(user: User, verb: str, act: Act) -> StatusError:
    where = f'in the namespace "{act.namespace}"' if act.namespace else "at the cluster scope"
    group = f'in API group "{act.resource.group}"'
    why = f'User "{user.name}" cannot {verb} resource "{act.called}" {group} {where}'
    return forbidden(act.resource, act.name, why)
