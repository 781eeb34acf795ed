"""Azure Policy: what an organization forbids in its subscription, whoever asks for it."""

from __future__ import annotations

from dataclasses import dataclass, field

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
            ArmError: a policy denies it (RequestDisallowedByPolicy).
        """
        if type.lower() in self.denied:
            raise _denied(name, f"no-{type.rpartition('/')[2]}")
        for tag in sorted(self.required - (body.get("tags") or {}).keys()):
            raise _denied(name, f"require-tag-{tag}")


def _denied(name: str, policy: str) -> ArmError:
    listed = f'[{{"policyAssignment":{{"name":"{policy}"}},"policyDefinition":{{"name":"{policy}"}}}}]'
    message = f"Resource '{name}' was disallowed by policy. Policy identifiers: '{listed}'."
    return ArmError(403, "RequestDisallowedByPolicy", message, target=name)
