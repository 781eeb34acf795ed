"""The credentials for a registry that a client sends, or that a registry asks for."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Any, Final, cast

import orjson

from swarmlib import Invalid

_FIELDS: Final = ("username", "password", "identitytoken", "registrytoken", "auth")
_CHALLENGE: Final = re.compile(r'([a-zA-Z_]+)="([^"]*)"')


@dataclass(frozen=True)
class Credentials:
    """Who pulls: nobody, a user with a password, or somebody with a token."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The header `Authorization` for a user; "" without one."""
        if not self.username:
            return ""
        return f"Basic {base64.b64encode(f'{self.username}:{self.password}'.encode()).decode()}"

    @classmethod
    def read(cls, header: str) -> Credentials:
        """Return the credentials in a header X-Registry-Auth; nobody's for "".

        Raises:
            Invalid: it is not base64 of a JSON object with texts.
        """
        if not header:
            return cls()
        try:
            raw = base64.b64decode(header + "=" * (-len(header) % 4), altchars=b"-_", validate=True)
            given = orjson.loads(raw)
        except (binascii.Error, ValueError) as exc:
            raise Invalid("the header X-Registry-Auth must be a JSON object in base64") from exc
        return cls._of(given)

    @classmethod
    def _of(cls, given: Any) -> Credentials:
        if not isinstance(given, dict):
            raise Invalid("the header X-Registry-Auth must hold a JSON object")
        known = {name: cast("dict[str, Any]", given).get(name) or "" for name in _FIELDS}
        if wrong := [name for name, value in known.items() if not isinstance(value, str)]:
            raise Invalid(f"{wrong[0]} of the header X-Registry-Auth must be a text")
        return cls(known["username"], known["password"], known["identitytoken"], known["registrytoken"])


@dataclass(frozen=True)
class Challenge:
    """What a registry asks for (RFC 7235): a scheme in lower case, and its parameters."""

    scheme: str
    params: dict[str, str]

    @classmethod
    def read(cls, header: str) -> Challenge:
        """Return the challenge of a header WWW-Authenticate."""
        scheme, _, rest = header.strip().partition(" ")
        return cls(scheme.lower(), {name.lower(): value for name, value in _CHALLENGE.findall(rest)})
