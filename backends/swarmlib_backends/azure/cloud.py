"""The clouds of Azure, by the names that `az cloud list` shows: where each has its Resource Manager and its logins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from azure.core import AzureClouds
from azure.identity import AzureAuthorityHosts
from azure.mgmt.core.tools import get_arm_endpoints

from swarmlib import Invalid

from .options import CloudName

_CLOUDS: Final[Mapping[CloudName, tuple[AzureClouds, str]]] = {
    "AzureCloud": (AzureClouds.AZURE_PUBLIC_CLOUD, AzureAuthorityHosts.AZURE_PUBLIC_CLOUD),
    "AzureUSGovernment": (AzureClouds.AZURE_US_GOVERNMENT, AzureAuthorityHosts.AZURE_GOVERNMENT),
    "AzureChinaCloud": (AzureClouds.AZURE_CHINA_CLOUD, AzureAuthorityHosts.AZURE_CHINA),
}
_URL: Final = "AZURE_RESOURCE_MANAGER"
_AUTHORITY: Final = "AZURE_AUTHORITY_HOST"


@dataclass(frozen=True)
class Cloud:
    """A cloud.

    name: that of `az cloud list`, or "" for one by AZURE_RESOURCE_MANAGER. url: of its Resource Manager. scope: what
    tokens for that are asked for. authority: the host that issues them.
    """

    name: str
    url: str
    scope: str
    authority: str

    @property
    def is_known(self) -> bool:
        """Whether the authority is one of Microsoft's own, which vouch for each other."""
        host = urlsplit(self.authority if "//" in self.authority else f"//{self.authority}").hostname
        return host in {authority for _, authority in _CLOUDS.values()}


def chosen(name: CloudName, environ: Mapping[str, str] = os.environ) -> Cloud:
    """Return the cloud of a name, or the one by AZURE_RESOURCE_MANAGER, such as an Azure Stack Hub.

    Raises:
        Invalid: AZURE_RESOURCE_MANAGER is not the URL of a server, or is set besides the name of a sovereign cloud.
    """
    setting, authority = _CLOUDS[name]
    endpoints = get_arm_endpoints(setting)
    authority = environ.get(_AUTHORITY) or authority
    url = environ.get(_URL, "")
    if not url:
        return Cloud(name, endpoints["resource_manager"].rstrip("/"), endpoints["credential_scopes"][0], authority)
    if name != "AzureCloud":
        raise Invalid(f"--cloud {name} and {_URL} can't be used together")
    split = urlsplit(url)
    if split.scheme != "https" or not split.hostname or split.path not in ("", "/") or split.query:
        raise Invalid(f"invalid {_URL} {url!r}: expected https://HOST")
    return Cloud("", url.rstrip("/"), f"{url.rstrip('/')}/.default", authority)
