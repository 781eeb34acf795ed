"""Who a container runs as, and what it may do: the security contexts of its Pod."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ...dockerapi import capabilities
from ...dockerapi.nullable import dict_of, list_of
from . import names
from .fields import refused
from .record import Record

_NUMBER: Final = re.compile(r"[0-9]{1,9}")
"""An id of a user or of a group: Kubernetes' largest has ten digits, but nobody is called that."""
_CAPABILITY: Final = re.compile(r"[A-Z_]{1,40}")
_OPTION: Final = re.compile(r"(?P<name>[a-z-]+)(?:[:=](?P<value>.*))?", re.DOTALL)
_APPARMOR: Final = f"container.apparmor.security.beta.kubernetes.io/{names.MAIN}"
_APPARMOR_NAME: Final = re.compile(r"[\w.@/-]{1,200}", re.ASCII)
_SELINUX: Final = ("user", "role", "type", "level")
_SYSCTL: Final = re.compile(r"[a-z0-9](?:[-_a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-_a-z0-9]*[a-z0-9])?)*")
_WITHOUT_SELINUX: Final = "spc_t"
"""The type of processes that SELinux does not confine."""


def of_container(record: Record) -> dict[str, Any]:
    """Return the security context of a container.

    Raises:
        Unsupported: a Pod can't have what it asks for.
    """
    host, options = record.host, _options(record)
    made: dict[str, Any] = _user(str(record.body.get("User") or ""))
    added, dropped = _capabilities(host, "CapAdd"), _capabilities(host, "CapDrop")
    if added or dropped:
        made["capabilities"] = {name: each for name, each in (("add", added), ("drop", dropped)) if each}
    if host.get("Privileged"):
        made["privileged"] = True
    elif "seccomp" not in options:
        made["seccompProfile"] = {"type": "RuntimeDefault"}  # as an engine does, and Kubernetes doesn't
    if host.get("ReadonlyRootfs"):
        made["readOnlyRootFilesystem"] = True
    return made | _confined(options)


def of_pod(record: Record) -> dict[str, Any]:
    """Return the security context of a Pod.

    Raises:
        Unsupported: a Pod can't have what it asks for.
    """
    made: dict[str, Any] = {}
    if groups := list_of(record.host.get("GroupAdd")):
        made["supplementalGroups"] = [_id(each, f"HostConfig.GroupAdd {each!r:.40}") for each in groups]
    if sysctls := dict_of(record.host.get("Sysctls")):
        for name in sysctls:
            if not _SYSCTL.fullmatch(name):
                raise refused((f"HostConfig.Sysctls.{name:.80}", "its name is written with dots"))
        made["sysctls"] = [{"name": name, "value": value} for name, value in sysctls.items()]
    return made


def apparmor(record: Record) -> dict[str, str]:
    """Return the annotation of a Pod that says how AppArmor confines its container; none if that is not asked for.

    Raises:
        Unsupported: a Pod can't have what it asks for.
    """
    profile = _options(record).get("apparmor")
    if profile is None:
        return {}
    if not _APPARMOR_NAME.fullmatch(profile):
        raise refused((_place("apparmor"), "the profile of a node is given by its name"))
    known = {"unconfined": "unconfined", "docker-default": "runtime/default"}
    return {_APPARMOR: known.get(profile, f"localhost/{profile}")}


def _user(text: str) -> dict[str, int]:
    if not text:
        return {}
    user, colon, group = text.partition(":")
    place = f"User {text!r:.80}"
    return {"runAsUser": _id(user, place)} | ({"runAsGroup": _id(group, place)} if colon else {})


def _id(text: str, place: str) -> int:
    """Return the number of a user or a group: only the image knows the others by their names."""
    if text == "root":
        return 0
    if not _NUMBER.fullmatch(text):
        raise refused((place, "give the numbers of users and groups: the names are in the image"))
    return int(text)


def _capabilities(host: Mapping[str, Any], field: str) -> list[str]:
    found = [capabilities.plain(str(each)) for each in list_of(host.get(field))]
    for each in found:
        if not _CAPABILITY.fullmatch(each):
            raise refused((f"HostConfig.{field} {each!r:.40}", "it is no capability"))
    return found


def _options(record: Record) -> dict[str, str]:
    """Return the security options: their values by their names, and those of labels by `label:` and theirs."""
    found: dict[str, str] = {}
    for text in list_of(record.host.get("SecurityOpt")):
        option = _OPTION.fullmatch(text)
        name, value = (option["name"], option["value"] or "") if option else ("", "")
        if name == "label":
            part, _, value = value.replace("=", ":", 1).partition(":")
            name = f"label:{part}"
        if name not in _KNOWN:
            raise refused((_place(text), f"it can have {', '.join(_KNOWN)}"))
        found[name] = value
    return found


_KNOWN: Final = ("no-new-privileges", "seccomp", "apparmor", *(f"label:{part}" for part in (*_SELINUX, "disable")))


def _place(option: str) -> str:
    return f"HostConfig.SecurityOpt {option!r:.80}"


def _confined(options: Mapping[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if (given := options.get("no-new-privileges")) is not None:
        if given not in ("", "true", "false"):
            raise refused((_place(f"no-new-privileges={given}"), "it is true or false"))
        made |= {} if given == "false" else {"allowPrivilegeEscalation": False}
    if "seccomp" in options:
        if options["seccomp"] != "unconfined":
            raise refused((_place("seccomp"), "a profile must be on the node: name it in --pod-template"))
        made["seccompProfile"] = {"type": "Unconfined"}
    if selinux := {part: value for part in _SELINUX if (value := options.get(f"label:{part}"))}:
        made["seLinuxOptions"] = selinux
    elif "label:disable" in options:
        made["seLinuxOptions"] = {"type": _WITHOUT_SELINUX}
    return made
