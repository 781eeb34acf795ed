"""Starts a real Kubernetes cluster, and ends it on Ctrl-C; needs root, and Debian 12 with what .ci/setup installs.

    python -m tests.support.cluster FOLDER &
    export SWARMLIB_TEST_CLUSTER=FOLDER/kubeconfig

Two nodes run whatever is given to the cluster, and `spare` what tolerates the taint `spare:NoSchedule`: tests may harm
it while others use the cluster. All nodes have the images busybox:1 and bare:1, and pull from two registries.
"""

import argparse
import base64
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.support.cluster import IMAGES, SPARE, build
from tests.support.cluster.api import Api
from tests.support.cluster.node import Node
from tests.support.cluster.plane import ControlPlane
from tests.support.engines import docker, wait_until
from tests.support.registries import PASSWORD, USER, registry

_NODE_SECONDS = 180
_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
_WATCHES = 1024


def main() -> None:
    """Start it, and keep it until this process, or the one that it is for, ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where everything of the cluster is")
    parser.add_argument("--nodes", type=int, default=2, help="how many nodes, without the spare one")
    parser.add_argument("--mirror", default="", help="HOST:PORT of a registry on this machine in place of Docker Hub")
    parser.add_argument("--owner", type=int, help="the process with which the cluster ends")
    given = parser.parse_args()
    folder = given.folder.resolve()
    if (folder / "kubeconfig").exists():
        parser.error(f"{folder} has a cluster already; name a new folder")
    signal.signal(signal.SIGTERM, _exit)
    with ExitStack() as stack:
        if given.owner:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        _start(folder, given.nodes, given.mirror, stack)
        _wait_for(given.owner)


def _exit(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: the nodes must have the time to end
    sys.exit()


def _wait_for(owner: int | None) -> None:
    ended = [os.pidfd_open(owner)] if owner else []
    with suppress(KeyboardInterrupt):
        select.select(ended, [], [])


def _start(folder: Path, count: int, mirror: str, stack: ExitStack) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _allow_watches()
    names = [f"node{number}" for number in range(1, count + 1)]
    plane = ControlPlane(folder, build(), [*names, SPARE], stack)
    registries = {name: _registry(folder / name, name == "private", stack) for name in ("open", "private")}
    seen = [*registries.values(), *([mirror] if mirror else [])]
    ports = [int(address.rpartition(":")[2]) for address in seen]
    nodes = [Node(plane, name, number, ports, mirror) for number, name in enumerate(names, 1)]
    nodes.append(Node(plane, SPARE, count + 1, ports, mirror, taint=f"{SPARE}=:NoSchedule"))
    api = plane.start()
    for node in nodes:
        stack.callback(node.kill)
        node.start()
    for address in registries.values():
        _push(nodes[0].engine.host, address, folder / "docker")
    wait_until(lambda: _ready_nodes(api) == {node.name for node in nodes}, "the nodes", seconds=_NODE_SECONDS)
    Orders(folder / "control", plane, nodes)
    (folder / "registries.json").write_text(json.dumps(registries))
    plane.kubeconfig("nobody", outside=True)
    plane.kubeconfig("admin", outside=True).rename(folder / "kubeconfig")  # whoever waits for it sees all of it
    print(f"cluster: ready; export SWARMLIB_TEST_CLUSTER={folder}/kubeconfig", flush=True)


def _allow_watches() -> None:
    """Let the kubelets follow hundreds of logs: each takes an inotify instance, and a kernel allows 128 by itself."""
    if int(_INSTANCES.read_text()) < _WATCHES:
        _INSTANCES.write_text(str(_WATCHES))


def _registry(folder: Path, password: bool, stack: ExitStack) -> str:
    folder.mkdir(exist_ok=True)
    return stack.enter_context(registry(folder, password=password))


def _push(engine: str, address: str, config: Path) -> None:
    config.mkdir(exist_ok=True)
    secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (config / "config.json").write_text(json.dumps({"auths": {address: {"auth": secret}}}))
    for image in IMAGES:
        docker(engine, "tag", image, f"{address}/{image}", check=True)
        subprocess.run(["docker", "--config", config, "-H", engine, "push", "-q", f"{address}/{image}"], check=True)


def _ready_nodes(api: Api) -> set[str]:
    nodes = api.value("GET", "/api/v1/nodes")["items"]
    ready = {"type": "Ready", "status": "True"}
    return {
        each["metadata"]["name"]
        for each in nodes
        if any(ready.items() <= condition.items() for condition in each["status"]["conditions"])
    }


class Orders:
    """What tests do to the cluster while it runs, asked for by JSON lists at a unix socket, one a connection."""

    def __init__(self, path: Path, plane: ControlPlane, nodes: list[Node]) -> None:
        self._plane, self._nodes = plane, {node.name: node for node in nodes}
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        threading.Thread(target=self._take, args=(listener,), daemon=True).start()

    def _take(self, listener: socket.socket) -> None:
        while True:
            client, _ = listener.accept()
            with client, client.makefile("rw") as lines:
                try:
                    self._obey(*json.loads(lines.readline()))
                    lines.write("done")
                except Exception as exc:  # noqa: BLE001 - the test that gave the order reports it
                    lines.write(f"the cluster failed to: {exc!r}")

    def _obey(self, order: str, node: str = "") -> None:
        match order:
            case "compact":
                self._plane.compact()
            case "freeze":
                self._nodes[node].kubelet.freeze()
            case "thaw":
                self._nodes[node].kubelet.thaw()
            case "kill":
                self._nodes[node].kill()
            case "start":
                self._nodes[node].start()
            case _:
                raise ValueError(f"no order {order}")


if __name__ == "__main__":
    main()
