"""The names of a tenant's objects: as the tenant knows them (`web`), and as the engine does (`alice.web`).

A tenant's name holds no dot, so what stands before the first dot of a name at the engine says whose it is. The
repositories of a tenant's images are below `tenant.invalid/NAME/`: no registry can have a name that ends in `.invalid`
(RFC 2606), so none of them is ever pulled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from ..dockerapi import references

LABEL: Final = "swarmlib.tenant"
"""The label that says whose an object is. A tenant neither sees nor sets it, nor any label that begins so."""
BRIDGE: Final = "bridge"
"""The network of containers that name none."""
REGISTRY: Final = "tenant.invalid/"
"""What the names of all tenants' own images begin with."""
UNNAMED: Final = "untagged"
"""The repository of images that are made without a name."""
_PORT: Final = re.compile(r"__(\d+)")


@dataclass(frozen=True)
class Names:
    """Converts names in both directions.

    Attributes:
        tenant: the tenant's name.
    """

    tenant: str

    @cached_property
    def prefix(self) -> str:
        """What the names of containers, networks and volumes begin with at the engine."""
        return f"{self.tenant}."

    @cached_property
    def repositories(self) -> str:
        """What the names of images begin with at the engine."""
        return f"{REGISTRY}{self.tenant}/"

    @cached_property
    def label(self) -> str:
        """The filter for the tenant's objects: its label with its name."""
        return f"{LABEL}={self.tenant}"

    @cached_property
    def _in_text(self) -> re.Pattern[bytes]:
        own, images = (re.escape(each) for each in (self.prefix, self.repositories))
        return re.compile(rf"{images}|(?<![\w.-]){own}\.?(?=[^\s.])".encode(), re.ASCII)

    def real(self, name: str) -> str:
        """Return the name at the engine; a slash before it is dropped, as an engine does."""
        return self.prefix + name.removeprefix("/")

    def nobody(self, name: str) -> str:
        """Return a name at the engine that no object has, for which errors are shown with the name that is given."""
        return f"{self.prefix}.{name}"

    def is_own(self, real: str) -> bool:
        """Return whether a name at the engine, perhaps with a slash before it, is the tenant's."""
        return real.removeprefix("/").startswith(self.prefix)

    def shown(self, real: str) -> str:
        """Return a name at the engine as the tenant knows it; names that are not the tenant's stay."""
        slash = "/" if real.startswith("/") else ""
        return slash + real[len(slash) :].removeprefix(self.prefix)

    def real_image(self, reference: str) -> str:
        """Return where the tenant's own image of a normal reference is kept: a registry's port gets two underscores."""
        first, slash, rest = reference.partition("/")
        host, colon, port = first.partition(":") if slash else (first, "", "")
        return self.repositories + (f"{host}__{port}" if colon else first) + slash + rest

    def shown_image(self, real: str) -> str:
        """Return an image's reference as the tenant knows it; those that are not the tenant's stay."""
        if not real.startswith(self.repositories):
            return real
        first, slash, rest = real.removeprefix(self.repositories).partition("/")
        return (_PORT.sub(r":\1", first) if slash else first) + slash + rest

    @property
    def unnamed(self) -> str:
        """What the names at the engine of images begin with that were made without a name: without one, nobody could
        say whose an image is.
        """
        return f"{self.repositories}{UNNAMED}:"

    @property
    def stamp(self) -> str:
        """The step of a build that sets the tenant's label."""
        return f"LABEL {self.label}"

    def owns(self, labels: Mapping[str, str] | None) -> bool:
        """Return whether an object with these labels is the tenant's."""
        return (labels or {}).get(LABEL) == self.tenant

    def labelled(self, labels: Mapping[str, Any] | None) -> dict[str, str]:
        """Return the labels of a new object of the tenant's, which can't have set those of tenancy itself."""
        return {**self.unlabelled(labels), LABEL: self.tenant}

    @staticmethod
    def unlabelled(labels: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return labels without those of tenancy."""
        return {name: each for name, each in (labels or {}).items() if not name.startswith(LABEL)}

    def in_text(self, text: str) -> str:
        """Return the text of an error or a warning with the tenant's objects named as the tenant knows them."""
        return self.in_bytes(text.encode(errors="surrogatepass")).decode(errors="surrogatepass")

    def in_bytes(self, text: bytes) -> bytes:
        """Do the same for bytes: the names hold nothing that JSON would escape."""
        return self._in_text.sub(b"", text)


def normal(reference: str) -> str:
    """Return an image's reference in normal form; ids and digests stay. Raises as `references.normal`."""
    is_id = references.is_id(reference) or references.is_digest(reference)
    return reference if is_id else references.normal(reference)
