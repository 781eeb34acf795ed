"""`python -m swarmlib_backends.kubernetes.fakecluster`: the fake cluster, for a shell."""

from __future__ import annotations

import logging
import signal
import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Final

import click
import orjson
import trio

from swarmlib import Invalid, SwarmError
from swarmlib.errors import sole

from . import NEW, OLD, FakeCluster, Release, Rule, User, serving

_RELEASES: Final = {"1.20": OLD, "1.35": NEW}
_HELP: Final = """\
Run a fake Kubernetes cluster on this machine until Ctrl-C.

It answers as an apiserver does, with its errors, watches and rights, and its Pods run simulated programs: a shell and
what a busybox has. An image whose name begins with "nosuch" doesn't exist, and "bare" has no shell. It prints the
environment that points clients at it:

\b
  python -m swarmlib_backends.kubernetes.fakecluster --kubeconfig /tmp/fake.kubeconfig > /tmp/fake.env &
  . /tmp/fake.env
  swarmd 'dockerserver tcp://127.0.0.1:4243' kubernetes
"""


@click.command(help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=0, help="The port; by default any that is free.")
@click.option("--seed", default=0, show_default=True, help="Of all that is left to chance.")
@click.option("--release", type=click.Choice([*_RELEASES]), default="1.35", show_default=True, help="What it speaks.")
@click.option("--nodes", default=2, show_default=True, help="How many nodes it has.")
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="Where to write the kubeconfig.")
@click.option(
    "--role", type=click.Path(path_type=Path), help="A JSON file with a Role: all that the kubeconfig may do."
)
@click.option("--namespace", default="default", show_default=True, help="The namespace of the kubeconfig and the Role.")
@click.option("-v", "--verbose", is_flag=True, help="Show every request.")
def main(
    host: str,
    port: int,
    seed: int,
    release: str,
    nodes: int,
    kubeconfig: Path | None,
    role: Path | None,
    namespace: str,
    verbose: bool,
) -> None:
    """Run it."""
    logging.basicConfig(format="%(message)s", level=logging.INFO if verbose else logging.WARNING)
    chosen: Release = _RELEASES[release]
    start = partial(serving, host=host, port=port, seed=seed, release=chosen, nodes=nodes)
    try:
        trio.run(_run, start, kubeconfig, role, namespace)
    except Exception as exc:
        if isinstance(found := sole(exc), SwarmError):
            raise click.ClickException(found.message) from None
        raise


async def _run(
    start: Callable[[], AbstractAsyncContextManager[FakeCluster]],
    kubeconfig: Path | None,
    role: Path | None,
    namespace: str,
) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with start() as cluster:
            token = _limited(cluster, role, namespace) if role else ""
            _introduce(cluster, _written(cluster, kubeconfig, token, namespace))
            async for _ in signals:
                break


def _limited(cluster: FakeCluster, role: Path, namespace: str) -> str:
    """Return the token of an account that may do what a Role says."""
    try:
        rules = orjson.loads(role.read_bytes())["rules"]
        found = [
            Rule(each["resources"], each["verbs"], each["apiGroups"], each.get("resourceNames") or []) for each in rules
        ]
    except (OSError, ValueError, LookupError, TypeError) as exc:
        raise Invalid(f"can't read the Role in {role}: {exc}") from exc
    return cluster.add_user(User("limited", found, namespace))


def _written(cluster: FakeCluster, file: Path | None, token: str, namespace: str) -> Path:
    """Write a kubeconfig to a file, and return that; by default a new file, which stays."""
    if file is None:
        file = Path(tempfile.mkdtemp(prefix="fakecluster-")) / "kubeconfig"
    try:
        file.touch(0o600)
        file.write_bytes(orjson.dumps(cluster.kubeconfig(token, namespace)))
    except OSError as exc:
        raise Invalid(f"can't write {file}: {exc.strerror}") from exc
    return file


def _introduce(cluster: FakeCluster, kubeconfig: Path) -> None:
    click.echo(f"export KUBECONFIG={kubeconfig}")
    click.echo(f"fakecluster: serving on {cluster.url}; Ctrl-C ends it", err=True)


if __name__ == "__main__":
    main(prog_name="python -m swarmlib_backends.kubernetes.fakecluster")
