"""Chains made of Python objects, mixed with text: a backend's declaration reads the calls too."""

import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from swarmlib import Backend, Chain, ChainSyntaxError, Filter, Invalid, NotFound, Request, argument, connect, option
from swarmlib_backends import Balance, Debug, Docker, DockerServer, Exec
from tests.support.paths import ROOT


@dataclass
class Sample(Filter):
    """One of each kind."""

    target: str = argument("where to")
    inner: Chain | None = argument("a chain", default=None)
    words: list[str] = argument("words", default=[])
    count: int = option("how many", default=1)
    wait: float | None = option("seconds", default=None)
    quiet: bool = option("say nothing", default=False)
    plain: dict[str, int] = field(default_factory=dict[str, int])
    """Not declared: for programs only."""


async def test_a_chain_of_objects_and_texts_works() -> None:
    chain = Chain(Debug(), Balance([Exec(), "b=debug | exec", Chain("exec", label="c")], strategy="spread"))
    assert repr(chain) == "<Chain debug | balance>"
    assert [member.name for member in chain.backends[1].members] == ["exec", "b", "c"]  # type: ignore[attr-defined]
    async with connect(chain) as swarm:
        finished = await swarm.run("any", ["echo", "hello"], env={"constraint:node=": "b"})
        assert (finished.text, finished.exit_code) == ("hello\n", 0)


@pytest.mark.parametrize(
    "made",
    [
        Chain(Debug(), Exec()),
        Chain("debug", Exec()),
        Chain(Debug(), "exec"),
        Chain("debug | exec"),
        Chain(Chain("debug"), Chain(Exec())),
        Chain.read([Debug(), {"backend": "exec"}]),
    ],
    ids=["objects", "text first", "text last", "one text", "chains", "tables"],
)
def test_a_chain_is_the_same_however_it_is_made(made: Chain) -> None:
    assert made.name == "debug | exec"
    assert [type(backend) for backend in made.backends] == [Debug, Exec]


def test_a_label_is_shown_and_names_the_chain() -> None:
    chain = Chain("debug", Docker("unix:///a.sock"), label="a")
    assert (chain.name, repr(chain)) == ("a", "<Chain a=debug | docker unix:///a.sock>")


def test_arguments_are_given_as_to_any_dataclass() -> None:
    assert Sample("here", None, ["a", "b"], count=2).count == 2
    assert Sample(target="here", words=("a", "b")).words == ["a", "b"]  # type: ignore[arg-type]
    members = Balance([Docker("unix:///a.sock"), "exec", Chain("debug")]).members
    assert [Chain.read(member).name for member in members] == ["docker unix:///a.sock", "exec", "debug"]
    assert [type(member) for member in members] == [Chain] * 3


def test_values_are_read_by_their_declaration() -> None:
    made = Sample("here", Exec(), wait=3, plain={"a": 1})  # type: ignore[arg-type]
    assert isinstance(made.inner, Chain)
    assert (made.inner.name, made.wait, made.quiet, made.plain) == ("exec", 3.0, False, {"a": 1})
    inner = Chain("exec")
    assert Sample("here", inner).inner is inner
    assert Sample("here", wait=None).wait is None


@pytest.mark.parametrize(
    ("make", "kind", "problem"),
    [
        (lambda: Balance(["nosuch x", Exec()]), Invalid, "Balance: members: unknown backend 'nosuch'"),
        (
            lambda: Balance([7]),  # type: ignore[list-item]
            Invalid,
            "Balance: members: invalid chain 7: expected backends, chains or text",
        ),
        (
            lambda: Balance([Exec()], strategy="quick"),
            Invalid,
            "Balance: strategy: invalid value 'quick': expected one of spread",
        ),
        (lambda: Balance(members="exec"), Invalid, "Balance: members: invalid value 'exec': expected a list"),
        (lambda: Balance(), Invalid, "MEMBER or --watch-file is required"),
        (
            lambda: Docker(timeout="soon"),
            Invalid,
            "Docker: timeout: invalid value 'soon': expected a number with a unit",
        ),
        (lambda: Docker(None), Invalid, "Docker: address: invalid value None: expected text"),
        (lambda: Sample("here", quiet="yes"), Invalid, "Sample: quiet: invalid value 'yes': expected true or false"),
        (lambda: Sample("here", count=None), Invalid, "Sample: count: invalid value None: expected an integer"),
        (lambda: Debug(nosuch=1), TypeError, "unexpected keyword argument 'nosuch'"),
        (lambda: Docker("a", "b", "c", 1, 2), TypeError, "takes from 1 to 5 positional arguments but 6 were given"),
        (lambda: Docker("a", address="b"), TypeError, "multiple values for argument 'address'"),
        (lambda: DockerServer(), TypeError, "missing 1 required positional argument: 'addresses'"),
        (lambda: Chain(), Invalid, "a chain needs at least one backend"),
        (lambda: Chain(Exec), Invalid, "invalid chain <class"),
        (lambda: Chain("debug | nosuch"), ChainSyntaxError, "unknown backend 'nosuch'"),
    ],
)
def test_a_call_that_makes_no_sense_says_what_is_wrong(make: Any, kind: type[Exception], problem: str) -> None:
    with pytest.raises(kind) as raised:
        make()
    assert problem in str(raised.value)


def test_a_backend_declares_all_that_it_is_made_with() -> None:
    with pytest.raises(TypeError, match="Own must declare its arguments as fields of a dataclass"):

        class Own(Filter):
            def __init__(self, name: str) -> None:
                self.title = name

    with pytest.raises(TypeError, match="abstract"):
        Backend()  # type: ignore[abstract]


async def test_two_openings_of_a_backend_share_nothing_but_its_arguments() -> None:
    @dataclass
    class Counts(Filter):
        seen: list[int]
        """Given by who made it, and so the same for all."""
        count: int = field(default=0, init=False)

        async def send(self, request: Request) -> None:
            self.count += 1
            self.seen.append(self.count)
            await request.reply.ack()

    backend = Counts([])
    async with connect(backend) as first, connect(backend) as second:
        for swarm in (first, first, second):
            await swarm.start("x")
    assert (backend.seen, backend.count) == ([1, 2, 1], 0)


async def test_a_chain_of_objects_can_be_opened_by_connect_alone() -> None:
    async with connect(Debug(), "exec") as swarm:
        with pytest.raises(NotFound):
            await swarm.get("containers", "nosuch")


PROGRAM = """
import swarmlib
from swarmlib import Chain, Finished, WorkloadSummary
from swarmlib_backends import Balance, Debug, Docker, Exec


async def main() -> None:
    chain = Chain(Debug(), "debug", Balance([Docker("unix:///a.sock"), Exec(), "b=exec"], strategy="spread"))
    async with swarmlib.connect(chain) as swarm:
        found: list[WorkloadSummary] = await swarm.ls(all=True, filters={"label": "a=b"})
        names: list[str] = [each.name for each in found]
        tags: list[str] = [tag for image in await swarm.ls("images") for tag in image.tags]
        done: Finished = await swarm.run("busybox", ["true"])
        web = await swarm.spawn({"Image": "busybox"}, name="web")
        code: int = await web.wait()
        async with swarm.watch() as events:
            async for event in events:
                action: str = event.action
                print(action, names, tags, done.text, code)
        async with swarm.attach("web") as attached:
            async for line in attached.lines():
                print(line.text, attached.state.exit_code)
"""

MISTAKES = """
import swarmlib
from swarmlib_backends import Balance, Nosuch

swarmlib.nosuch
Balance(strategy="quick")
Balance([7])
Nosuch()
asked = swarmlib.Request(swarmlib.Verb.LS, parms={})
asked.replace(boddy=None)
asked.args
swarmlib.Ack(valeu=None)
swarmlib.Ack().replace(stram=None)
swarmlib.Set().stream
"""


@pytest.mark.engine
@pytest.mark.parametrize(
    "checker", ["mypy --strict", f"pyright --pythonpath {sys.executable}"], ids=["mypy", "pyright"]
)
def test_a_programs_mistakes_are_found_by_their_types_and_nothing_else(checker: str, tmp_path: Path) -> None:
    (tmp_path / "right.py").write_text(PROGRAM)
    (tmp_path / "wrong.py").write_text(MISTAKES)
    run = [sys.executable, "-m", *checker.split(), str(tmp_path / "right.py"), str(tmp_path / "wrong.py")]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=100)  # there is mypy's cache
    found = {(file, int(line)) for file, line in re.findall(r"(\w+\.py):(\d+):.*\berror:", done.stdout)}
    assert found == {("wrong.py", number) for number in (3, 5, 6, 7, *range(9, 15))}, done.stdout
