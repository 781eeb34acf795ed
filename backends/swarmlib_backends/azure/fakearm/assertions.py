"""What a client proves its identity with at Entra, in place of a secret: tokens of others, or its own by a certificate.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Refused(Exception):
    """An assertion is not accepted; `code` is that of an AADSTS error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Assertions:
    """What a client has registered.

    federated: the tokens of others that are trusted. certificates: its own.
    """

    federated: set[str] = field(default_factory=set[str])
    certificates: list[Certificate] = field(default_factory=list[Certificate])

    def check(self, assertion: str, client: str, url: str) -> None:
        """Check an assertion.

        url: of the endpoint that it must be for.

        Raises:
            Refused: it is none that was registered, or is malformed.
        """
        import jwt

        if assertion in self.federated:
            return
        try:
            thumbprint = jwt.get_unverified_header(assertion).get("x5t#S256")
        except jwt.InvalidTokenError:
            raise Refused(50027, "JWT token is invalid or malformed.") from None
        if thumbprint is None:
            raise Refused(700213, "No matching federated identity record found for presented assertion subject.")
        for each in self.certificates:
            key = each.public_key()
            if _thumbprint(each) == thumbprint.rstrip("=") and isinstance(key, RSAPublicKey):
                try:
                    jwt.decode(assertion, key, algorithms=["PS256"], audience=url, issuer=client)
                except jwt.InvalidTokenError as exc:
                    raise Refused(700027, f"Client assertion contains an invalid signature. [{exc}]") from exc
                return
        message = f"The certificate with identifier used to sign the client assertion is not registered: {thumbprint}."
        raise Refused(700027, message)


def _thumbprint(certificate: Certificate) -> str:
    return urlsafe_b64encode(hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()).decode().rstrip("=")
