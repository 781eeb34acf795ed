"""Isolation asked for by label or by the Engine API's own words: on real engines, one of which has gVisor's runsc."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from swarmlib import Invalid, Unavailable, Unsupported, connect
from swarmlib_backends.dockerapi.isolation import offered, translated
from tests.backends.balance.test_placement import over, place
from tests.support import simulated
from tests.support.engines import Engine, docker, engine, swarmd

RUNSC = "swarmlib.isolation=runsc"
LABELLED: dict[str, Any] = {"Labels": {"swarmlib.isolation": "runsc"}}
BOTH: dict[str, Any] = {"Runtimes": {"runsc": {}, "runc": {}}}


@pytest.fixture(scope="module")
def sandboxed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that has runsc too."""
    path = shutil.which("runsc")
    assert path is not None, "these tests need runsc: install it as .ci/setup does"
    options = ["--platform=ptrace", "--network=host", "--ignore-cgroups"]
    file: Path = tmp_path_factory.mktemp("daemon") / "daemon.json"
    file.write_text(json.dumps({"runtimes": {"runsc": {"path": path, "runtimeArgs": options}}}))
    with engine([f"--config-file={file}"]) as started:
        yield started


@pytest.mark.engine
def test_an_engine_isolates_as_the_label_demands_and_one_that_cannot_says_what_it_has(
    sandboxed: Engine, engines: tuple[Engine, Engine]
) -> None:
    with swarmd(f"docker {sandboxed.host}") as gateway:
        seen = docker(gateway.host, "run", "--name", "box", "--label", RUNSC, "busybox", "dmesg", check=True).stdout
        assert b"Starting gVisor" in seen
        shown = docker(gateway.host, "inspect", "-f", "{{.HostConfig.Runtime}} {{.Config.Labels}}", "box").stdout
        assert shown == b"runsc map[swarmlib.isolation:runsc]\n"
        docker(gateway.host, "rm", "box", check=True)
        two = docker(gateway.host, "create", "--label", RUNSC, "--runtime", "runc", "busybox").stderr
        assert b"the label swarmlib.isolation demands runsc, but runc is asked for besides" in two
    with swarmd(f"docker {engines[0].host}") as gateway:
        refused = docker(gateway.host, "create", "--label", RUNSC, "busybox").stderr
        assert b"it has no isolation runsc, only io.containerd.runc.v2, io.containerd.runtime.v1.linux, runc" in refused
        refused = docker(gateway.host, "create", "--runtime", "runsc", "busybox").stderr
        assert b"Unknown runtime specified runsc" in refused


@pytest.mark.engine
def test_balance_places_by_isolation_on_real_engines(sandboxed: Engine, engines: tuple[Engine, Engine]) -> None:
    a, b = engines
    with swarmd(f"balance (a=docker {a.host}) (b=docker {b.host}) (safe=docker {sandboxed.host})") as gateway:
        for words in (["--label", RUNSC], ["--runtime", "runsc"]):
            done = docker(gateway.host, "run", "--rm", *words, "busybox", "dmesg", check=True)
            assert b"Starting gVisor" in done.stdout
        refused = docker(gateway.host, "create", "--label", "swarmlib.isolation=kata", "busybox").stderr
        assert b"safe: it has no isolation kata, only" in refused
        unknown = docker(gateway.host, "create", "--runtime", "kata", "busybox").stderr
        assert b"Unknown runtime specified kata" in unknown


async def test_a_label_rules_engines_out_and_a_runtime_prefers_those_that_have_it() -> None:
    plain, safe = simulated.Engine("plain", info={"Runtimes": {"runc": {}}}), simulated.Engine("safe", info=BOTH)
    for each in range(3):
        safe.add(f"filler{each}")
    async with connect(over(plain, safe)) as swarm:
        assert await place(swarm, **LABELLED) == "safe"
        assert await place(swarm, HostConfig={"Runtime": "runsc"}) == "safe"
        assert await place(swarm, HostConfig={"Runtime": "/opt/own"}) == "plain"
        assert await place(swarm) == "plain"
        with pytest.raises(Unavailable, match=r"plain: it has no isolation hyperv, only runc; safe: .* runc, runsc"):
            await place(swarm, Labels={"swarmlib.isolation": "hyperv"})
        with pytest.raises(Invalid, match="expected the name of an isolation"):
            await place(swarm, Labels={"swarmlib.isolation": ""})


@pytest.mark.parametrize(
    ("about", "host"),
    [
        (BOTH, {"Memory": 1, "Runtime": "runsc"}),
        ({"OSType": "windows"}, {"Memory": 1, "Isolation": "hyperv"}),
    ],
)
def test_a_label_is_said_in_the_words_of_the_engines_system(about: Mapping[str, Any], host: dict[str, Any]) -> None:
    name = host.get("Runtime") or host["Isolation"]
    labels = {"swarmlib.isolation": name}
    for given in ({}, {"Runtime": name}, {"Isolation": "default"}):
        made = translated({"Image": "x", "Labels": labels, "HostConfig": {"Memory": 1, **given}}, about)
        assert made == {"Image": "x", "Labels": labels, "HostConfig": {**given, **host}}


def test_what_an_engine_lacks_or_what_contradicts_itself_is_refused() -> None:
    with pytest.raises(Unsupported, match="no isolation runsc, only process, hyperv"):
        translated(LABELLED, {"OSType": "windows"})
    with pytest.raises(Unsupported, match="no isolation runsc, only none at all"):
        translated(LABELLED, {"Runtimes": None})
    with pytest.raises(Invalid, match="demands runsc, but hyperv is asked for besides"):
        translated(LABELLED | {"HostConfig": {"Isolation": "hyperv"}}, BOTH)
    for garbage in ({"Labels": ["x"]}, {**LABELLED, "HostConfig": "x"}):
        with pytest.raises(Invalid, match="must be a JSON object"):
            translated(garbage, BOTH)
    assert offered({"OSType": "linux"}) == []
