"""The README and the guides of first steps are followed as a reader does, section by section, on real engines."""

import shlex
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from functools import reduce
from pathlib import Path

import pytest
import trio

from swarmlib_backends.azure import fakearm
from tests.support.azure.backend import lead
from tests.support.engines import Engine, docker
from tests.support.guides import Reader, blocks, commands, guide, sections
from tests.support.paths import ROOT
from tests.support.processes import served
from tests.support.sshd import sshd

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("empty_engines")]

GUIDES = ["README.md", *(f"docs/{name}.md" for name in ("balance", "machines", "quickstart", "recipes", "stages"))]
PLACES = ["/run/docker.sock", "/run/a.sock", "/run/b.sock"]
ENVIRONMENT = "sh .ci/env && "
TESTS = "sh .ci/test"
FOLLOWED = [
    pytest.param(body, id=f"{Path(name).stem}: {heading}")
    for name in GUIDES
    for heading, body in {"": guide(name).partition("\n## ")[0], **sections(guide(name))}.items()
    if blocks(body, "sh")
]


@pytest.fixture(scope="module")
def follow(engines: tuple[Engine, Engine], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], None]:
    """Has a reader follow a text, in a folder that has the environment of a clone, on a machine with two engines.

    That machine is also the `server` that some texts log in to.
    """
    sockets = [engines[0].socket, engines[0].socket, engines[1].socket]

    def followed(text: str) -> None:
        folder, server = (tmp_path_factory.mktemp(name) for name in ("reader", "server"))
        (folder / ".venv").symlink_to(ROOT / ".venv")
        places = dict(zip(PLACES, sockets, strict=True))
        with ExitStack() as stack:
            somebody = stack.enter_context(Reader(folder, places, ["server"], [server / "bin"]))
            if "ssh://root@server" in text:
                stack.enter_context(sshd(server, "server", somebody.prefix))
            somebody.follow(text)

    return followed


@pytest.mark.parametrize("text", FOLLOWED)
def test_a_section_does_what_it_says(text: str, follow: Callable[[str], None]) -> None:
    follow(text.replace(ENVIRONMENT, "").replace(f"{TESTS}\n", ""))


def test_the_set_up_commands_are_what_ci_runs() -> None:
    made, tested = (each for each in _commands() if each.startswith("sh "))
    assert made.startswith(ENVIRONMENT)
    assert tested == TESTS
    assert f"exec {TESTS}" in (ROOT / ".ci" / "run").read_text()
    subprocess.run(ENVIRONMENT.removesuffix("&& "), shell=True, cwd=ROOT, check=True, timeout=600)


async def test_the_chain_that_spills_over_to_azure(
    engines: tuple[Engine, Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = next(
        each for block in blocks(guide("docs/azure.md"), "sh") for each in commands(block.text) if "(azure" in each
    )
    socket = f"unix://{tmp_path}/swarm.sock"
    _, *stages = shlex.split(chain)
    places = {"unix:///run/swarm.sock": socket, "unix:///var/run/docker.sock": engines[0].host}
    stages = [reduce(lambda text, place: text.replace(*place), places.items(), stage) for stage in stages]

    def listed() -> bytes:
        with served(*stages):
            return docker(socket, "info", "-f", "{{range .DriverStatus}}{{.}}{{end}}", check=True).stdout

    async with fakearm.serving() as arm:
        lead(arm, tmp_path, monkeypatch)
        assert b"azure" in await trio.to_thread.run_sync(listed)


def test_the_readme_is_short() -> None:
    assert len(guide("README.md").splitlines()) <= 150


def _commands() -> list[str]:
    return [each for block in blocks(guide("README.md"), "sh") for each in commands(block.text)]
