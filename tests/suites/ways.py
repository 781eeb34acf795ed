"""The three ways to an engine that a suite is run through: the engine itself, `docker`, and `balance` of two."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.engines import Engine, docker, engine, swarmd

WAYS = ("engine", "docker", "balance")
_SECOND = ["--bridge=second", "--default-address-pool=base=10.201.0.0/16,size=24"]


@contextmanager
def endpoint(way: str, mirror: str, preload: tuple[str, ...], folder: Path) -> Iterator[str]:
    """Give the address of a Docker endpoint with the images of `preload`; all its engines share this network."""
    with ExitStack() as stack:
        engines = [stack.enter_context(_engine(mirror, preload))]
        if way == "balance":
            _make_bridge("second", "10.200.0.1/16")
            engines.append(stack.enter_context(_engine(mirror, preload, *_SECOND)))
        if way == "engine":
            yield engines[0].host
            return
        address = f"unix://{folder}/swarm.sock"
        members = " ".join(f"(docker {each.host})" for each in engines)
        chain = f"docker {engines[0].host}" if way == "docker" else f"balance {members}"
        stack.enter_context(swarmd(chain, listen=address))
        yield address


@contextmanager
def _engine(mirror: str, preload: tuple[str, ...], *extra: str) -> Iterator[Engine]:
    with engine([f"--registry-mirror=http://{mirror}", *extra], namespaces="-m") as running:
        docker(running.host, "rmi", "busybox:latest", check=True)  # it is not the mirror's, nor the other engine's
        for image in preload:
            docker(running.host, "pull", image, check=True)
        yield running


def _make_bridge(name: str, address: str) -> None:
    for words in (f"link add {name} type bridge", f"address add {address} dev {name}", f"link set {name} up"):
        subprocess.run(["ip", *words.split()], check=True)
