"""The configuration file: what it can say, and how its mistakes are told."""

from pathlib import Path

import pytest

from swarmlib import Chain, Invalid
from swarmlib_backends.balance import Balance
from swarmlib_backends.configuration import Configuration
from swarmlib_backends.debug import Debug
from swarmlib_backends.docker import Docker
from swarmlib_backends.dockerserver import DockerServer
from swarmlib_backends.simulator import Simulator


def read(text: str) -> dict[str, Chain]:
    return dict(Configuration.parse(text, "swarm.toml").chains)


def test_stages_are_texts_or_tables() -> None:
    chains = read(
        """
        [chain.one]
        stages = ["dockerserver unix:///a.sock | debug --filter 'ls*'", { backend = "simulator", image = ["x", "y"] }]

        [[chain.two.stages]]
        backend = "dockerserver"
        addresses = ["unix:///b.sock", "tcp://127.0.0.1:1"]
        max-connections = 5

        [[chain.two.stages]]
        backend = "debug"
        json = true
        filter = "get*"

        [[chain.two.stages]]
        backend = "docker"
        timeout = 2.5
        """
    )
    assert [chain.name for chain in chains.values()] == ["one", "two"]
    source, debug, simulator = chains["one"].backends
    assert isinstance(source, DockerServer)
    assert isinstance(debug, Debug)
    assert debug.filter == ["ls*"]
    assert isinstance(simulator, Simulator)
    assert simulator.image == ["x", "y"]
    source, debug, docker = chains["two"].backends
    assert isinstance(source, DockerServer)
    assert (len(source.addresses), source.max_connections) == (2, 5)
    assert isinstance(debug, Debug)
    assert (debug.json, debug.filter) == (True, ["get*"])
    assert isinstance(docker, Docker)
    assert docker.timeout == 2.5


def test_a_member_is_a_text_a_list_of_stages_or_a_table() -> None:
    chain = read(
        """
        [chain.all]
        stages = [
            "dockerserver unix:///all.sock",
            { backend = "balance", members = [
                "a=docker unix:///a.sock",
                ["debug", { backend = "docker", address = "unix:///b.sock" }],
                { backend = "docker", address = "unix:///c.sock" },
                { name = "d", stages = ["balance (x=docker) (y=docker)"] },
            ] },
        ]
        """
    )["all"]
    balance = chain.backends[1]
    assert isinstance(balance, Balance)
    assert [Chain.read(each).name for each in balance.members] == [
        "a",
        "debug | docker unix:///b.sock",
        "docker unix:///c.sock",
        "d",
    ]


def test_environment_variables_are_filled_in_and_stay_one_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLDER", "/a b|c")
    monkeypatch.setenv("FLAG", "--json")
    chain = read(
        """
        [chain.all]
        stages = ["dockerserver unix://${FOLDER}/x.sock", { backend = "docker", address = "unix://${FOLDER}/y.sock" }]
        """
    )["all"]
    source, docker = chain.backends
    assert isinstance(source, DockerServer)
    assert str(source.addresses[0]) == "unix:///a b|c/x.sock"
    assert isinstance(docker, Docker)
    assert docker.address == "unix:///a b|c/y.sock"
    with pytest.raises(Invalid, match=r"unexpected argument .* of debug"):
        read('[chain.all]\nstages = ["dockerserver unix:///x", "debug ${FLAG}", "docker"]')


FRONT = 'stages = [\n    "dockerserver unix:///x.sock",\n    {}\n]'


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "there is no chain: expected a table [chain.NAME]"),
        ("[chain]\n[chian.a]", 2, "unknown key 'chian'; did you mean 'chain'?"),
        ("x = ", 1, "Invalid value"),
        ("[chain.a]\nstage = []", 2, "unknown key 'stage'; did you mean 'stages'?"),
        ("[chain.a]\n\nstages = 'debug'", 3, "stages must be a list of stages, such as"),
        ("[chain.a]\nstages = []", 2, "a chain requires stages"),
        ("[chain.a]\n" + FRONT.format("5"), 4, "invalid stage 5: expected a text, or a table with a backend"),
        ("[chain.a]\n" + FRONT.format("{ json = true }"), 4, 'a stage requires backend = "NAME"'),
        ("[chain.a]\n" + FRONT.format('"dokcer"'), 4, "unknown backend 'dokcer'; did you mean 'docker'?"),
        ("[chain.a]\n" + FRONT.format('{ backend = "dokcer" }'), 4, "unknown backend 'dokcer'"),
        ("[chain.a]\n" + FRONT.format('"docker --tiemout 1s"'), 4, "did you mean '--timeout'?"),
        ("[chain.a]\n" + FRONT.format('{ backend = "docker", tiemout = 1 }'), 4, "did you mean 'timeout'?"),
        ("[chain.a]\n" + FRONT.format('{ backend = "docker", timeout = [1] }'), 4, "takes one value, not a list"),
        ("[chain.a]\n" + FRONT.format('{ backend = "docker", address = {} }'), 4, "a chain requires stages"),
        ("[chain.a]\n" + FRONT.format('{ backend = "docker", address = true }'), 4, "address: invalid value True"),
        ("[chain.a]\n" + FRONT.format('"docker ${NOT_SET}"'), 4, "the environment variable NOT_SET is not set"),
        ("[chain.a]\nstages = ['docker']", 2, "the chain has no source"),
        ("[chain.a]\n" + FRONT.format('"debug"'), 4, "nothing answers behind debug"),
        ("[chain.a]\n" + FRONT.format('"docker",\n"docker"'), 4, "no request gets past docker"),
        ("[chain.a]\n" + FRONT.format('"debug",\n"listen unix:///y", "docker"'), 5, "listen is a source"),
        (
            "[chain.a]\n" + FRONT.format('{ backend = "balance", members = [\n"docker",\n["docker", "debug"]] }'),
            6,
            "no request gets past docker",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(Invalid) as raised:
        read(text)
    where, _, what = raised.value.message.partition(": ")
    assert where == f"swarm.toml:{line}", raised.value.message
    assert problem in what


def test_a_mistake_is_marked_with_a_caret() -> None:
    with pytest.raises(Invalid) as raised:
        read("[chain.a]\n" + FRONT.format('{ backend = "docker", tiemout = 1 }'))
    _, shown, caret = raised.value.message.splitlines()
    assert shown[caret.index("^") : len(caret)] == "tiemout"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"nosuch\.toml: No such file or directory"):
        Configuration.read_file(tmp_path / "nosuch.toml")
