"""The entrance: tokens, faults, throttling, API versions and validation, before a request is routed."""

from __future__ import annotations

import copy
import logging
import re
import ssl
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeVar

import orjson
import trio

from ...http.serving import Answer, Body, Request
from . import errors
from .clouds import AUDIENCES
from .compute import MACHINES
from .containerinstance.service import OPERATIONS
from .errors import ArmError
from .faults import Fault, Faults
from .groups import PROVIDERS
from .resource import Resource, ResourceId
from .roles import Role
from .routes import OPERATION, Routes
from .state import ArmCall, Group, State
from .subscriptions import Subscription, Subscriptions
from .throttle import Throttle
from .tokens import Token, Tokens

if TYPE_CHECKING:
    from .spec import Described, Spec

_log = logging.getLogger(__name__)

T = TypeVar("T")

VERSIONS: Final = {
    "Microsoft.Compute": "2024-07-01",
    "Microsoft.Compute/disks": "2024-03-02",
    "Microsoft.Compute/skus": "2021-07-01",
    "Microsoft.Compute/galleries": "2024-03-03",
    "Microsoft.Compute/communityGalleries": "2024-03-03",
    "Microsoft.Compute/sharedGalleries": "2024-03-03",
    "Microsoft.ContainerInstance": "2023-05-01",
    "Microsoft.Network": "2024-05-01",
    "Microsoft.Resources": "2024-11-01",
    "Microsoft.DevTestLab": "2018-09-15",
}
"""The API versions that are supported; newer ones are answered as these, unless `FakeArm.versions` leaves them out."""

_SUBSCRIPTION: Final = re.compile(r"/subscriptions/([^/]+)(/.*)", re.IGNORECASE)
_PROVIDER: Final = re.compile(r"/providers/([^/]+)(?:/(?:locations/[^/]+/)?([^/]+))?", re.IGNORECASE)
_UNDOCUMENTED: Final = re.compile(
    "/providers/microsoft.devtestlab/|/artifacttypes/vmimage/|/(community|shared)?galleries/|/operationresults/",
    re.IGNORECASE,
)
"""What Microsoft's documents that the fake is held against do not describe."""
_OPERATIONS: Final = "/providers/microsoft.containerinstance/operations"
_CONSOLE: Final = re.compile(r"/fakearm/bootdiagnostics/([^/]+)/(serialconsole\.log|screenshot\.bmp)")


@dataclass
class FakeArm:
    """A running fake. Its attributes are the interface for tests.

    url: where it listens. ca: the certificate of its authority (PEM). tls: a context for clients that trusts it. state:
    what there is in the subscription; its regions' quotas and room can be changed at any time. faults: the script of
    failures. role: what the caller may do; by default everything. subscriptions: which ones there are; the fake has the
    resources of one. versions: the API versions that are supported, by the provider or the type that they are of, as in
    `VERSIONS`; by default every one since those. asked: the last requests, as "METHOD /path".
    violations: answers of its own that Microsoft's documents don't allow: each is a bug of the fake.
    """

    state: State
    faults: Faults
    tokens: Tokens
    throttle: Throttle
    spec: Spec | None
    ca: bytes
    tls: ssl.SSLContext
    url: str = ""
    role: Role = field(default_factory=Role)
    versions: Mapping[str, Collection[str]] = field(default_factory=dict[str, Collection[str]])
    asked: deque[str] = field(default_factory=lambda: deque[str](maxlen=100_000))
    violations: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self._routes = Routes(self.state)
        self.subscriptions = Subscriptions({self.state.subscription: Subscription(self.tokens.tenant)})

    def environment(self) -> dict[str, str]:
        """Return the variables by which the azure backend and azure-identity find the fake (certificate: see `ca`)."""
        own = {"AZURE_SUBSCRIPTION_ID": self.state.subscription, "AZURE_RESOURCE_MANAGER": self.url}
        return own | self.tokens.environment(self.url)

    def plant(self, body: Body, **hidden: object) -> Resource:
        """Create a resource, with its id, as `body` describes it and without any checks, as the initial state of a
        test.
        """
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
        """Answer a request; return None to break the connection. The host may be one of `clouds.NAMES`."""
        request = replace(request, base=f"https://{request.headers['host']}")
        self.asked.append(f"{request.method} {request.path}")
        faults = self.faults.striking(request.method, request.path)
        if (found := await _before(faults)) is not None or any(fault.do == "cut" for fault in faults):
            return found
        try:
            found = self._unguarded(request) or await self._guarded(ArmCall(request, faults))
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
        if (found := self.tokens.answer(request) or self._routes.containers.sockets.answer(request)) is not None:
            return found
        if (match := _CONSOLE.fullmatch(request.path)) is None:
            return None
        for machine in self.state.of_type(MACHINES):
            real = machine.hidden.get("machine")
            if machine.properties["vmId"] == match[1] and real is not None and request.method == "GET":
                return Answer(200, self.state.machines.console(real) if match[2].endswith("log") else b"BM")
        raise ArmError(404, "BlobNotFound", "The specified blob does not exist.")

    async def _guarded(self, call: ArmCall) -> Answer:
        request = call.request
        token = self._token(request)
        remaining = self.throttle.take(request.method)
        path = request.path.rstrip("/")
        if path.lower() == _OPERATIONS:
            return Answer(200, OPERATIONS)
        if path.lower() == "/subscriptions" and request.method == "GET":
            return Answer(200, {"value": self.subscriptions.listed(token.tenant)}, remaining)
        match = _SUBSCRIPTION.fullmatch(path)
        self.subscriptions.check(match[1] if match else path, token.tenant)
        if match is None or match[1].lower() != self.state.subscription.lower():
            raise ArmError(404, "SubscriptionNotFound", f"The subscription '{path}' has nothing in this fake.")
        if not OPERATION.fullmatch(match[2]):
            _check_version(path, request.query.get("api-version"), self.versions)
            self.role.check(request.method, path, match[2])
        described = self.spec.find(request.method, path) if self.spec is not None else None
        if self.spec is not None and described is not None:
            _check_request(self.spec, described, request)
        try:
            self._check_registered(match[2])
            found = await self._routes.answer(path, match[2], call)
        except ArmError as exc:
            found = exc.answer()
        self.role.filter(match[2], found)
        if self.spec is not None:
            self._check_answer(self.spec, described, request, found)
        found.headers |= remaining
        return found

    def _token(self, request: Request) -> Token:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise ArmError(401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
        if (good := self.tokens.good(token)) is None:
            raise ArmError(401, "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than now.")
        if not good:
            raise ArmError(401, "InvalidAuthenticationToken", "The access token is invalid.")
        found = self.tokens.read(token)
        expected = AUDIENCES.get(request.headers["host"], frozenset())
        if expected and found.audience.rstrip("/") not in expected:
            message = f"The access token has been obtained for wrong audience or resource '{found.audience}'. It should"
            listed = ",".join(f"'{each}'" for each in sorted(expected))
            message += f" exactly match with one of the allowed audiences {listed}."
            raise ArmError(401, "InvalidAuthenticationTokenAudience", message)
        return found

    def _check_registered(self, rest: str) -> None:
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

    def _check_answer(self, spec: Spec, described: Described | None, request: Request, answer: Answer) -> None:
        if described is not None:
            found = spec.answer_errors(described, answer.status, answer.body)
        elif "/operations/" in request.path and answer.status == 200:
            # `properties` are the operation's own result; the common definition lacks them.
            status = {name: value for name, value in answer.body.items() if name != "properties"}
            found = spec.definition_errors("v3/types.json", "OperationStatusResult", status)
        elif answer.status >= 400 or _UNDOCUMENTED.search(request.path):
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


def _check_version(path: str, version: str | None, exact: Mapping[str, Collection[str]]) -> None:
    match = [*_PROVIDER.finditer(path)][-1:]
    provider, kind = (match[0][1], match[0][2]) if match else ("Microsoft.Resources", None)
    if kind is None or kind.lower() in ("register", "unregister"):
        provider, kind = "Microsoft.Resources", None
    if version is None:
        message = "The api-version query parameter (?api-version=) is required for all requests."
        raise ArmError(400, "MissingApiVersionParameter", message)
    oldest = _of_type(VERSIONS, provider, kind) or VERSIONS["Microsoft.Resources"]
    supported = _of_type(exact, provider, kind)
    old = not re.fullmatch(r"\d{4}-\d{2}-\d{2}(-preview)?", version) or version[:10] < oldest
    if old or (supported is not None and version not in supported):
        message = f"No registered resource provider found for API version '{version}' for type '{kind or provider}'."
        known = f"'{oldest}' and newer" if supported is None else f"'{', '.join(sorted(supported))}'"
        raise errors.bad("NoRegisteredProviderFound", f"{message} The supported api-versions are {known}.")


def _of_type(table: Mapping[str, T], provider: str, kind: str | None) -> T | None:
    """Return what a table says of a type, or of its provider, whatever the case of their names."""
    known = {name.lower(): each for name, each in table.items()}
    return known.get(f"{provider}/{kind}".lower(), known.get(provider.lower()))


def _check_request(spec: Spec, described: Described, request: Request) -> None:
    try:
        body = orjson.loads(request.body) if request.body else None
    except orjson.JSONDecodeError:
        return  # a handler that reads the body reports it
    if found := spec.request_errors(described, request.path.rstrip("/"), request.query, body):
        message = f"The request content was invalid and could not be deserialized: '{'; '.join(found)}'."
        raise ArmError(400, "InvalidRequestContent", message)
