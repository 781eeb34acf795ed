"""Azure Policy: what an organization forbids in its subscription, whoever asks for it."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from ...http.serving import Body
from .errors import ArmError


@dataclass
class Policies:
    """The policies of a subscription; there are none at first.

    required: the tags that every group and resource must have. denied: types of resources, in lower case, that nobody
    may create.
    """

    required: set[str] = field(default_factory=set[str])
    denied: set[str] = field(default_factory=set[str])

    def check(self, type: str, name: str, body: Body) -> None:
        """Check a resource that is to be created or changed.

        Raises:
            ArmError: policies deny it (RequestDisallowedByPolicy); the message names all of them.
        """
        violated = [f"Deny {type.rpartition('/')[2]}"] if type.lower() in self.denied else []
        violated += [f"Require tag {tag}" for tag in sorted(self.required - (body.get("tags") or {}).keys())]
        if violated:
            listed = orjson.dumps([_identifiers(each) for each in violated]).decode()
            message = f"Resource '{name}' was disallowed by policy. Policy identifiers: '{listed}'."
            raise ArmError(403, "RequestDisallowedByPolicy", message, target=name)


def _identifiers(policy: str) -> Body:
    id = "/providers/Microsoft.Management/managementGroups/all/providers/Microsoft.Authorization"
    name = policy.lower().replace(" ", "-")
    return {
        "policyAssignment": {"name": policy, "id": f"{id}/policyAssignments/{name}"},
        "policyDefinition": {"name": policy, "id": f"{id}/policyDefinitions/{name}"},
    }
