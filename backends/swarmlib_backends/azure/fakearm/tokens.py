"""The issuers of tokens: Entra's endpoint for secrets and assertions, and the two forms of managed identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from time import time
from typing import Final
from urllib.parse import parse_qs

from ...http.serving import Answer, Body, Request
from .assertions import TYPE, Assertions, Refused

LIFETIME: Final = 3600
"""How long a token is valid, in seconds."""
_IMDS: Final = "/metadata/identity/oauth2/token"
_APP_SERVICE: Final = "/msi/token"


@dataclass(frozen=True)
class Token:
    """What a token says: until when it is valid, for which resource ("" for any), and whose tenant it is of."""

    ends: float
    audience: str
    tenant: str


@dataclass
class Tokens:
    """The credentials of the tenant, and the tokens that were issued.

    identity: whether there is a managed identity, as on a machine in Azure. assertions: what is accepted in place of
    the secret.
    """

    tenant: str
    client_id: str
    secret: str
    random: Random
    identity: bool = True
    assertions: Assertions = field(default_factory=Assertions)
    _issued: dict[str, Token] = field(default_factory=dict[str, Token])

    def issue(self, seconds: float = LIFETIME, audience: str = "", tenant: str = "") -> str:
        """Issue a new token, valid for this long; by default for any resource, and of this tenant."""
        token = f"fake.{self.random.getrandbits(128):032x}.token"
        self._issued[token] = Token(time() + seconds, audience, tenant or self.tenant)
        return token

    def good(self, token: str) -> bool | None:
        """Return whether a token is valid; None if it has expired."""
        found = self._issued.get(token)
        return False if found is None else True if found.ends > time() else None

    def read(self, token: str) -> Token:
        """Return what a token says that was issued here."""
        return self._issued[token]

    def answer(self, request: Request) -> Answer | None:
        """Answer a request for a token, or for the ways to get one; return None for any other request."""
        path = request.path.lower()
        if path == _IMDS:
            return self._imds(request)
        if path == _APP_SERVICE:
            return self._app_service(request)
        if path.endswith("/oauth2/v2.0/token"):
            return self._entra(request)
        if path.endswith("/v2.0/.well-known/openid-configuration"):
            return self._configuration(request)
        if path == "/common/discovery/instance":
            return self._discovery(request)
        return None

    def environment(self, base: str) -> dict[str, str]:
        """Return the variables by which azure-identity finds the endpoints and the secret."""
        return {
            "AZURE_AUTHORITY_HOST": base,
            "AZURE_TENANT_ID": self.tenant,
            "AZURE_CLIENT_ID": self.client_id,
            "AZURE_CLIENT_SECRET": self.secret,
        }

    def managed_identity(self, base: str, *, app_service: bool = False) -> dict[str, str]:
        """Return the variables by which azure-identity finds the managed identity."""
        if app_service:
            return {"IDENTITY_ENDPOINT": f"{base}{_APP_SERVICE}", "IDENTITY_HEADER": self.secret}
        return {"AZURE_POD_IDENTITY_AUTHORITY_HOST": base}

    def _entra(self, request: Request) -> Answer:
        form = {key: values[0] for key, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        tenant, client = request.path.split("/")[1], form.get("client_id")
        if tenant.lower() != self.tenant.lower():
            message = f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."
            return _refused(400, "invalid_request", 90002, message)
        if form.get("grant_type") != "client_credentials":
            return _refused(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
        if client != self.client_id:
            message = f"Application with identifier '{client}' was not found in the directory '{tenant}'."
            return _refused(400, "unauthorized_client", 700016, message)
        try:
            self._check_proof(form, f"{request.base}{request.path}")
        except Refused as exc:
            return _refused(401, "invalid_client", exc.code, str(exc))
        audience = form.get("scope", "").removesuffix("/.default")
        times = {"expires_in": LIFETIME, "ext_expires_in": LIFETIME}
        return Answer(200, {"token_type": "Bearer", "access_token": self.issue(audience=audience), **times})

    def _check_proof(self, form: Mapping[str, str], url: str) -> None:
        if form.get("client_assertion_type") == TYPE:
            self.assertions.check(form.get("client_assertion", ""), self.client_id, url)
        elif form.get("client_secret") != self.secret:
            message = "Invalid client secret provided. Ensure the secret being sent is the secret's value, not its ID."
            raise Refused(7000215, message)

    def _configuration(self, request: Request) -> Answer:
        tenant = f"{request.base}/{request.path.split('/')[1]}"
        return Answer(200, {
            "issuer": f"{tenant}/v2.0",
            "authorization_endpoint": f"{tenant}/oauth2/v2.0/authorize",
            "token_endpoint": f"{tenant}/oauth2/v2.0/token",
            "device_authorization_endpoint": f"{tenant}/oauth2/v2.0/devicecode",
        })  # fmt: skip

    def _discovery(self, request: Request) -> Answer:
        host = request.base.partition("//")[2]
        hosts = {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
        endpoint = f"{request.base}/{self.tenant}/v2.0/.well-known/openid-configuration"
        return Answer(200, {"tenant_discovery_endpoint": endpoint, "api-version": "1.1", "metadata": [hosts]})

    def _imds(self, request: Request) -> Answer:
        if request.headers.get("metadata") != "true":
            return _refused(400, "invalid_request", 0, "Required metadata header not specified")
        if not self.identity:
            return _refused(400, "invalid_request", 0, "Identity not found")
        return self._managed(request.query)

    def _app_service(self, request: Request) -> Answer:
        if request.headers.get("x-identity-header") != self.secret:
            return _refused(401, "unauthorized", 0, "The X-IDENTITY-HEADER is missing or wrong")
        if not self.identity:
            return Answer(400, {"statusCode": 400, "message": "No User Assigned or Delegated Managed Identity found"})
        return self._managed(request.query)

    def _managed(self, query: Mapping[str, str]) -> Answer:
        ends = int(time()) + LIFETIME
        resource = query.get("resource", "")
        body: Body = {"access_token": self.issue(audience=resource), "token_type": "Bearer", "resource": resource}
        return Answer(200, body | {"client_id": self.client_id, "expires_in": str(LIFETIME), "expires_on": str(ends)})


def _refused(status: int, error: str, code: int, message: str) -> Answer:
    text = f"AADSTS{code}: {message}" if code else message
    return Answer(status, {"error": error, "error_description": text} | ({"error_codes": [code]} if code else {}))
