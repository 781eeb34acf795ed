"""The subscriptions of several tenants, of which a token sees those of its own tenant."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...http.serving import Body
from .errors import ArmError


@dataclass(frozen=True)
class Subscription:
    """A subscription: its tenant, what it is called, and whether it can be used."""

    tenant: str
    shown: str = "fake"
    state: str = "Enabled"


@dataclass
class Subscriptions:
    """The subscriptions by their ids."""

    known: dict[str, Subscription] = field(default_factory=dict[str, Subscription])

    def listed(self, tenant: str) -> list[Body]:
        """Return the subscriptions of a tenant. Microsoft's document of that is not among those used here."""
        return [
            {"id": f"/subscriptions/{id}", "subscriptionId": id, "displayName": each.shown, "state": each.state}
            | {"tenantId": each.tenant}
            for id, each in self.known.items()
            if each.tenant == tenant
        ]

    def check(self, id: str, tenant: str) -> None:
        """Check that a token's tenant has a subscription.

        Raises:
            ArmError: there is none of that id, or it is another tenant's.
        """
        found = next((each for name, each in self.known.items() if name.lower() == id.lower()), None)
        if found is None:
            raise ArmError(404, "SubscriptionNotFound", f"The subscription '{id}' could not be found.")
        if found.tenant != tenant:
            issuer = "https://sts.windows.net"
            message = (
                f"The access token is from the wrong issuer '{issuer}/{tenant}/'. It must match the tenant"
                f" '{issuer}/{found.tenant}/' associated with this subscription. Please use the authority (URL)"
                f" 'https://login.windows.net/{found.tenant}' to get the token."
            )
            raise ArmError(401, "InvalidAuthenticationTokenTenant", message)
