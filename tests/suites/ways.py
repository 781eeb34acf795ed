"""What a suite is run through: an engine itself, stages before engines, the simulator, and a cluster."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support import cluster
from tests.support.engines import Engine, docker, engine, swarmd

from .catalog import KUBERNETES

WAYS = ("engine", "docker", "balance", "simulator", KUBERNETES)
TENANT = "tenant"
"""As a tenant of an engine, who may do all that needs no grant."""
_TENANT = """
[clients.everybody]
users = [0]
[tenant.t]
clients = ["everybody"]
images = ["**"]
ports = "20000-29999"
"""
# The engines share a network, so their own subnets may neither meet each other's nor those that tests ask for.
_DISKS = 20
"""How many volumes can be mounted, over the whole run."""
_POOL = "--default-address-pool=base={},size=24"
_FIRST = ["--bip=10.200.0.1/24", _POOL.format("10.201.0.0/16")]
_SECOND = ["--bridge=second", _POOL.format("10.203.0.0/16")]


@contextmanager
def endpoint(way: str, mirror: str, preload: tuple[str, ...], folder: Path) -> Iterator[str]:
    """Give the address of a Docker endpoint with the images of `preload`; all its engines share this network."""
    address = f"unix://{folder}/swarm.sock"
    with ExitStack() as stack:
        engines = [] if way == "simulator" else [stack.enter_context(_engine(mirror, preload, *_FIRST))]
        if way == "balance":
            stack.enter_context(_bridge("second", "10.202.0.1/24"))
            engines.append(stack.enter_context(_engine(mirror, preload, *_SECOND)))
        if way == "engine":
            yield engines[0].host
            return
        chain = _chain(way, engines, folder)
        if way == KUBERNETES:
            chain = [_on_cluster(engines[0], mirror, folder, stack)]
        stack.enter_context(swarmd(*chain, listen=address))
        if way in ("simulator", KUBERNETES):
            _pull(address, preload)
        yield address


def _chain(way: str, engines: list[Engine], folder: Path) -> list[str]:
    """Return the stages before engines, or in their place."""
    if way == "simulator":
        return ["simulator"]
    if way == "balance":
        return [f"balance {' '.join(f'(docker {each.host})' for each in engines)}"]
    before = [f"tenant {folder}/tenants.toml"] if way == TENANT else []
    if before:
        (folder / "tenants.toml").write_text(_TENANT)
    return [*before, f"docker {engines[0].host}"]


def _on_cluster(builder: Engine, mirror: str, folder: Path, stack: ExitStack) -> str:
    """Start a cluster, and return the stage that serves a namespace of it, as much like an engine as can be had."""
    kubeconfig = stack.enter_context(cluster.running(folder / "c", "--nodes=1", f"--mirror={mirror}"))
    served = stack.enter_context(cluster.fresh_namespace(kubeconfig, "suite", folder))
    disks = stack.enter_context(served.disks(_DISKS))
    building = f"--builder (docker {builder.host}) --registry {served.registry()}/built --registry-mirror {mirror}"
    how = f"--keep --logs capture --binds copy --storage-class {disks} --tools-image busybox:1"
    return f"kubernetes --kubeconfig {served.kubeconfig} {how} {building}"


@contextmanager
def _engine(mirror: str, preload: tuple[str, ...], *extra: str) -> Iterator[Engine]:
    with engine([f"--registry-mirror=http://{mirror}", *extra], namespaces="-m") as running:
        docker(running.host, "rmi", "busybox:latest", check=True)  # it is not the mirror's, nor the other engine's
        _pull(running.host, preload)
        yield running


def _pull(host: str, images: tuple[str, ...]) -> None:
    for image in images:
        docker(host, "pull", image, check=True)


@contextmanager
def _bridge(name: str, address: str) -> Iterator[None]:
    for words in (f"link add {name} type bridge", f"address add {address} dev {name}", f"link set {name} up"):
        subprocess.run(["ip", *words.split()], check=True)
    yield
    subprocess.run(["ip", "link", "delete", name], check=True)
