"""Runs suites of other people, each in the ways asked for, and prints how many of its tests passed.

It needs root and the packages of `.ci/setup`, and network access to PyPI, npm or Debian for a suite that is not in its
folder yet. The suites themselves run in a network of their own, with a registry in place of the Docker Hub.
"""

import os
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click

from tests.support.engines import docker

from .catalog import Suite, suites
from .images import Mirror
from .outcomes import Outcome, load, read_results, save
from .page import PAGE, page
from .ways import TENANT, WAYS, endpoint

_FOLDER = Path(tempfile.gettempdir()) / "swarmlib-suites"
_OWN_NETWORK = ("unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", sys.executable, "-m", "tests.suites")
_INSIDE = "SWARMLIB_SUITES_INSIDE"


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice(sorted(suites())))
@click.option("--through", "ways", multiple=True, type=click.Choice((*WAYS, TENANT)), default=WAYS, help="A way.")
@click.option("--folder", type=click.Path(path_type=Path), default=_FOLDER, help="Where suites are kept.")
@click.option("--record", is_flag=True, help="Keep what came of it in the data, and write docs/compatibility.md.")
def main(names: tuple[str, ...], ways: tuple[str, ...], folder: Path, record: bool) -> None:
    if names and _INSIDE not in os.environ:
        for name in names:
            prepare(suites()[name], folder / name)
        os.execvpe("unshare", [*_OWN_NETWORK, *sys.argv[1:]], {**os.environ, _INSIDE: "1"})
    for name in names:
        for way in ways:
            outcome = run(suites()[name], way, folder)
            click.echo(f"{name} through {way}: passed {outcome.passed}, failed {len(outcome.failed)}")
            if record:
                save(outcome)
    if record:
        PAGE.write_text(page(load()), "utf-8")


def prepare(suite: Suite, folder: Path) -> None:
    """Get a suite, if it isn't there yet."""
    done = folder / "prepared"
    if done.exists() and done.read_text() == suite.prepare:
        return
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "SUITES": str(Path(__file__).parent)}
    subprocess.run(["sh", "-euc", suite.prepare], cwd=folder, env=environment, check=True)
    done.write_text(suite.prepare)


def run(suite: Suite, way: str, folder: Path) -> Outcome:
    """Run a suite one way; its output goes to a file beside it."""
    home = folder / suite.name
    results = home / f"results-{way}"
    results.unlink(missing_ok=True)
    mirror = Mirror(folder / "images")
    with mirror.serving(), tempfile.TemporaryDirectory() as scratch, (home / f"log-{way}").open("wb") as log:
        mirror.provide(suite.images)
        (Path(scratch) / ".docker").mkdir()
        (Path(scratch) / ".docker/config.json").write_text(
            "{}"
        )  # without it, the Docker SDK keeps contexts in the suite's folder
        with endpoint(way, mirror.address, suite.preload, Path(scratch)) as host:
            version = docker(host, "version", "--format", "{{.Server.Version}}", check=True).stdout.decode().strip()
            environment = {**os.environ, "DOCKER_HOST": host, "HOME": scratch, "RESULTS": str(results)}
            command = ["sh", "-euc", suite.run]
            subprocess.run(command, cwd=home, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
    came = read_results(suite.results, results)
    today = datetime.now(UTC).date().isoformat()
    return Outcome.of(came, suite=suite.name, version=suite.version, way=way, engine=version, date=today)


# A shell's background jobs ignore these two, and so would the suites' programs, which are ended by them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# Whoever ends this ends its engines, too.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
main()
