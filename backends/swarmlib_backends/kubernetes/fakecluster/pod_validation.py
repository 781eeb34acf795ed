"""What an apiserver refuses of a Pod's specification."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from ...dockerapi.nullable import list_of
from ...http.serving import Body
from .errors import Cause, invalid_value, required

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_ENV: Final = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_ENV_RULE: Final = (
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not "
    "start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation is "
    f"'{_ENV}')"
)
_LABEL_RULE: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    f"an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_RESTARTS: Final = ("Always", "OnFailure", "Never")
_PULLS: Final = ("Always", "IfNotPresent", "Never")


def pod_causes(spec: Body) -> Iterator[Cause]:
    """Yield what is wrong with the specification of a Pod."""
    volumes: list[dict[str, Any]] = list_of(spec.get("volumes"))
    names = {volume.get("name") for volume in volumes}
    for at, volume in enumerate(volumes):
        yield from _named(f"spec.volumes[{at}]", volume)
    if len(names) < len(volumes):
        yield Cause("spec.volumes", "FieldValueDuplicate", "Duplicate value: a volume's name must be unique")
    if not spec.get("containers"):
        yield required("spec.containers")
    for kind in ("initContainers", "containers"):
        for at, container in enumerate(list_of(spec.get(kind))):
            yield from _container_causes(f"spec.{kind}[{at}]", container, names)
    if spec.get("restartPolicy") not in _RESTARTS:
        yield _unsupported("spec.restartPolicy", spec.get("restartPolicy"), _RESTARTS)
    if (hostname := spec.get("hostname")) and not re.fullmatch(_LABEL, hostname):
        yield invalid_value("spec.hostname", hostname, _LABEL_RULE)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 0 < deadline < 2**31:
        yield invalid_value("spec.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
    for at, alias in enumerate(list_of(spec.get("hostAliases"))):
        if not re.fullmatch(r"[0-9.]+|[0-9a-f:]+", alias.get("ip", "")):
            yield invalid_value(f"spec.hostAliases[{at}].ip", alias.get("ip", ""), "must be a valid IP address")


def _named(field: str, object: Body) -> Iterator[Cause]:
    name = object.get("name")
    if not name:
        yield required(f"{field}.name")
    elif not re.fullmatch(_LABEL, name):
        yield invalid_value(f"{field}.name", name, _LABEL_RULE)


def _container_causes(field: str, container: Body, volumes: set[Any]) -> Iterator[Cause]:
    yield from _named(field, container)
    if not container.get("image"):
        yield required(f"{field}.image")
    elif container["image"] != container["image"].strip():
        yield invalid_value(f"{field}.image", container["image"], "must not have leading or trailing whitespace")
    if container.get("imagePullPolicy") not in _PULLS:
        yield _unsupported(f"{field}.imagePullPolicy", container.get("imagePullPolicy"), _PULLS)
    for at, variable in enumerate(list_of(container.get("env"))):
        if not variable.get("name"):
            yield required(f"{field}.env[{at}].name")
        elif not re.fullmatch(_ENV, variable["name"]):
            yield invalid_value(f"{field}.env[{at}].name", variable["name"], _ENV_RULE)
    for at, mount in enumerate(list_of(container.get("volumeMounts"))):
        if mount.get("name") not in volumes:
            message = f'Not found: "{mount.get("name", "")}"'
            yield Cause(f"{field}.volumeMounts[{at}].name", "FieldValueNotFound", message)
        if not mount.get("mountPath"):
            yield required(f"{field}.volumeMounts[{at}].mountPath")
    for at, port in enumerate(list_of(container.get("ports"))):
        if not 0 < port.get("containerPort", 0) < 65536:
            where = f"{field}.ports[{at}].containerPort"
            yield invalid_value(where, port.get("containerPort", 0), "must be between 1 and 65535, inclusive")


def _unsupported(field: str, value: object, allowed: tuple[str, ...]) -> Cause:
    said = ", ".join(f'"{each}"' for each in sorted(allowed))
    shown = f'"{value}"' if isinstance(value, str) else value
    return Cause(field, "FieldValueNotSupported", f"Unsupported value: {shown}: supported values: {said}")
