"""The front door: tokens, faults, throttling, API versions and validation; then the way to whoever answers."""

from __future__ import annotations

import copy
import logging
import re
import ssl
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import orjson
import trio

from . import errors
from .compute import MACHINES, Compute
from .crud import Crud
from .disks import Disks
from .errors import ArmError
from .faults import Fault, Faults
from .groups import PROVIDERS, Groups
from .http import Answer, Body, Request
from .network import Interfaces, PublicAddresses, SecurityGroups, SecurityRules, Subnets, VirtualNetworks
from .resource import Resource, ResourceId
from .state import Call, Group, State
from .throttle import Throttle
from .tokens import Tokens
from .vms import Extensions, VirtualMachines

if TYPE_CHECKING:
    from .spec import Described, Spec

_log = logging.getLogger("swarmlib")

VERSIONS: Final = {
    "Microsoft.Compute": "2024-07-01",
    "Microsoft.Compute/disks": "2024-03-02",
    "Microsoft.Compute/skus": "2021-07-01",
    "Microsoft.Network": "2024-05-01",
    "Microsoft.Resources": "2024-11-01",
}
"""The API versions that are answered: these, and newer ones in these versions' words."""

_SUBSCRIPTION: Final = re.compile(r"/subscriptions/([^/]+)(/.*)", re.IGNORECASE)
_GROUPS: Final = re.compile(r"/resourceGroups(?:/([^/]+))?", re.IGNORECASE)
_RESOURCES: Final = re.compile(r"(?:/resourceGroups/([^/]+))?/resources", re.IGNORECASE)
_PROVIDERS: Final = re.compile(r"/providers(?:/([^/]+)(?:/(register|unregister))?)?", re.IGNORECASE)
_OPERATION: Final = re.compile(
    r"(?:/providers/[^/]+/locations/[^/]+/(operations|operationResults)|/operationresults)/([^/]+)", re.IGNORECASE
)
_IN_PLACE: Final = re.compile(r"/providers/(Microsoft\.Compute)/locations/([^/]+)/([^/]+)", re.IGNORECASE)
_OF_ALL: Final = re.compile(r"/providers/([^/]+)/([^/]+)", re.IGNORECASE)
_OF_GROUP: Final = re.compile(r"/resourceGroups/([^/]+)/providers/([^/]+)/([^/]+)", re.IGNORECASE)
_PROVIDER: Final = re.compile(r"/providers/([^/]+)(?:/([^/]+))?", re.IGNORECASE)
_CONSOLE: Final = re.compile(r"/fakearm/bootdiagnostics/([^/]+)/(serialconsole\.log|screenshot\.bmp)")


@dataclass
class FakeArm:
    """A running fake. What a test wants of it is in its attributes.

    url: where it listens. ca: the certificate of its authority (PEM). tls: a context for clients that trusts it.
    state: what there is in the subscription; its regions' quotas and room can be changed at any time.
    faults: the script of failures. asked: the last requests, as "METHOD /path".
    violations: answers of its own that Microsoft's documents don't allow: each is a bug of the fake's.
    """

    state: State
    faults: Faults
    tokens: Tokens
    throttle: Throttle
    spec: Spec | None
    ca: bytes
    tls: ssl.SSLContext
    url: str = ""
    asked: deque[str] = field(default_factory=lambda: deque[str](maxlen=100_000))
    violations: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        state = self.state
        interfaces, addresses = Interfaces(state), PublicAddresses(state)
        machines = VirtualMachines(state, interfaces, addresses)
        networks = [VirtualNetworks(state), Subnets(state), SecurityGroups(state), SecurityRules(state)]
        self._crud = Crud(state, [machines, Extensions(state), Disks(state), interfaces, addresses, *networks])
        self._groups = Groups(state, self._crud)
        self._compute = Compute(state, self._crud)

    def environment(self) -> dict[str, str]:
        """The variables by which the azure backend and azure-identity find it; for the certificate see `ca`."""
        own = {"AZURE_SUBSCRIPTION_ID": self.state.subscription, "AZURE_RESOURCE_MANAGER": self.url}
        return own | self.tokens.environment(self.url)

    def plant(self, body: Body, **hidden: Any) -> Resource:
        """Put a resource there as `body` describes it, with its id, and with no checks: where a test begins."""
        id = ResourceId.parse(body["id"])
        if id is None:
            raise ValueError(f"{body['id']} is no resource's id")
        group = f"/subscriptions/{id.subscription}/resourceGroups/{id.group}"
        shown: Body = {"id": group, "name": id.group, "location": "westeurope", "properties": {}}
        self.state.groups.setdefault(id.group.lower(), Group(id.group, shown))
        planted = Resource(id, copy.deepcopy(body), hidden)
        planted.note_references()
        self.state.resources[id.key] = planted
        return planted

    async def answer(self, request: Request) -> Answer | None:
        """Answer a request; None to break the connection."""
        self.asked.append(f"{request.method} {request.path}")
        faults = self.faults.striking(request.method, request.path)
        if (found := await _before(faults)) is not None or any(fault.do == "cut" for fault in faults):
            return found
        try:
            found = self._unguarded(request) or await self._guarded(Call(request, faults))
        except ArmError as exc:
            found = exc.answer()
        except Exception as exc:  # noqa: BLE001 - one request must not end the server
            found = self._bug(request, exc)
        _log.info("fakearm: %s %s: %d", request.method, request.path, found.status)
        found.headers["x-ms-request-id"] = self.state.uuid()
        for fault in faults:
            if fault.do in ("hang-halfway", "cut-halfway"):
                found.halfway = "hang" if fault.do == "hang-halfway" else "cut"
        return found

    def _bug(self, request: Request, exc: Exception) -> Answer:
        _log.error("fakearm: %s %s failed by a bug", request.method, request.path, exc_info=exc)
        self.violations.append(f"{request.method} {request.path} failed: {exc!r}")
        hint = "" if self.spec else "; or the request makes no sense, which only Microsoft's documents could tell"
        return ArmError(500, "InternalServerError", f"The fake has a bug: {exc!r}{hint}").answer()

    def _unguarded(self, request: Request) -> Answer | None:
        if (found := self.tokens.answer(request)) is not None:
            return found
        if (match := _CONSOLE.fullmatch(request.path)) is None:
            return None
        for machine in self.state.of_type(MACHINES):
            real = machine.hidden.get("machine")
            if machine.properties["vmId"] == match[1] and real is not None and request.method == "GET":
                return Answer(200, self.state.machines.console(real) if match[2].endswith("log") else b"BM")
        raise ArmError(404, "BlobNotFound", "The specified blob does not exist.")

    async def _guarded(self, call: Call) -> Answer:
        request = call.request
        self._check_token(request.headers.get("authorization", ""))
        remaining = self.throttle.take(request.method)
        path = request.path.rstrip("/")
        match = _SUBSCRIPTION.fullmatch(path)
        if match is None or match[1].lower() != self.state.subscription.lower():
            name = match[1] if match else path
            raise ArmError(404, "SubscriptionNotFound", f"The subscription '{name}' could not be found.")
        _check_version(path, request.query.get("api-version"))
        described = self.spec.find(request.method, path) if self.spec is not None else None
        if self.spec is not None and described is not None:
            _check_request(self.spec, described, request)
        try:
            self._check_registered(match[2], request.method)
            found = await self._routed(path, match[2], call)
        except ArmError as exc:
            found = exc.answer()
        if self.spec is not None:
            self._check_answer(self.spec, described, request, found)
        found.headers |= remaining
        return found

    def _check_token(self, header: str) -> None:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise ArmError(401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
        if (good := self.tokens.good(token)) is None:
            raise ArmError(401, "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than now.")
        if not good:
            raise ArmError(401, "InvalidAuthenticationToken", "The access token is invalid.")

    def _check_registered(self, rest: str, method: str) -> None:
        match = _PROVIDER.search(rest)
        if match is None or match[2] is None or match[2].lower() in ("register", "unregister"):
            return
        name = next((each for each in PROVIDERS if each.lower() == match[1].lower()), None)
        if name is None:
            message = f"The resource namespace '{match[1]}' is invalid."
            raise ArmError(404, "InvalidResourceNamespace", message)
        if self.state.registered.get(name.lower()) == "NotRegistered":
            message = f"The subscription is not registered to use namespace '{name}'. See https://aka.ms/rps-not-found"
            message += " for how to register subscriptions."
            inner = errors.conflict("MissingSubscriptionRegistration", message, name)
            raise ArmError(409, inner.code, inner.message, details=[inner])

    async def _routed(self, path: str, rest: str, call: Call) -> Answer:
        if match := _OPERATION.fullmatch(rest):
            return self._operation(match[2], (match[1] or "").lower() == "operations", call)
        found = self._listed(rest, call) if call.request.method == "GET" else None
        if found is not None:
            return found
        if (match := _GROUPS.fullmatch(rest)) and match[1]:
            return self._groups.on_group(match[1], call)
        if (match := _PROVIDERS.fullmatch(rest)) and match[1] and call.request.method in ("GET", "POST"):
            return self._groups.on_provider(match[1], (match[2] or "").lower(), call)
        if (id := ResourceId.parse(path)) is not None:
            return await self._crud.on_resource(id, call)
        owner, _, name = path.rpartition("/")
        if (id := ResourceId.parse(owner)) is not None:
            if (found := await self._crud.act(id, name, call)) is not None:
                return found
            if call.request.method == "GET":
                return self._crud.listed(f"{id.type}/{name}", call, parent=id)
        raise ArmError(404, "NotFound", f"There is nothing for {call.request.method} at {path}.")

    def _listed(self, rest: str, call: Call) -> Answer | None:
        if (match := _GROUPS.fullmatch(rest)) and not match[1]:
            return self._groups.listed(call)
        if match := _RESOURCES.fullmatch(rest):
            return self._groups.resources(match[1] or "", call)
        if (match := _PROVIDERS.fullmatch(rest)) and not match[1]:
            return self._groups.providers(call)
        if match := _IN_PLACE.fullmatch(rest):
            return self._in_place(match[2], match[3].lower(), call)
        if match := _OF_ALL.fullmatch(rest):
            return self._of_type(f"{match[1]}/{match[2]}", "", call)
        if match := _OF_GROUP.fullmatch(rest):
            return self._of_type(f"{match[2]}/{match[3]}", match[1], call)
        return None

    def _in_place(self, location: str, what: str, call: Call) -> Answer | None:
        match what:
            case "virtualmachines":
                return self._compute.machines(call, location=location)
            case "vmsizes":
                return self._compute.sizes(location)
            case "usages":
                return self._compute.usages(location)
            case _:
                return None

    def _of_type(self, type: str, group: str, call: Call) -> Answer:
        match type.lower():
            case "microsoft.compute/virtualmachines":
                return self._compute.machines(call, group)
            case "microsoft.compute/skus":
                return self._compute.skus(call)
            case _:
                return self._crud.listed(type, call, group)

    def _operation(self, id: str, status: bool, call: Call) -> Answer:
        if (operation := self.state.operations.get(id)) is None:
            raise ArmError(404, "NotFound", f"The entity '{id}' was not found.")
        waiting = self.state.waiting() if operation.status == "InProgress" else {}
        if status:
            return Answer(200, operation.body(), waiting)
        request = call.request
        here = f"{request.base}{quote(request.path)}?api-version={request.query.get('api-version', '')}"
        return operation.outcome({"Location": here} | waiting)

    def _check_answer(self, spec: Spec, described: Described | None, request: Request, answer: Answer) -> None:
        if described is not None:
            found = spec.answer_errors(described, answer.status, answer.body)
        elif "/operations/" in request.path and answer.status == 200:
            # `properties` are the operation's own result; the common definition leaves them out.
            status = {name: value for name, value in answer.body.items() if name != "properties"}
            found = spec.definition_errors("v3/types.json", "OperationStatusResult", status)
        elif answer.status >= 400 or re.search("/operationresults/", request.path, re.IGNORECASE):
            found = []
        else:
            found = ["no document describes such an operation"]
        self.violations += [f"{request.method} {request.path} answered {answer.status}: {each}" for each in found]


async def _before(faults: Iterable[Fault]) -> Answer | None:
    for fault in faults:
        if fault.do == "hang":
            await trio.sleep_forever()
        if fault.do == "fail":
            return fault.error.answer()
    return None


def _check_version(path: str, version: str | None) -> None:
    match = [*_PROVIDER.finditer(path)][-1:]
    provider, kind = (match[0][1], match[0][2]) if match else ("Microsoft.Resources", None)
    known: Mapping[str, str] = {name.lower(): each for name, each in VERSIONS.items()}
    oldest = known.get(f"{provider}/{kind}".lower()) or known.get(provider.lower(), VERSIONS["Microsoft.Resources"])
    if kind is None or kind.lower() in ("register", "unregister"):
        oldest = VERSIONS["Microsoft.Resources"]
    if version is None:
        message = "The api-version query parameter (?api-version=) is required for all requests."
        raise ArmError(400, "MissingApiVersionParameter", message)
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}(-preview)?", version) or version[:10] < oldest:
        message = f"No registered resource provider found for API version '{version}' for type '{kind or provider}'."
        message += f" The supported api-versions are '{oldest}' and newer."
        raise errors.bad("NoRegisteredProviderFound", message)


def _check_request(spec: Spec, described: Described, request: Request) -> None:
    try:
        body = orjson.loads(request.body) if request.body else None
    except orjson.JSONDecodeError:
        return  # who wants the body will say so
    if found := spec.request_errors(described, request.path.rstrip("/"), request.query, body):
        message = f"The request content was invalid and could not be deserialized: '{'; '.join(found)}'."
        raise ArmError(400, "InvalidRequestContent", message)
