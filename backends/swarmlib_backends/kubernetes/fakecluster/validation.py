"""What an apiserver refuses of objects: names, labels, and wrong fields, with its own sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ...dockerapi.nullable import dict_of, list_of
from ...http.serving import Body
from ..api.resources import SERVICES, Resource
from .defaults import NODE_PORTS
from .errors import Cause, invalid, invalid_value, required
from .pod_validation import pod_causes

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_DNS_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_MAX_ANNOTATIONS: Final = 256 * 1024
_MAX_DATA: Final = 1024 * 1024
_SUBDOMAIN_RULE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_DNS_1035_RULE: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and "
    f"end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '{_DNS_1035}')"
)
_LABEL_RULE: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    f"an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_QUALIFIED_RULE: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    f"'{_QUALIFIED}')"
)
_VALUE_RULE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_TAKEN: Final = "already allocated"
_OUT_OF_RANGE: Final = f"not in the valid range. The range of valid ports is {NODE_PORTS[0]}-{NODE_PORTS[-1]}"


def check(resource: Resource, object: Body) -> None:
    """Refuse an object that an apiserver would refuse.

    Raises:
        StatusError: fields of it are wrong; names all of them.
    """
    if causes := [*_metadata_causes(resource, object["metadata"]), *_own_causes(resource, object)]:
        raise invalid(resource, object["metadata"].get("name", ""), causes)


def check_node_ports(service: Body, others: Iterable[Body]) -> None:
    """Refuse a new Service with ports of the nodes that are not for Services, or that another one has.

    Raises:
        StatusError: it has such a port; names it.
    """
    taken = {port.get("nodePort") for other in others for port in list_of(other["spec"].get("ports"))}
    for at, port in enumerate(list_of(service["spec"].get("ports"))):
        number = port.get("nodePort")
        if number and (number not in NODE_PORTS or number in taken):
            why = _TAKEN if number in taken else _OUT_OF_RANGE
            cause = invalid_value(f"spec.ports[{at}].nodePort", number, f"provided port is {why}")
            raise invalid(SERVICES, service["metadata"]["name"], [cause])


def _metadata_causes(resource: Resource, metadata: Body) -> Iterator[Cause]:
    yield from _name_causes(resource, metadata.get("name", ""))
    for name, value in dict_of(metadata.get("labels")).items():
        yield from _key_causes("metadata.labels", name)
        if not re.fullmatch(f"({_QUALIFIED})?", value):
            yield invalid_value("metadata.labels", value, _VALUE_RULE)
        elif len(value) > 63:
            yield invalid_value("metadata.labels", value, "must be no more than 63 characters")
    annotations: Mapping[str, str] = dict_of(metadata.get("annotations"))
    for name in annotations:
        yield from _key_causes("metadata.annotations", name.lower())
    if sum(len(name) + len(value.encode()) for name, value in annotations.items()) > _MAX_ANNOTATIONS:
        yield Cause(
            "metadata.annotations", "FieldValueTooLong", f"Too long: must have at most {_MAX_ANNOTATIONS} bytes"
        )


def _name_causes(resource: Resource, name: str) -> Iterator[Cause]:
    if not name:
        yield required("metadata.name", "Required value: name or generateName is required")
        return
    pattern, rule, longest = {
        "services": (_DNS_1035, _DNS_1035_RULE, 63),
        "namespaces": (_LABEL, _LABEL_RULE, 63),
    }.get(resource.plural, (_SUBDOMAIN, _SUBDOMAIN_RULE, 253))
    if not re.fullmatch(pattern, name):
        yield invalid_value("metadata.name", name, rule)
    if len(name) > longest:
        yield invalid_value("metadata.name", name, f"must be no more than {longest} characters")


def _key_causes(field: str, key: str) -> Iterator[Cause]:
    prefix, slash, name = key.rpartition("/")
    if slash and not re.fullmatch(_SUBDOMAIN, prefix):
        yield invalid_value(field, key, f"prefix part {_SUBDOMAIN_RULE}")
    if not re.fullmatch(_QUALIFIED, name):
        yield invalid_value(field, key, _QUALIFIED_RULE)
    elif len(name) > 63:
        yield invalid_value(field, key, "name part must be no more than 63 characters")


def _own_causes(resource: Resource, object: Body) -> Iterator[Cause]:
    match resource.plural:
        case "pods":
            yield from pod_causes(object["spec"])
        case "configmaps" | "secrets":
            yield from _data_causes(object)
        case "services":
            yield from _service_causes(object["spec"])
        case "endpointslices":
            yield from _slice_causes(object)
        case "persistentvolumeclaims":
            yield from _claim_causes(object["spec"])
        case _:
            pass


def _data_causes(object: Body) -> Iterator[Cause]:
    data: dict[str, str] = {**dict_of(object.get("data")), **dict_of(object.get("binaryData"))}
    for name in data:
        if not re.fullmatch("[-._a-zA-Z0-9]+", name) or len(name) > 253:
            rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
            yield invalid_value(f"data[{name}]", name, f"{rule} (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', "
                                "regex used for validation is '[-._a-zA-Z0-9]+')")  # fmt: skip
    if sum(len(value.encode()) for value in data.values()) > _MAX_DATA:
        yield Cause("", "FieldValueTooLong", f"Too long: must have at most {_MAX_DATA} bytes")


def _service_causes(spec: Body) -> Iterator[Cause]:
    ports: list[dict[str, Any]] = list_of(spec.get("ports"))
    if not ports and spec.get("clusterIP") != "None" and spec.get("type") != "ExternalName":
        yield required("spec.ports")
    for at, port in enumerate(ports):
        if len(ports) > 1 and not port.get("name"):
            yield required(f"spec.ports[{at}].name")
        if not 1 <= port.get("port", 0) <= 65535:
            yield invalid_value(f"spec.ports[{at}].port", port.get("port", 0), "must be between 1 and 65535, inclusive")


def _slice_causes(object: Body) -> Iterator[Cause]:
    if object.get("addressType") not in ("IPv4", "IPv6", "FQDN"):
        yield required("addressType")
    for at, endpoint in enumerate(list_of(object.get("endpoints"))):
        if not endpoint.get("addresses"):
            yield required(f"endpoints[{at}].addresses", "Required value: must contain at least 1 address")
        if (hostname := endpoint.get("hostname")) and not re.fullmatch(_LABEL, hostname):
            yield invalid_value(f"endpoints[{at}].hostname", hostname, _LABEL_RULE)


def _claim_causes(spec: Body) -> Iterator[Cause]:
    if not spec.get("accessModes"):
        yield required("spec.accessModes", "Required value: at least 1 access mode is required")
    if "storage" not in dict_of(dict_of(spec.get("resources")).get("requests")):
        yield required("spec.resources[storage]")
