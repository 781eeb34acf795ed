"""A cluster through swarmd, beside kubectl: a run, streams, and what a thousand containers take.

    python -m tests.bench.kubernetes [--mib 256] [--rounds 3] [--containers 1000]

Runs and streams are measured on the real cluster of the tests (SWARMLIB_TEST_CLUSTER, or one that is started), in turns
with kubectl; lists, creations and memory on a fake one.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import TypeAlias

from swarmlib_backends.kubernetes.pods.options import PodOptions
from swarmlib_backends.kubernetes.pods.pod import pod
from swarmlib_backends.kubernetes.pods.record import Image, Record
from tests.bench.common import in_turns, need, show
from tests.support.cluster import Cluster, end, fresh_namespace, shared
from tests.support.engines import Swarmd, docker, swarmd, wait_until
from tests.support.kubernetes.processes import running

Ways: TypeAlias = dict[str, Sequence[str]]
"""The commands that do the same, by the program whose way it is."""
_AT_ONCE = 200
_BODY = json.dumps({"Image": "127.0.0.1:1/busybox", "Entrypoint": ["sleep"], "Cmd": ["1000"]}).encode()


def seconds(*command: str, source: Path | None = None) -> float:
    """How long a command takes that succeeds."""
    with (source or Path(os.devnull)).open("rb") as given:
        began = time.perf_counter()
        subprocess.run(command, stdin=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        return time.perf_counter() - began


def runs(cluster: Cluster, gateway: Swarmd, image: str) -> dict[str, Callable[[], float]]:
    """`run --rm true` both ways, with the same Pod."""
    record = Record("0" * 64, "same", 0.0, {"Image": image, "Cmd": ["true"]}, Image(config={"Env": ["PATH=/bin"]}), 1)
    options = PodOptions(namespace=cluster.namespace, tools_image="busybox:1")
    spec = pod(record, options, run=1)["spec"]

    def kubectl() -> float:
        name = f"b{secrets.token_hex(4)}"
        own = json.dumps({"spec": {**spec, "containers": [{**spec["containers"][0], "name": name}]}})
        words = ("run", name, "--rm", "-i", "--restart=Never", f"--image={image}", f"--overrides={own}")
        return seconds("kubectl", "--kubeconfig", str(cluster.kubeconfig), *words)

    return {"kubectl": kubectl, "swarmd": partial(seconds, "docker", "-H", gateway.host, "run", "--rm", image, "true")}


def streams(cluster: Cluster, gateway: Swarmd, image: str, mib: int, folder: Path) -> dict[str, Ways]:
    """The commands by what they carry: those of kubectl, and those through swarmd; all with a container that has it."""
    files = f"dd if=/dev/zero of=/big bs=1M count={mib} 2>/dev/null"
    text = f"yes {'x' * 127} | head -c {mib << 20}"
    program = f"{files}; {text}; touch /done; exec sleep 3600"
    docker(gateway.host, "run", "-d", "--name", "box", image, "sh", "-c", program, check=True)
    there = ("exec", "box", "ls", "/done")
    wait_until(lambda: docker(gateway.host, *there).returncode == 0, "the files", seconds=300)
    kubectl = ("kubectl", "--kubeconfig", str(cluster.kubeconfig))
    listed = subprocess.run([*kubectl, "get", "pods", "-o", "name"], capture_output=True, text=True, check=True)
    name = listed.stdout.split()[0].partition("/")[2]
    ours = ("docker", "-H", gateway.host)
    zeros = ("dd", "if=/dev/zero", "bs=1M", f"count={mib}")
    return {
        "logs": {"kubectl": (*kubectl, "logs", name, "-c", "main"), "swarmd": (*ours, "logs", "box")},
        "exec, out": {
            "kubectl": (*kubectl, "exec", name, "-c", "main", "--", *zeros),
            "swarmd": (*ours, "exec", "box", *zeros),
        },
        "cp, out": {
            "kubectl": (*kubectl, "cp", f"{name}:big", str(folder / "copied"), "-c", "main"),
            "swarmd": (*ours, "cp", "box:/big", str(folder / "copied")),
        },
        "cp, in": {
            "kubectl": (*kubectl, "cp", str(folder / "copied"), f"{name}:tmp/in", "-c", "main"),
            "swarmd": (*ours, "cp", str(folder / "copied"), "box:/tmp/in"),
        },
    }


def on_real_cluster(mib: int, rounds: int) -> None:
    """Measure runs and streams."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        fresh_namespace(shared(os.getpid()), "bench", Path(scratch)) as cluster,
    ):
        image = f"{cluster.registry()}/busybox:1"
        with swarmd(f"kubernetes --kubeconfig {cluster.kubeconfig} --tools-image busybox:1") as gateway:
            found = in_turns(runs(cluster, gateway, image), rounds)
            rows = [("run --rm true, s", *_figures(found), f"{found['swarmd'] / found['kubectl']:.2f} (below 1.15)")]
            for what, commands in streams(cluster, gateway, image, mib, Path(scratch)).items():
                ways = {way: partial(_rate, mib, words) for way, words in commands.items()}
                found = in_turns(ways, rounds)
                ratio = f"{found['swarmd'] / found['kubectl']:.2f} (at least 0.8)"
                rows.append((f"{what}, MiB/s", *_figures(found), ratio))
            docker(gateway.host, "rm", "-f", "box", check=True)
    show(f"{mib} MiB each, on a real cluster", ["", "kubectl", "swarmd", "ratio (goal)"], rows)


def _rate(mib: int, words: Sequence[str]) -> float:
    return mib / seconds(*words)


def _figures(found: dict[str, float]) -> tuple[str, str]:
    return f"{found['kubectl']:.2f}", f"{found['swarmd']:.2f}"


def ask(gateway: Swarmd, method: str, target: str, body: bytes | None = None) -> float:
    """Seconds of a call."""
    connection = HTTPConnection("127.0.0.1", gateway.port, timeout=600)
    began = time.perf_counter()
    connection.request(method, target, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status < 300, (target, answer.status)
    return time.perf_counter() - began


def resident(gateway: Swarmd) -> float:
    """MiB that a swarmd has resident now."""
    pages = int(Path(f"/proc/{gateway.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def on_fake_cluster(containers: int) -> None:
    """Measure what many containers take."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder)) as kubeconfig,
        swarmd(f"kubernetes --kubeconfig {kubeconfig}") as gateway,
    ):
        ask(gateway, "GET", "/containers/json?all=1")
        before = resident(gateway)
        create = partial(ask, gateway, "POST", "/containers/create", _BODY)
        began = time.perf_counter()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda _: create(), range(_AT_ONCE)))
        at_once = time.perf_counter() - began
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(lambda _: create(), range(containers - _AT_ONCE)))
        memory = resident(gateway) - before
        listed = median([ask(gateway, "GET", "/containers/json?all=1") for _ in range(20)])
    rows = [
        (f"ps of {containers} containers, ms", f"{listed * 1000:.1f}", "below 20"),
        (f"{_AT_ONCE} creations at once, s", f"{at_once:.2f}", ""),
        (f"memory for {containers} containers, MiB", f"{memory:.1f}", ""),
    ]
    show("On a fake cluster", ["", "swarmd", "goal"], rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--containers", type=int, default=1000)
    given = parser.parse_args()
    need("docker", "kubectl")
    on_fake_cluster(given.containers)
    try:
        on_real_cluster(given.mib, given.rounds)
    finally:
        end(os.getpid())


if __name__ == "__main__":
    main()
