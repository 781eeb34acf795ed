"""A real Kubernetes cluster for tests: Debian's version 1.20.2 on this machine, or the one of SWARMLIB_TEST_CLUSTER.

`build.sh` makes its programs out of Debian's source package, once; `python -m tests.support.cluster` starts it. The
fixture `cluster` (tests/conftest.py) gives a module's tests a fresh namespace in it.
"""

import fcntl
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.support.cluster.api import Api
from tests.support.engines import wait_until

SPARE = "spare"
"""The node that tests may harm, and its taint."""
IMAGES = ("busybox:1", "bare:1")
"""The images on all nodes and in both registries; the second one has neither a shell nor tar."""
_START_SECONDS, _END_SECONDS = 400, 60
_started: list[subprocess.Popen[bytes]] = []
"""The cluster that this process has started, and that may outlive it: another one ends it."""


@dataclass(frozen=True)
class Cluster:
    """A cluster, and a namespace in it that is the test module's own.

    kubeconfig: an administrator's, with this namespace. folder: the cluster's, where the tests have started it.
    """

    kubeconfig: Path
    namespace: str
    folder: Path

    @property
    def api(self) -> Api:
        """The API, for what a test prepares or looks at."""
        return Api(self.kubeconfig)

    def registry(self, *, private: bool = False) -> str:
        """The host and port of a registry with IMAGES; the private one wants the user of tests.support.registries."""
        found: str = json.loads((self.folder / "registries.json").read_text())["private" if private else "open"]
        return found

    @property
    def without_rights(self) -> Path:
        """The kubeconfig of the user `nobody`, who has no rights but those that a test gives."""
        return self.folder / "nobody-outside.kubeconfig"

    @contextmanager
    def disks(self, count: int) -> Iterator[str]:
        """The storage class of this many volumes that claims of the namespace may bind to; they end with the context.

        They are folders of this machine, which all nodes have.
        """
        folder = self.folder / "disks" / self.namespace
        names = [f"{self.namespace}-{number}" for number in range(count)]
        for name in names:
            (folder / name).mkdir(parents=True)
            self.api.value("POST", "/api/v1/persistentvolumes", _disk(name, self.namespace, folder / name))
        try:
            yield self.namespace
        finally:
            for name in names:
                self.api.value("DELETE", f"/api/v1/persistentvolumes/{name}")
            shutil.rmtree(folder)

    def compact(self) -> None:
        """Let etcd forget all versions of objects but the present ones."""
        self._order("compact")

    @contextmanager
    def frozen_kubelet(self) -> Iterator[None]:
        """The spare node's kubelet does nothing in this context."""
        with self._spare_node():
            self._order("freeze", SPARE)
            try:
                yield
            finally:
                self._order("thaw", SPARE)

    @contextmanager
    def crashed_node(self) -> Iterator[None]:
        """The spare node is gone in this context, and comes back without what ran on it."""
        with self._spare_node():
            self._order("kill", SPARE)
            try:
                yield
            finally:
                self._order("start", SPARE)

    @contextmanager
    def _spare_node(self) -> Iterator[None]:
        """Have the spare node to itself in this context, in good health: tests beside this one may harm it, too."""
        with (self.folder / "spare.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            wait_until(self._spare_is_ready, "the node that tests may harm")
            yield

    def _spare_is_ready(self) -> bool:
        """Whether Pods come to the spare node: a kubelet that starts says first that it isn't ready."""
        node = self.api.value("GET", f"/api/v1/nodes/{SPARE}")
        ready = any((each["type"], each["status"]) == ("Ready", "True") for each in node["status"]["conditions"])
        return ready and [each["key"] for each in node["spec"]["taints"]] == [SPARE]

    def _order(self, *words: str) -> None:
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.folder / "control"))
            control.sendall(json.dumps(words).encode() + b"\n")
            with control.makefile() as lines:
                answer = lines.read()
        assert answer == "done", answer


def _disk(name: str, storage_class: str, folder: Path) -> dict[str, object]:
    """A PersistentVolume that is a folder. The controllers would need a provisioner to use it again, or remove it."""
    return {
        "metadata": {"name": name},
        "spec": {
            "storageClassName": storage_class,
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(folder)},
        },
    }


def build() -> Path:
    """Build the cluster's programs, unless they are in the cache, and return their folder."""
    built = subprocess.run(["sh", Path(__file__).parent / "build.sh"], stdout=subprocess.PIPE, check=True, text=True)
    return Path(built.stdout.strip())


def shared(owner: int) -> Path:
    """The kubeconfig of the cluster that all processes of a test run share; it ends with `owner`."""
    if given := os.environ.get("SWARMLIB_TEST_CLUSTER"):
        return Path(given)
    folder = _folder(owner)
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "kubeconfig").exists():
            _start(folder, owner)
    return folder / "kubeconfig"


def _folder(owner: int) -> Path:
    return Path(f"/tmp/cluster-{owner}")


def _start(folder: Path, owner: int) -> None:
    started = _launch(folder, f"--owner={owner}")
    _started.append(started)
    (folder / "pid").write_text(str(started.pid))
    _wait(folder, started)


def _launch(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    build()  # it may take longer than the cluster is waited for
    command = [sys.executable, "-m", "tests.support.cluster", folder, *options]
    with (folder / "log.txt").open("wb") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def _wait(folder: Path, started: subprocess.Popen[bytes]) -> None:
    try:
        wait_until((folder / "kubeconfig").exists, "the cluster", started, _START_SECONDS)
    except (RuntimeError, TimeoutError) as exc:
        raise RuntimeError(f"{exc}: {(folder / 'log.txt').read_text()}") from exc


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Path]:
    """A cluster for this context alone; gives its kubeconfig. options: of `python -m tests.support.cluster`."""
    folder.mkdir()
    started = _launch(folder, *options)
    try:
        _wait(folder, started)
        yield folder / "kubeconfig"
    finally:
        started.terminate()
        started.wait(_END_SECONDS)


def end(owner: int) -> None:
    """End the cluster that was started for a test run, if there is one, and wait until it is gone."""
    try:
        pid = int((_folder(owner) / "pid").read_text())
        process = os.pidfd_open(pid)
    except (FileNotFoundError, ProcessLookupError):
        return
    os.kill(pid, signal.SIGTERM)
    select.select([process], [], [], _END_SECONDS)
    os.close(process)


@contextmanager
def fresh_namespace(kubeconfig: Path, prefix: str, work: Path) -> Iterator[Cluster]:
    """A namespace that is deleted with the context. `work` is a folder for the kubeconfig that names it."""
    api, name = Api(kubeconfig), f"{prefix[:40].replace('_', '-')}-{secrets.token_hex(4)}"
    api.value("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    # Pods can be made once the controllers have given it an account.
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    wait_until(lambda: api.ask("GET", account)[0] == 200, f"the account of {name}")
    config = yaml.safe_load(kubeconfig.read_text())
    for context in config["contexts"]:
        context["context"]["namespace"] = name
    own = work / "kubeconfig"
    own.write_text(json.dumps(config))  # YAML holds JSON
    try:
        yield Cluster(own, name, kubeconfig.parent)
    finally:
        api.value("DELETE", f"/api/v1/namespaces/{name}")
