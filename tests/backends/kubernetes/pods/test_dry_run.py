"""What the table makes is accepted: by the real apiserver, and by the fake one in both of its releases."""

from typing import Any

import pytest

from swarmlib_backends.kubernetes.pods.options import PodOptions
from swarmlib_backends.kubernetes.pods.record import Image
from tests.backends.kubernetes.conftest import Place
from tests.backends.kubernetes.pods.containers import BUSYBOX, host, made

ENTRYPOINT = Image(config={"Entrypoint": ["/run"], "Env": ["PATH=/bin", "discovery.type=single-node"], "User": "web"})
BODIES: dict[str, dict[str, Any]] = {
    "plain": {},
    "command": {"Entrypoint": ["sh", "-c"], "Cmd": ["echo $$ $(X) ${Y}"], "WorkingDir": "/tmp", "Tty": True},
    "env": {"Env": ["A=$(B)$$", "x y=1", "1=2", "REMOVED", "E=", "a.b-c=d"]},
    "labels": {"Labels": {"com.docker.compose.project": "shop", "any key": "x" * 4096, "empty": "", "k": "a b"}},
    "user": {"User": "1000:2000", **host(GroupAdd=["3000", "root"])},
    "streams": {"OpenStdin": True, "StdinOnce": True, "AttachStdin": True},
    "stop": {"StopSignal": "SIGQUIT", "StopTimeout": 0},
    "stop never": {"StopTimeout": -1},
    "ports": {"ExposedPorts": {"80/tcp": {}, "53/udp": {}}, **host(PortBindings={"443/tcp": [{"HostPort": ""}]})},
    "resources": host(Memory=64 * 2**20, NanoCpus=1_500_000_000, MemoryReservation=2**20, MemorySwap=-1),
    "quota": host(CpuQuota=50_000, CpuPeriod=100_000, CpuShares=512),
    "gpus": host(DeviceRequests=[{"Driver": "", "Count": 2, "DeviceIDs": None, "Capabilities": [["gpu"]]}]),
    "capabilities": host(CapAdd=["CAP_SYS_TIME", "net_admin"], CapDrop=["ALL"], ReadonlyRootfs=True),
    "privileged": host(Privileged=True, IpcMode="host", PidMode="host"),
    "confined": host(SecurityOpt=["no-new-privileges", "seccomp=unconfined", "apparmor=docker-default"]),
    "labelled": host(SecurityOpt=["label=type:svirt_t", "label:level:s0:c1"]),
    "sysctls": host(Sysctls={"net.core.somaxconn": "1024"}),
    "dns": host(Dns=["8.8.8.8"], DnsSearch=["example.org"], DnsOptions=["ndots:2", "rotate"]),
    "hosts": host(ExtraHosts=["db:10.0.0.7", "db2:10.0.0.7", "six:fd00::1"]),
    "network": {**host(NetworkMode="shop_default"), "NetworkingConfig": {"EndpointsConfig": {"shop_default": {}}}},
    "host network": host(NetworkMode="host"),
    "tmpfs": host(Tmpfs={"/run": "rw,noexec,size=64k", "/cache": ""}, ShmSize=2**26),
    "volumes": {"Volumes": {"/anonymous": {}}, **host(Binds=["data:/data:ro"])},
    "mounts": host(
        Mounts=[
            {"Type": "volume", "Target": "/a", "Source": "data", "VolumeOptions": {"Subpath": "x", "NoCopy": True}},
            {"Type": "tmpfs", "Target": "/b", "TmpfsOptions": {"SizeBytes": 1024}},
            {"Type": "bind", "Target": "/c", "Source": "/srv", "ReadOnly": True},
        ]
    ),
    "restarts": host(RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 3}),
    "placed": {
        "Labels": {
            "com.docker.swarm.constraints": '["topology.kubernetes.io/zone==a", "node!=~n1"]',
            "com.docker.swarm.affinities": '["tier==web", "tier!=~db"]',
        }
    },
    "runtime": host(Runtime="runsc"),
}
OPTIONS = {
    "usual": PodOptions(tools_image="busybox:1", binds="copy"),
    "kept": PodOptions(keep=True, binds="copy", requests=0.1),
    "without tools": PodOptions(tools="never", binds="copy"),
    "isolated and captured": PodOptions(isolate=True, capture=True, binds="copy"),
    "template": PodOptions(
        binds="copy",
        service_account="default",
        pull_secrets=["registry"],
        template={
            "metadata": {"labels": {"team": "a"}, "annotations": {"x": "y"}},
            "spec": {
                "tolerations": [{"key": "gpu", "operator": "Exists"}],
                "containers": [{"name": "main", "env": [{"name": "T", "value": "1"}]}, {"name": "side", "image": "x"}],
            },
        },
    ),
}


@pytest.mark.parametrize("options", OPTIONS)
async def test_the_cluster_accepts_every_pod(place: Place, options: str) -> None:
    for name, body in BODIES.items():
        for image in (BUSYBOX, ENTRYPOINT):
            if options == "without tools" and name in ("env", "stop", "volumes", "mounts"):
                continue  # refused: see test_pod
            pod = made(body, OPTIONS[options], image)
            del pod["metadata"]["namespace"], pod["metadata"]["ownerReferences"]  # which this cluster has not
            pod["spec"].pop("runtimeClassName", None)  # which the cluster would have to know
            answer = await place.api.post(f"/api/v1/namespaces/{place.namespace}/pods", pod, {"dryRun": "All"})
            assert answer["kind"] == "Pod", name
