"""`python -m swarmlib_backends.azure.fakearm`: the fake Azure, for a shell."""

from __future__ import annotations

import logging
import signal
import tempfile
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import trio

from swarmlib import Chain, Invalid, SwarmError
from swarmlib.errors import sole

from . import ARM, FakeArm, Region, serving

if TYPE_CHECKING:
    from .spec import Spec


_HELP: Final = """\
Run a fake Azure on this machine until Ctrl-C.

It answers Azure Resource Manager's calls for resource groups, networks, disks, virtual machines and container
groups as Azure does, with its errors, quotas and asynchronous operations, and gives out tokens as Entra does.
There is nothing behind its virtual machines; containers run on an engine, by default a simulated one. It prints
the environment that points the SDK's clients at it:

\b
  python -m swarmlib_backends.azure.fakearm --port 4443 --ca /tmp/fakearm.pem > /tmp/fakearm.env &
  . /tmp/fakearm.env

\b
A client in Python then finds it so (with $AZURE_RESOURCE_MANAGER as URL):
  ComputeManagementClient(DefaultAzureCredential(disable_instance_discovery=True),
      os.environ["AZURE_SUBSCRIPTION_ID"], base_url=URL, credential_scopes=[URL + "/.default"])

\b
A script of failures is a list of objects; "do" says what happens to the requests that fit:
  [{"do": "fail", "method": "PUT", "path": "*/virtualMachines/*", "code": "SkuNotAvailable", "after": 1},
   {"do": "fail-later", "path": "*/start", "code": "AllocationFailed", "times": 2},
   {"do": "fail", "code": "TooManyRequests", "retry_after": 5, "rate": 0.05, "times": 0},
   {"do": "slow", "method": "DELETE", "seconds": 30}, {"do": "hang-halfway", "method": "GET", "after": 10}]
It may be fail, fail-later (the operation fails), hang, hang-halfway (in the answer), hang-later (the operation
never ends), cut, cut-halfway, or slow. "after" lets so many pass first, "times" is how often (0: for ever).
"""


@click.command(help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=0, help="The port; by default any that is free.")
@click.option("--seed", default=0, show_default=True, help="Of all that is left to chance: ids, durations, rates.")
@click.option("--seconds", default=2.0, show_default=True, help="How long an operation on a virtual machine takes.")
@click.option("--cores", default=100, show_default=True, help="The quota of cores in each region.")
@click.option("--room", default=float("inf"), help="The cores that each region has room for: AllocationFailed beyond.")
@click.option("--withhold", "withheld", multiple=True, help="A size that no region has for you: SkuNotAvailable.")
@click.option("--throttle", is_flag=True, help="Throttle as ARM does: 250 reads at once, then 25 a second, and so on.")
@click.option("--unregistered", is_flag=True, help="Microsoft.Compute and .Network must be registered first.")
@click.option("--engine", metavar="CHAIN", help="What runs container groups, such as 'docker'; by default a simulator.")
@click.option("--faults", type=click.Path(path_type=Path), help="A JSON file with a script of failures; see below.")
@click.option("--spec", type=click.Path(path_type=Path), help="Microsoft's OpenAPI documents, to validate by.")
@click.option("--ca", type=click.Path(path_type=Path), help="Where to write the authority's certificate.")
@click.option("-v", "--verbose", is_flag=True, help="Show every request.")
def main(
    host: str,
    port: int,
    seed: int,
    seconds: float,
    cores: int,
    room: float,
    withheld: tuple[str, ...],
    throttle: bool,
    unregistered: bool,
    engine: str | None,
    faults: Path | None,
    spec: Path | None,
    ca: Path | None,
    verbose: bool,
) -> None:
    """Run it."""
    logging.basicConfig(format="%(message)s", level=logging.INFO if verbose else logging.WARNING)
    start = partial(serving, host=host, port=port, seed=seed, seconds=seconds, poll_seconds=1)
    behave = partial(start, registered=not unregistered, limits=ARM if throttle else {})
    region = partial(Region, cores=cores, room=room, withheld=set(withheld))
    with _reporting():
        trio.run(_run, partial(behave, spec=_spec(spec), engine=_chain(engine)), region, faults, ca)


@contextmanager
def _reporting() -> Generator[None]:
    """End the command with what has failed, in its own words; a bug is raised as it is."""
    try:
        yield
    except Exception as exc:
        if isinstance(found := sole(exc), SwarmError):
            raise click.ClickException(found.message) from None
        raise


def _chain(text: str | None) -> Chain | None:
    return Chain.read(text) if text else None


def _spec(folder: Path | None) -> Spec | None:
    if folder is None:
        return None
    from .spec import Spec  # jsonschema is only needed here

    return Spec(folder)


async def _run(
    start: Callable[[], AbstractAsyncContextManager[FakeArm]],
    region: Callable[[str], Region],
    faults: Path | None,
    ca: Path | None,
) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with start() as arm:
            arm.state.regions = {name: region(name) for name in arm.state.regions}
            if faults is not None:
                arm.faults.read(faults)
            _introduce(arm, _written(arm.ca, ca))
            async for _ in signals:
                break


def _written(certificate: bytes, file: Path | None) -> Path:
    """Write the authority's certificate to a file, and return that; by default a new file, which stays."""
    if file is None:
        file = Path(tempfile.mkdtemp(prefix="fakearm-")) / "ca.pem"
    try:
        file.write_bytes(certificate)
    except OSError as exc:
        raise Invalid(f"can't write {file}: {exc.strerror}") from exc
    return file


def _introduce(arm: FakeArm, ca: Path) -> None:
    variables = arm.environment() | {"SSL_CERT_FILE": str(ca), "REQUESTS_CA_BUNDLE": str(ca)}
    for name, value in variables.items():
        click.echo(f"export {name}={value}")
    click.echo(f"fakearm: serving on {arm.url}; Ctrl-C ends it", err=True)


if __name__ == "__main__":
    main(prog_name="python -m swarmlib_backends.azure.fakearm")
