"""The Pod of a container's run."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

from ...dockerapi.nullable import dict_of, list_of
from ...dockerapi.status import refusal
from ...enginekit.bodies import check_config, check_restarts
from . import binds, fields, names, networking, placement, search, security, shim, template, volumes, walls
from .fields import refused
from .options import PodOptions
from .record import Record
from .resources import resources
from .volume import Volume

Object: TypeAlias = dict[str, Any]

POD: Final = "container"
"""The kind (`names.KIND`) of the Pods that are containers."""
_RESTARTS: Final = {"always": "Always", "unless-stopped": "Always", "on-failure": "OnFailure"}
_ENV_NAME: Final = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_FOREVER: Final = 10**8
"""Seconds that stand for any time: a negative time to stop, by Docker."""


def pod(record: Record, options: PodOptions, *, run: int, gate: bool = False) -> Object:
    """Return the Pod of a run of a container.

    record: as the cluster has it, with its `uid`. run: the number of the run. gate: whether the container waits before
    its command until `runs.begin` is run in it; one that is kept always does.

    Raises:
        Unsupported: a Pod can't have what is asked for; the error names it. Invalid: a value is wrong.
        TooLarge: the labels are more than an object may have.
    """
    fields.check(record.body)
    check_config(record.config)
    check_restarts(record.host)
    mounted = volumes.volumes(record, options)
    made: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": names.pod_name(record.name, record.id),
            "namespace": options.namespace,
            "labels": _labels(record, options),
            "annotations": names.labels_annotation(record.labels) | security.apparmor(record) | {names.RUN: str(run)},
            "ownerReferences": [names.owner_reference(names.record_name(record.id), record.uid)],
        },
        "spec": _spec(record, options, mounted) | {"containers": _containers(record, options, mounted, gate=gate)},
    }
    return template.applied(options.template, made)


def _labels(record: Record, options: PodOptions) -> dict[str, str]:
    of_volumes = {names.volume_label(name): "" for name in volumes.named_volumes(record)}
    isolating = walls.labels(record) if options.isolate else {}
    return names.fitting_labels(record.labels) | of_volumes | names.own_labels(POD, record.id) | isolating


def _spec(record: Record, options: PodOptions, mounted: Sequence[Volume]) -> Object:
    host = record.host
    tools = options.tools != "never"
    made: Object = {
        "restartPolicy": restart_policy(record),
        "terminationGracePeriodSeconds": record.grace if record.grace >= 0 else _FOREVER,
        "automountServiceAccountToken": bool(options.service_account),
        "enableServiceLinks": False,
        **networking.of_pod(record, options),
        **placement.placed(record, _near(record, options)),
    }
    if host.get("PidMode") == "host":
        made["hostPID"] = True
    elif tools or host.get("Init"):
        made["shareProcessNamespace"] = True
    if host.get("IpcMode") == "host":
        made["hostIPC"] = True
    if context := security.of_pod(record):
        made["securityContext"] = context
    if options.service_account:
        made["serviceAccountName"] = options.service_account
    own = [record.image.secret] if record.image and record.image.secret else []
    if secrets := [*options.pull_secrets, *own]:
        made["imagePullSecrets"] = [{"name": name} for name in secrets]
    if tools:
        waits = binds.waiting_container(mounted, options)
        made["initContainers"] = [
            shim.init_container(options, search.domains(record, options)),
            *waits,
            *volumes.fill_container(record, mounted),
        ]
    of_tools: list[Object] = [{"name": shim.VOLUME, "emptyDir": {}}] if tools else []
    if found := [*of_tools, *({"name": each.name, **each.source} for each in mounted)]:
        made["volumes"] = found
    return made


def _near(record: Record, options: PodOptions) -> list[str]:
    """Return the labels of the Pods with which a container shares a volume that only one node at a time can mount."""
    shared = volumes.named_volumes(record) if options.claim.access_mode == "ReadWriteOnce" else []
    return [names.volume_label(name) for name in shared]


def restart_policy(record: Record) -> str:
    """Return what the kubelet does when the container ends: nothing, for any policy, if it is kept."""
    if record.keep:
        return "Never"
    return _RESTARTS.get(str(dict_of(record.host.get("RestartPolicy")).get("Name") or ""), "Never")


def _containers(record: Record, options: PodOptions, mounted: Sequence[Volume], *, gate: bool) -> list[Object]:
    own = _container(record, options, mounted, gate=gate)
    if not captured(record, options):
        return [own]
    return [own, shim.stderr_container(options, again=record.keep or restart_policy(record) != "Never")]


def captured(record: Record, options: PodOptions) -> bool:
    """Return whether a container beside it writes what a container writes to stderr; a terminal has no stderr."""
    return options.capture and not record.tty


def _container(record: Record, options: PodOptions, mounted: Sequence[Volume], *, gate: bool) -> Object:
    config = record.config
    made: Object = {
        "name": names.MAIN,
        "image": record.reference,
        "imagePullPolicy": "IfNotPresent",
        "stdin": bool(config.get("OpenStdin")) or gate or record.keep,
        **_process(record, options, gate=gate),
        "stdinOnce": bool(config.get("StdinOnce")),
        "tty": record.tty,
        "securityContext": security.of_container(record),
    }
    of_tools = [shim.MOUNT, *search.mounts(mounted)] if options.tools != "never" else []
    for name, value in (
        ("workingDir", config.get("WorkingDir")),
        ("resources", resources(record.host, options)),
        ("ports", networking.ports(record)),
        ("volumeMounts", [*of_tools, *(each.mount for each in mounted)]),
    ):
        if value:
            made[name] = value
    return made


def _process(record: Record, options: PodOptions, *, gate: bool) -> Object:
    """Return the command and the environment: set by the shim if all of the command is known, else by the runtime."""
    entrypoint, words = _words(record)
    own, stop = list_of(record.body.get("Env")), record.stop_signal
    waits: Literal["", "gate", "keep"] = "keep" if record.keep else "gate" if gate else ""
    if options.tools != "never" and (record.image or record.body.get("Entrypoint")):
        env = list_of(record.config.get("Env"))
        stdin = bool(record.config.get("OpenStdin")) or record.tty or not waits
        capture = captured(record, options)
        words = [*entrypoint, *words]
        command = shim.command(words, env, waits=waits, stdin=stdin, capture=capture, options=options)
        made: Object = {
            "command": shim.doubled(command),
            "env": [_variable(each) for each in own if shim.in_shell(each)],
        }
        if stop != signal.SIGTERM or record.keep:
            made["lifecycle"] = {"preStop": shim.pre_stop(stop)}
        return made
    if waits or options.tools == "always" or captured(record, options):
        why = "the entrypoint of the image is not known: give one with --entrypoint"
        raise refused((f"swarmlib's first process with {record.reference!r:.80}", why))
    if stop != signal.SIGTERM:
        raise refused((f"StopSignal {record.config['StopSignal']!r:.40}", "swarmlib's tools would have to send it"))
    given = (("command", entrypoint), ("args", words))
    return {name: shim.doubled(each) for name, each in given if each} | {"env": [_plain_variable(each) for each in own]}


def _words(record: Record) -> tuple[list[str], list[str]]:
    """Return the entrypoint and the command of a container.

    Raises:
        Invalid: there is nothing to run.
    """
    entrypoint, words = list_of(record.config.get("Entrypoint")), list_of(record.config.get("Cmd"))
    if entrypoint == [""]:  # by which clients leave out the image's
        entrypoint = []
    if record.image and not (entrypoint or words):
        raise refusal(400, "No command specified")
    return entrypoint, words


def _variable(entry: str) -> Object:
    name, _, value = entry.partition("=")
    return {"name": name, "value": value.replace("$", "$$")}


def _plain_variable(entry: str) -> Object:
    """Return a variable that only Kubernetes can set."""
    if "=" not in entry:
        raise refused((f"Env {entry!r:.80}", "swarmlib's tools would have to remove the variable"))
    if not _ENV_NAME.fullmatch(entry.partition("=")[0]):
        raise refused((f"Env {entry!r:.80}", "Kubernetes does not allow its name, and swarmlib's tools are not there"))
    return _variable(entry)
