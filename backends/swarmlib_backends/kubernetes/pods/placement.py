"""Where a Pod runs: the rules of `balance`'s notation, as rules about the labels of nodes and of other Pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ...balance.placement import request
from ...balance.placement.rules import Rule
from ...dockerapi import isolation
from . import names
from .fields import refused
from .record import Record

_NODE: Final = "kubernetes.io/hostname"
_LABELS: Final = {"node": _NODE, "ostype": "kubernetes.io/os", "architecture": "kubernetes.io/arch"}
"""The labels of nodes that are what rules call otherwise."""
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_UNKNOWN: Final = ("storagedriver", "driver", "kernelversion", "operatingsystem")
"""The properties of engines that are no labels of nodes."""
_WEIGHT: Final = 100
_RUNC: Final = "runc"
"""The runtime that an engine has of itself."""


def placed(record: Record, near: Sequence[str] = ()) -> dict[str, Any]:
    """Return the fields of a Pod about where, and by which runtime, it runs.

    near: labels of which each has the Pod on the node of the others that have it.

    Raises:
        Invalid: a rule is wrong. Unsupported: Kubernetes can't follow it.
    """
    asked, _ = request.read(record.name, record.body)
    affinity: dict[str, dict[str, Any]] = (
        {
            "nodeAffinity": _of_nodes(asked.constraints),
            "podAffinity": _of_pods([rule for rule in asked.affinities if rule.wanted]),
            "podAntiAffinity": _of_pods([rule for rule in asked.affinities if not rule.wanted]),
        }
        if record.ruled
        else {}
    )
    if near:
        affinity["podAffinity"] = _beside(near, affinity.get("podAffinity", {}))
    made = {"affinity": {name: each for name, each in affinity.items() if each}}
    isolation.agree(asked.isolation, asked.runtime)
    runtime = asked.isolation or asked.runtime
    return (made if made["affinity"] else {}) | ({"runtimeClassName": runtime} if runtime not in ("", _RUNC) else {})


def _of_nodes(rules: Sequence[Rule]) -> dict[str, Any]:
    hard = [_expression(rule) for rule in rules if not rule.soft]
    soft = [_expression(rule) for rule in rules if rule.soft]
    made: dict[str, Any] = {}
    if hard:
        made["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [{"matchExpressions": hard}]}
    if soft:
        made["preferredDuringSchedulingIgnoredDuringExecution"] = [
            {"weight": _WEIGHT, "preference": {"matchExpressions": [each]}} for each in soft
        ]
    return made


def _expression(rule: Rule) -> dict[str, Any]:
    if rule.key.lower() in _UNKNOWN:
        raise refused((f"the constraint {rule.text!r:.80}", "nodes have no label for it"))
    key = _LABELS.get(rule.key.lower(), rule.key)
    value = _exact(rule, "constraint")
    if key == _LABELS["architecture"]:
        value = _MACHINES.get(value, value)
    return {"key": key, "operator": "In" if rule.wanted else "NotIn", "values": [value]}


def _exact(rule: Rule, kind: str) -> str:
    if rule.exact is None or not names.fitting_labels({"x": rule.exact}):
        raise refused((f"the {kind} {rule.text!r:.80}", "Kubernetes compares labels with values, not with patterns"))
    return rule.exact


def _of_pods(rules: Sequence[Rule]) -> dict[str, Any]:
    terms = {soft: [*_terms(rules, soft=soft)] for soft in (False, True)}
    made: dict[str, Any] = {}
    if terms[False]:
        made["requiredDuringSchedulingIgnoredDuringExecution"] = terms[False]
    if terms[True]:
        made["preferredDuringSchedulingIgnoredDuringExecution"] = [
            {"weight": _WEIGHT, "podAffinityTerm": each} for each in terms[True]
        ]
    return made


def _beside(labels: Sequence[str], rules: Mapping[str, Any]) -> dict[str, Any]:
    """Return rules about other Pods, and that this one runs where those with some labels do, if there are any."""
    terms = [
        {"labelSelector": {"matchExpressions": [{"key": each, "operator": "Exists"}]}, "topologyKey": _NODE}
        for each in labels
    ]
    hard = "requiredDuringSchedulingIgnoredDuringExecution"
    return {**rules, hard: [*rules.get(hard, []), *terms]}


def _terms(rules: Sequence[Rule], *, soft: bool) -> Iterator[dict[str, Any]]:
    for rule in (each for each in rules if each.soft is soft):
        if rule.key in ("container", "image"):
            raise refused((f"the affinity {rule.text!r:.80}", "Pods are told apart by their labels: name one"))
        yield {
            "labelSelector": {"matchLabels": {rule.key: _exact(rule, "affinity")}},
            "topologyKey": _NODE,
        }
