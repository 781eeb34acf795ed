"""The clouds whose names the fake answers to, for clients that reach it by a proxy, and the tokens that each takes.

Sources: `az cloud list`, and https://learn.microsoft.com/azure/azure-government/compare-azure-government-global-azure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

AUDIENCES: Final[Mapping[str, frozenset[str]]] = {
    "management.azure.com": frozenset({"https://management.azure.com", "https://management.core.windows.net"}),
    "management.usgovcloudapi.net": frozenset({"https://management.core.usgovcloudapi.net"}),
    "management.chinacloudapi.cn": frozenset({"https://management.chinacloudapi.cn"}),
}
"""The audiences of the tokens that each Resource Manager takes."""
LOGINS: Final = ("login.microsoftonline.com", "login.microsoftonline.us", "login.chinacloudapi.cn")
NAMES: Final = (*AUDIENCES, *LOGINS)
