"""A cluster through swarmd, beside kubectl and an engine: a run, streams, and what a thousand containers take.

    python -m tests.bench.kubernetes [--mib 256] [--rounds 3] [--line 1024] [--containers 1000]
    python -m tests.bench.kubernetes --mib 1024 --rounds 1    # less than 5 minutes on a quiet machine

Runs and streams are measured on the real cluster of the tests (SWARMLIB_TEST_CLUSTER, or one that is started), in turns
with kubectl, and with the docker CLI on an engine of this machine; lists, creations and memory on a fake one. Each
figure is printed as soon as it is there, and the table at the end says which goals are met. The streams take seven
times --mib on the disk of /tmp.
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

from swarmlib_backends.kubernetes.pods.options import PodOptions
from swarmlib_backends.kubernetes.pods.pod import pod
from swarmlib_backends.kubernetes.pods.record import Image, Record
from tests.bench.common import cpu_seconds, in_turns, need, show
from tests.support.cluster import Cluster, end, fresh_namespace, shared
from tests.support.engines import Swarmd, docker, engine, swarmd, wait_until
from tests.support.kubernetes.processes import running

_WAYS = ("kubectl", "swarmd", "engine")
_AT_ONCE = 200
_LISTS = 50
_RUNS = 3
"""Runs take a second or two each, and one alone says little."""
_BODY = json.dumps({"Image": "127.0.0.1:1/busybox", "Entrypoint": ["sleep"], "Cmd": ["1000"]}).encode()


def seconds(*command: str) -> float:
    """How long a command takes that succeeds."""
    began = time.perf_counter()
    nothing = subprocess.DEVNULL
    subprocess.run(command, stdin=nothing, stdout=nothing, stderr=nothing, check=True)
    return time.perf_counter() - began


def lines(*command: str, mib: int) -> float:
    """How long a command takes, which goes on, to write so many MiB, once a line of input has asked for them."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
        left = mib << 20
        while left > 0:
            read = len(process.stdout.read1(1 << 20))  # type: ignore[attr-defined]
            assert read, "the output has ended early"
            left -= read
        taken = time.perf_counter() - began
        process.kill()
    return taken


def runs(cluster: Cluster, image: str) -> Callable[[], float]:
    """What `run --rm true` does, by kubectl with the same Pod."""
    record = Record("0" * 64, "same", 0.0, {"Image": image, "Cmd": ["true"]}, Image(config={"Env": ["PATH=/bin"]}), 1)
    options = PodOptions(namespace=cluster.namespace, tools_image="busybox:1")
    spec = pod(record, options, run=1)["spec"]

    def run() -> float:
        name = f"b{secrets.token_hex(4)}"
        own = json.dumps({"spec": {**spec, "containers": [{**spec["containers"][0], "name": name}]}})
        words = ("run", name, "--rm", "-i", "--restart=Never", f"--image={image}", f"--overrides={own}")
        return seconds(*kubectl(cluster), *words)

    return run


def kubectl(cluster: Cluster) -> tuple[str, ...]:
    """The beginning of its commands."""
    return "kubectl", "--kubeconfig", str(cluster.kubeconfig)


def prepare(host: str, image: str, mib: int, line: int) -> None:
    """Make the containers whose streams are measured: `box` has a file and logs, `talk` writes when it is told to.

    line: the bytes of each line that they write.
    """
    files = f"dd if=/dev/zero of=/big bs=1M count={mib} 2>/dev/null"
    text = f"yes {'x' * (line - 1)} | head -c {mib << 20}"
    program = f"{files}; {text}; touch /done; exec sleep 3600"
    docker(host, "run", "-d", "--name", "box", image, "sh", "-c", program, check=True)
    docker(host, "run", "-di", "--name", "talk", image, "sh", "-c", f"while read go; do {text}; done", check=True)
    there = ("exec", "box", "ls", "/done")
    wait_until(lambda: docker(host, *there).returncode == 0, "the files", seconds=300)


def of_docker(host: str, mib: int, copied: Path) -> dict[str, Callable[[], float]]:
    """The docker CLI's ways to move streams, by what is moved."""
    ours = ("docker", "-H", host)
    return {
        "logs": partial(seconds, *ours, "logs", "box"),
        "attach": partial(lines, *ours, "attach", "--sig-proxy=false", "talk", mib=mib),
        "exec, out": partial(seconds, *ours, "exec", "box", *_zeros(mib)),
        "cp, out": partial(seconds, *ours, "cp", "box:/big", str(copied)),
        "cp, in": partial(seconds, *ours, "cp", str(copied), "box:/tmp/in"),
    }


def of_kubectl(cluster: Cluster, mib: int, copied: Path) -> dict[str, Callable[[], float]]:
    """The same by kubectl."""
    ours = kubectl(cluster)
    listed = subprocess.run([*ours, "get", "pods", "-o", "name"], capture_output=True, text=True, check=True)
    pods = [name.partition("/")[2] for name in listed.stdout.split()]
    box, talk = (next(name for name in pods if name.startswith(f"{which}-")) for which in ("box", "talk"))
    return {
        "logs": partial(seconds, *ours, "logs", box, "-c", "main"),
        "attach": partial(lines, *ours, "attach", "-i", talk, "-c", "main", mib=mib),
        "exec, out": partial(seconds, *ours, "exec", box, "-c", "main", "--", *_zeros(mib)),
        "cp, out": partial(seconds, *ours, "cp", f"{box}:big", str(copied), "-c", "main"),
        "cp, in": partial(seconds, *ours, "cp", str(copied), f"{box}:tmp/in", "-c", "main"),
    }


def _zeros(mib: int) -> tuple[str, ...]:
    return "dd", "if=/dev/zero", "bs=1M", f"count={mib}"


def on_real_cluster(mib: int, rounds: int, line: int) -> None:
    """Measure runs and streams."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        fresh_namespace(shared(os.getpid()), "bench", Path(scratch)) as cluster,
        engine() as beside,
        swarmd(f"kubernetes --kubeconfig {cluster.kubeconfig} --tools-image busybox:1") as gateway,
    ):
        image = f"{cluster.registry()}/busybox:1"
        copied = Path(scratch) / "copied"
        hosts = {"swarmd": (gateway.host, image), "engine": (beside.host, "busybox")}
        ways = {
            way: partial(seconds, "docker", "-H", host, "run", "--rm", of, "true") for way, (host, of) in hosts.items()
        }
        found = in_turns({"kubectl": runs(cluster, image), **ways}, max(rounds, _RUNS))
        rows = [_row("run --rm true, s", found, "<", 1.15)]
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda each: prepare(*each, mib, line), hosts.values()))
        streams = {way: of_docker(host, mib, copied) for way, (host, _) in hosts.items()}
        streams = {"kubectl": of_kubectl(cluster, mib, copied), **streams}
        for what in streams["kubectl"]:
            found = in_turns({way: partial(_rate, mib, moves[what]) for way, moves in streams.items()}, rounds)
            rows.append(_row(f"{what}, MiB/s", found, ">=", 0.8))
        docker(gateway.host, "rm", "-f", "box", "talk", check=True)
    show(
        f"On a real cluster: {mib} MiB each, in lines of {line} bytes",
        ["", *_WAYS, "ratio", "goal", ""],
        rows,
    )


def _rate(mib: int, moves: Callable[[], float]) -> float:
    return mib / moves()


def _row(what: str, found: dict[str, float], goal: str, bound: float) -> Sequence[str]:
    """Return a row of the table, and print it as it is."""
    ratio = found["swarmd"] / found["kubectl"]
    met = "met" if (ratio < bound if goal == "<" else ratio >= bound) else "MISSED"
    row = (what, *(f"{found[way]:.2f}" for way in _WAYS), f"{ratio:.2f}", f"{goal} {bound}", met)
    print("  ".join(row), flush=True)
    return row


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
        worked = cpu_seconds(gateway.process.pid)
        listed = median([ask(gateway, "GET", "/containers/json?all=1") for _ in range(_LISTS)])
        worked = (cpu_seconds(gateway.process.pid) - worked) / _LISTS
    rows = [
        (f"ps of {containers} containers, ms", f"{listed * 1000:.1f}", "below 20"),
        ("processor time of that, ms", f"{worked * 1000:.1f}", ""),
        (f"{_AT_ONCE} creations at once, s", f"{at_once:.2f}", ""),
        (f"memory for {containers} containers, MiB", f"{memory:.1f}", ""),
    ]
    show("On a fake cluster", ["", "swarmd", "goal"], rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=256, help="how much each stream moves")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured; the median counts")
    parser.add_argument("--line", type=int, default=1024, help="bytes of each line of logs")
    parser.add_argument("--containers", type=int, default=1000, help="how many containers are listed")
    given = parser.parse_args()
    need("docker", "kubectl")
    began = time.perf_counter()
    on_fake_cluster(given.containers)
    try:
        on_real_cluster(given.mib, given.rounds, given.line)
    finally:
        end(os.getpid())
    print(f"It took {time.perf_counter() - began:.0f} s.")


if __name__ == "__main__":
    main()
