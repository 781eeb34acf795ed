"""The files in which a container is told of its machine and its networks, such as /etc/hosts."""

from __future__ import annotations

from typing import Final

from ..dockerapi.nullable import list_of
from .container import Container
from .files import Files, Mounted, file
from .links import host_lines

_HOSTS: Final = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""
_NAME_SERVER: Final = "nameserver 127.0.0.11\noptions ndots:0\n"
"""An engine's own, which networks that were made have."""


HOST_GATEWAY: Final = "host-gateway"
"""What stands for the engine's host in place of an address."""
_GATEWAY: Final = "172.17.0.1"
"""The host's address on the default bridge."""


def mount_told(container: Container) -> None:
    """Mount the files for a container that is about to run."""
    hostname = container.config["Hostname"]
    addresses = [each.address for each in container.networks.values() if each.address]
    further = [
        f"{_GATEWAY if address == HOST_GATEWAY else address}\t{name}"
        for name, _, address in (each.partition(":") for each in list_of(container.host["ExtraHosts"]))
    ]
    lines = [*further, *host_lines(container), *(f"{address}\t{hostname}" for address in addresses)]
    told = {"hosts": _HOSTS + "".join(f"{line}\n" for line in lines), "hostname": f"{hostname}\n"}
    told["resolv.conf"] = _resolv(container)
    kept = Files({f"/{name}": file(text.encode()) for name, text in told.items()})
    for name in told:
        container.files.mount(f"/etc/{name}", Mounted(kept, f"/{name}"))


def _resolv(container: Container) -> str:
    if set(container.networks) - {"bridge", "host", "none"}:
        return _NAME_SERVER
    return "".join(f"nameserver {address}\n" for address in list_of(container.host["Dns"]))
