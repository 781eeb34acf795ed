"""What an engine shows of its containers: summaries in lists, and all there is at an inspect."""

from __future__ import annotations

import math
from typing import Any

import orjson

from ..dockerapi.ages import human
from ..dockerapi.values import stamp
from ..enginekit import health
from ..enginekit.mounts import Mount, described
from .container import Container, Endpoint
from .engine import Engine
from .links import names_of
from .links import shown as shown_links
from .logdrivers import DEFAULT
from .paths import ROOT, graph_driver
from .volumes import folder_of


def summary(engine: Engine, container: Container, now: float) -> bytes:
    """Return a container in a list, as JSON. All of it but the text of its age is kept until it changes."""
    if container.summary is None:
        container.summary = _around_status(engine, container)
        container.fresh_until = 0.0
    if now >= container.fresh_until:
        text, container.fresh_until = _status(container, now)
        container.status_text = text.encode()
    before, after = container.summary
    return b"".join((before, container.status_text, after))


def _around_status(engine: Engine, container: Container) -> tuple[bytes, bytes]:
    before = {
        "Id": container.id,
        "Names": names_of(container),
        "Image": engine.images.shown(container.config["Image"], container.image),
        "ImageID": container.image.id,
        "Command": _command(container.command),
        "Created": int(container.created),
        "Ports": _ports(container),
        "Labels": container.labels,
        "State": container.status,
    }
    after = {
        "HostConfig": {"NetworkMode": container.host["NetworkMode"]},
        "NetworkSettings": {"Networks": {name: _in_a_list(each) for name, each in container.networks.items()}},
        "Mounts": [_mount(mount) for mount in container.mounts],
    }
    return orjson.dumps(before)[:-1] + b',"Status":"', b'",' + orjson.dumps(after)[1:]


def sizes(container: Container) -> dict[str, int]:
    """Return what a list adds when sizes are asked for."""
    own = container.files.size
    return ({"SizeRw": own} if own else {}) | {"SizeRootFs": container.image.size + own}


def _command(words: list[str]) -> str:
    return " ".join([words[0], *(f"'{word}'" if " " in word else word for word in words[1:])])


def _ports(container: Container) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = []
    for port, bindings in sorted(container.ports.items()):
        number, _, protocol = port.partition("/")
        inside = {"PrivatePort": int(number)}
        if not bindings:
            shown.append({**inside, "Type": protocol})
        for each in bindings or []:
            shown.append({"IP": each["HostIp"], **inside, "PublicPort": int(each["HostPort"]), "Type": protocol})
    return shown


def _status(container: Container, now: float) -> tuple[str, float]:
    if not container.running and not container.started:
        return "Created", math.inf
    up = container.running and not container.restarting
    since = container.started if up else container.finished
    age, changes_at = human(now - since)
    if up:
        note = " (Paused)" if container.paused else health.note(container.health)
        return f"Up {age}{note}", since + changes_at
    what = "Restarting" if container.restarting else "Exited"
    return f"{what} ({container.exit_code}) {age} ago", since + changes_at


def _mount(mount: Mount) -> dict[str, Any]:
    return described(mount, folder_of(mount.name) if mount.type == "volume" else mount.source)


def _networks(container: Container) -> dict[str, Any]:
    return {name: _endpoint(each) for name, each in container.networks.items()}


def _in_a_list(each: Endpoint) -> dict[str, Any]:
    return _endpoint(each) | {"Aliases": None, "Links": None, "DriverOpts": None}


def _endpoint(each: Endpoint) -> dict[str, Any]:
    given = each.given
    return {
        "IPAMConfig": given.get("IPAMConfig"),
        "Links": given.get("Links"),
        "Aliases": each.aliases,
        "NetworkID": each.network_id,
        "EndpointID": each.id,
        "Gateway": each.gateway,
        "IPAddress": each.address,
        "IPPrefixLen": each.prefix,
        "IPv6Gateway": each.gateway6,
        "GlobalIPv6Address": each.address6,
        "GlobalIPv6PrefixLen": each.prefix6,
        "MacAddress": each.mac,
        "DriverOpts": given.get("DriverOpts"),
    }


def state(container: Container) -> dict[str, Any]:
    """Return how a container is."""
    shown = {
        "Status": container.status,
        "Running": container.running,
        "Paused": container.paused,
        "Restarting": container.restarting,
        "OOMKilled": container.oom_killed,
        "Dead": False,
        "Pid": container.pid,
        "ExitCode": container.exit_code,
        "Error": container.error,
        "StartedAt": stamp(container.started),
        "FinishedAt": stamp(container.finished),
    }
    return shown if container.health is None else shown | {"Health": health.described(container.health)}


def inspect(container: Container) -> dict[str, Any]:
    """Return all there is to know of a container."""
    path, *args = container.command
    folder = f"{ROOT}/containers/{container.id}" if container.started else ""
    logged = folder and container.host["LogConfig"]["Type"] == DEFAULT
    return {
        "Id": container.id,
        "Created": stamp(container.created),
        "Path": path,
        "Args": args,
        "State": state(container),
        "Image": container.image.id,
        "ResolvConfPath": f"{folder}/resolv.conf" if folder else "",
        "HostnamePath": f"{folder}/hostname" if folder else "",
        "HostsPath": f"{folder}/hosts" if folder else "",
        "LogPath": f"{folder}/{container.id}-json.log" if logged else "",
        "Name": f"/{container.name}",
        "RestartCount": container.restarts,
        "Driver": "simulator",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": [each.id for each in container.execs.values() if each.process is None or each.running] or None,
        "HostConfig": container.host | {"Links": shown_links(container)},
        "GraphDriver": graph_driver(container.id, "LowerDir", "MergedDir", "UpperDir", "WorkDir"),
        "Mounts": [_mount(mount) for mount in container.mounts],
        "Config": container.config,
        "NetworkSettings": _network_settings(container),
    }


def _network_settings(container: Container) -> dict[str, Any]:
    bridge = container.networks.get("bridge") or Endpoint()
    return {
        "Bridge": "",
        "SandboxID": container.sandbox,
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Ports": dict(container.ports),
        "SandboxKey": f"/var/run/docker/netns/{container.sandbox[:12]}" if container.sandbox else "",
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": bridge.id,
        "Gateway": bridge.gateway,
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "IPAddress": bridge.address,
        "IPPrefixLen": bridge.prefix,
        "IPv6Gateway": "",
        "MacAddress": bridge.mac,
        "Networks": _networks(container),
    }
