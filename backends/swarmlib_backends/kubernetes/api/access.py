"""The access to a cluster: its address, how it is verified, and who calls it; what a kubeconfig says in the end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .credentials import Credentials, Fixed, Headers, Shown
from .tls import Tls


@dataclass(frozen=True)
class Access:
    """How a cluster is reached.

    server: the apiserver's URL, without a slash at its end. namespace: that which is used. source: names where this was
    read, for people. proxy: the URL of a proxy, "" for none. impersonation: the headers of whom the caller acts as.
    """

    server: str
    namespace: str = "default"
    tls: Tls = field(default_factory=Tls)
    credentials: Credentials = field(default_factory=Fixed)
    proxy: str = field(default="", repr=False)
    impersonation: Headers = ()
    source: str = ""

    def tls_for(self, shown: Shown) -> Tls:
        """Return the TLS of a call for which this is shown."""
        if shown.certificate is None:
            return self.tls
        return replace(self.tls, certificate=shown.certificate, key=shown.key)
