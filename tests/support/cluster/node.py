"""A node of a cluster: a real Docker engine in namespaces of its own, and the kubelet and kube-proxy beside it."""

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.cluster.networks import Switch, lead
from tests.support.cluster.plane import ControlPlane
from tests.support.cluster.processes import Program
from tests.support.engines import BUSYBOX, Engine, busybox_tar, docker

_HERE = Path(__file__).parent
_PLUGINS = Path("/usr/lib/cni")
_WAIT = "trap exit TERM INT; while :; do sleep 3600 & wait; done"
"""What holds a Pod's namespaces, and collects the processes whose parents ended."""
BARE_APPLETS = ("cat", "echo", "false", "sleep", "true")
"""The programs of the image that has neither a shell nor tar."""


class Node:
    """A node that can crash and come back.

    name, number: its own. ports: loopback ports of this machine that its loopback has too. mirror: the registry
    (HOST:PORT) that it asks in place of Docker Hub; "" for none. taint: what Pods must tolerate to run there, such as
    `spare=:NoSchedule`.
    """

    def __init__(
        self, plane: ControlPlane, name: str, number: int, ports: Sequence[int], mirror: str = "", taint: str = ""
    ) -> None:
        self.name = name
        self._plane, self._number, self._ports, self._taint = plane, number, ports, taint
        self._folder = plane.folder / name
        self.engine = Engine(self._folder, _engine_options(mirror), namespaces="-nmu")
        self._programs: list[Program] = []

    def start(self) -> None:
        """Start it; the cluster knows it soon after."""
        self._folder.mkdir(exist_ok=True)
        for stale in ("addresses", "exec", "pid"):  # of the time before a crash
            path = self._folder / stale
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        self.engine.start()
        self._own_logs()
        self._plane.switch.join(self._number, self.engine.pid)
        for port in self._ports:
            lead(port, os.getpid(), ("127.0.0.1", port), from_pid=self.engine.pid)
        self._load_images()
        self.kubelet = self._run("kubelet", *self._kubelet_options())
        self._run("kube-proxy", *self._proxy_options())

    def _own_logs(self) -> None:
        """Give the node a /var/log of its own: a kubelet removes the logs of Pods there that are not on its node."""
        logs = self._folder / "var-log"
        logs.mkdir(exist_ok=True)
        within = ["nsenter", f"--target={self.engine.pid}", "--mount"]
        subprocess.run([*within, "mount", "--bind", logs, "/var/log"], check=True)

    def kill(self) -> None:
        """End it with all that runs on it, as the crash of its machine would."""
        for program in self._programs:
            program.end()
        self._programs.clear()
        self.engine.kill()
        self._plane.switch.leave(self._number)

    def _run(self, program: str, *options: str) -> Program:
        within = ["nsenter", f"--target={self.engine.pid}", "--net", "--mount", "--uts"]
        started = Program(self._folder / "logs" / program, [*within, str(self._plane.programs / program), *options])
        self._programs.append(started)
        return started

    def _proxy_options(self) -> list[str]:
        tables = ["max-per-core", "min", "tcp-timeout-established", "tcp-timeout-close-wait"]  # a host's, not to be set
        return [
            f"--kubeconfig={self._plane.kubeconfig('system:kube-proxy')}",
            f"--hostname-override={self.name}",
            "--proxy-mode=iptables",
            "--cluster-cidr=10.90.0.0/16",
            "--healthz-bind-address=",
            "--metrics-bind-address=",
            *(f"--conntrack-{each}=0" for each in tables),
        ]

    def _kubelet_options(self) -> list[str]:
        folder, socket = self._folder, f"unix://{self._folder}/dockershim.sock"
        config = folder / "kubelet.yaml"
        config.write_text(json.dumps(self._configuration()))
        (folder / "networks").mkdir(exist_ok=True)
        (folder / "networks/pods.conflist").write_text(json.dumps(self._pod_network()))
        return [
            f"--config={config}",
            f"--kubeconfig={self._plane.kubeconfig(f'system:node:{self.name}')}",
            f"--hostname-override={self.name}",
            f"--node-ip={Switch.node(self._number)}",
            f"--root-dir={folder}/kubelet",
            f"--cert-dir={folder}/kubelet/certificates",
            f"--docker-endpoint={self.engine.host}",
            f"--experimental-dockershim-root-directory={folder}/dockershim",
            f"--container-runtime-endpoint={socket}",
            f"--image-service-endpoint={socket}",
            "--pod-infra-container-image=pause:1",
            "--network-plugin=cni",
            f"--cni-bin-dir={_PLUGINS}",
            f"--cni-conf-dir={folder}/networks",
            f"--cni-cache-dir={folder}/network-cache",
            f"--register-with-taints={self._taint}",
        ]

    def _configuration(self) -> dict[str, object]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": Switch.node(self._number),
            # Only the control plane is in its network.
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "evictionHard": {"memory.available": "1Mi"},
            "imageGCHighThresholdPercent": 100,
            "healthzPort": 0,
            "clusterDNS": [Switch.ADDRESS],
            "clusterDomain": "cluster.local",
            "resolvConf": "",
            "maxPods": 250,
        }

    def _pod_network(self) -> dict[str, object]:
        ranges = [[{"subnet": Switch.pods(self._number)}]]
        addresses = {"type": "host-local", "dataDir": f"{self._folder}/addresses", "ranges": ranges}
        routed = {"ipam": {**addresses, "routes": [{"dst": "0.0.0.0/0"}]}}
        bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "hairpinMode": True, **routed}
        ports = {"type": "portmap", "capabilities": {"portMappings": True}}
        return {"cniVersion": "0.3.1", "name": "pods", "plugins": [bridge, ports]}

    def _load_images(self) -> None:
        self._import("busybox:1", busybox_tar(), 'CMD ["sh"]')
        self._import("pause:1", busybox_tar(), f'ENTRYPOINT ["sh", "-c", "{_WAIT}"]')
        self._import("bare:1", _bare_tar(), 'CMD ["cat"]')

    def _import(self, name: str, files: bytes, change: str) -> None:
        options = ["-c", change, "-c", "ENV PATH=/bin"]
        docker(self.engine.host, "import", *options, "-", name, input=files, check=True)


def _engine_options(mirror: str) -> list[str]:
    isolated = ["--bridge=none", "--iptables=false", "--ip-masq=false"]
    return [
        *isolated,
        "--exec-opt=native.cgroupdriver=cgroupfs",
        f"--add-runtime=here={_HERE}/runc",
        "--default-runtime=here",
        *([f"--registry-mirror=http://{mirror}"] if mirror else []),
    ]


def _bare_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(BUSYBOX, f"bin/{BARE_APPLETS[0]}")
        for applet in BARE_APPLETS[1:]:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname, link.mode = tarfile.LNKTYPE, f"bin/{BARE_APPLETS[0]}", 0o755
            tar.addfile(link)
    return buffer.getvalue()
