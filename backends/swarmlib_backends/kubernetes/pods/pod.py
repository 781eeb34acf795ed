"""The Pod of a container's run."""

from __future__ import annotations

import signal
from typing import Any, Final, TypeAlias

from swarmlib import Unsupported

from ...dockerapi.nullable import dict_of, list_of
from . import names, shim
from .options import PodOptions
from .record import Record

Object: TypeAlias = dict[str, Any]

POD: Final = "container"
"""The kind (`names.KIND`) of the Pods that are containers."""
_RESTARTS: Final = {"always": "Always", "unless-stopped": "Always", "on-failure": "OnFailure"}


def pod(record: Record, options: PodOptions, *, run: int, gate: bool = False) -> Object:
    """Return the Pod of a run of a container.

    record: as the cluster has it, with its `uid`. run: the number of the run. gate: whether the container waits before
    its command until `shim.OPEN_GATE` is run in it.

    Raises:
        Unsupported: a Pod can't have what is asked for; names it. Invalid: a value is not valid.
        TooLarge: the labels are more than an object may have.
    """
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": names.pod_name(record.name, record.id),
            "namespace": options.namespace,
            "labels": names.fitting_labels(record.labels) | names.own_labels(POD, record.id),
            "annotations": names.labels_annotation(record.labels) | {names.RUN: str(run)},
            "ownerReferences": [names.owner_reference(names.record_name(record.id), record.uid)],
        },
        "spec": _spec(record, options, gate=gate),
    }


def _spec(record: Record, options: PodOptions, *, gate: bool) -> Object:
    spec: Object = {
        "containers": [_container(record, options, gate=gate)],
        "restartPolicy": _restart_policy(record, options),
        "terminationGracePeriodSeconds": max(record.grace, 0),
        "automountServiceAccountToken": bool(options.service_account),
        "enableServiceLinks": False,
        "hostname": record.config["Hostname"],
    }
    if options.tools != "never":
        spec["shareProcessNamespace"] = True
        spec["initContainers"] = [shim.init_container(options)]
        spec["volumes"] = [{"name": shim.VOLUME, "emptyDir": {}}]
    return spec


def _restart_policy(record: Record, options: PodOptions) -> str:
    if options.keep:
        return "Never"
    return _RESTARTS.get(str(dict_of(record.host.get("RestartPolicy")).get("Name") or ""), "Never")


def _container(record: Record, options: PodOptions, *, gate: bool) -> Object:
    config = record.config
    made: Object = {
        "name": names.MAIN,
        "image": record.reference,
        "imagePullPolicy": "IfNotPresent",
        **_command(record, options, gate=gate),
        "env": [_variable(entry) for entry in list_of(record.body.get("Env")) if "=" in entry],
        "stdin": bool(config.get("OpenStdin")),
        "stdinOnce": bool(config.get("StdinOnce")),
        "tty": record.tty,
    }
    if options.tools != "never":
        made["volumeMounts"] = [shim.MOUNT]
    if config.get("WorkingDir"):
        made["workingDir"] = config["WorkingDir"]
    return made


def _command(record: Record, options: PodOptions, *, gate: bool) -> Object:
    """Return the command of the container: by the shim if all of it is known, or else by the runtime."""
    entrypoint, words = list_of(record.config.get("Entrypoint")), list_of(record.config.get("Cmd"))
    if options.tools != "never" and (record.image or record.body.get("Entrypoint")):
        made = shim.command([*entrypoint, *words], list_of(record.config.get("Env")), gate=gate, options=options)
        return {"command": shim.doubled(made)} | _stop_hook(record, options)
    if gate or options.keep or options.tools == "always":
        raise Unsupported(
            f"a Pod of {record.reference} can't be started by swarmlib's tools, as the entrypoint of the image is not "
            "known: give the entrypoint with --entrypoint"
        )
    return {name: shim.doubled(given) for name, given in (("command", entrypoint), ("args", words)) if given}


def _stop_hook(record: Record, options: PodOptions) -> Object:
    if record.stop_signal == signal.SIGTERM and not options.keep:
        return {}
    return {"lifecycle": {"preStop": shim.pre_stop(record.stop_signal)}}


def _variable(entry: str) -> Object:
    name, _, value = entry.partition("=")
    return {"name": name, "value": value.replace("$", "$$")}
