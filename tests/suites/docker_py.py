"""docker-py's own integration tests against a chain, with counts: `python -m tests.suites.docker_py 'simulator'`.

The tests are those of the last release whose sdist has them; the library is a newer one. Both come from PyPI, into a
cache folder, with an environment of their own. `--host` takes an engine that is running in place of a chain.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from tests.engines import swarmd

TESTS = "docker==7.0.0"
LIBRARY = ["docker==7.2.0", "pytest==8.4.2", "pytest-timeout", "paramiko", "websocket-client"]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "swarmlib-suites/docker-py"
TEST_SECONDS = 30
NO_ENGINE = ["context_api_test.py", "credentials"]
"""What tests no engine: contexts (whose tests take DOCKER_HOST from the tests after them) and credential stores."""
REFUSED = "501 Server Error"


def environment(cache: Path) -> Path:
    """The Python that has the library; made when it is first asked for."""
    python = cache / "env/bin/python"
    if not python.exists():
        venv.create(cache / "env", with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *LIBRARY], check=True)
    return python


def suite(cache: Path, python: Path) -> Path:
    """The folder that holds the suite; fetched when it is first asked for."""
    if not (cache / "tests").exists():
        pip = [python, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", cache, TESTS]
        subprocess.run(pip, check=True)
        with tarfile.open(next(cache.glob("docker-*.tar.gz"))) as sdist:
            for member in sdist.getmembers():
                _, _, member.name = member.name.partition("/")
                if member.name.startswith("tests/"):  # the library beside them is not the one to be used
                    sdist.extract(member, cache, filter="data")
    return cache


def run(host: str, chosen: Sequence[str], cache: Path = CACHE) -> dict[str, tuple[str, str]]:
    """Run the suite, or the tests of it that pytest's arguments choose; what came of each, and why, by its name."""
    cache.mkdir(parents=True, exist_ok=True)
    python = environment(cache)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        options = ["-p", "no:cacheprovider", "-q", "--tb=short", f"--timeout={TEST_SECONDS}", f"--junit-xml={report}"]
        own = {"DOCKER_HOST": host, "DOCKER_TEST_API_VERSION": "1.41", "HOME": folder, "DOCKER_CONFIG": folder}
        options += [f"--ignore=tests/integration/{each}" for each in NO_ENGINE]
        where = chosen or ["tests/integration"]
        subprocess.run([python, "-m", "pytest", *options, *where], cwd=suite(cache, python), env=os.environ | own)
        return dict(map(outcome, ElementTree.parse(report).iter("testcase")))


def outcome(case: ElementTree.Element) -> tuple[str, tuple[str, str]]:
    """A test's name, and what came of it: passed, skipped, failed, or refused (Unsupported, by the engine's 501)."""
    name = f"{case.get('classname', '').rpartition('.')[2]}.{case.get('name')}"
    for child in case:
        if child.tag in ("failure", "error"):
            text = f"{child.get('message')}\n{child.text}"
            return name, ("refused" if REFUSED in text else "failed", child.get("message") or "")
        if child.tag == "skipped":
            return name, ("skipped", child.get("message") or "")
    return name, ("passed", "")


@contextmanager
def serving(chain: str) -> Iterator[str]:
    """Serve a chain on a unix socket; gives its address."""
    with tempfile.TemporaryDirectory() as folder:
        host = f"unix://{folder}/docker.sock"
        with swarmd(*chain.split("|"), listen=host):
            yield host


def main() -> int:
    """Run it, and print what did not pass and the counts. Exits with 1 if any test failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chain", nargs="?", default="simulator")
    parser.add_argument("--host", help="the address of an engine, in place of a chain")
    arguments, chosen = parser.parse_known_args()
    if arguments.host:
        results = run(arguments.host, chosen)
    else:
        with serving(arguments.chain) as host:
            results = run(host, chosen)
    for name, (what, why) in sorted(results.items()):
        if what != "passed":
            print(f"{what:8} {name}: {why.splitlines()[0][:200] if why else ''}")
    counts = Counter(what for what, _ in results.values())
    print(", ".join(f"{count} {what}" for what, count in sorted(counts.items())), f"of {len(results)}")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
