"""Pods as they are made here, running in the real cluster: what their processes get, do, and end with."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest

from swarmlib_backends.kubernetes.pods import names, reading
from swarmlib_backends.kubernetes.pods.options import PodOptions
from swarmlib_backends.kubernetes.pods.pod import pod
from swarmlib_backends.kubernetes.pods.record import Image, Record
from swarmlib_backends.kubernetes.pods.status import State, main_status, state, unable
from tests.backends.kubernetes.pods.containers import host
from tests.support.cluster import Cluster
from tests.support.engines import wait_until

pytestmark = pytest.mark.cluster

IMAGE = Image(config={"Cmd": ["sh"], "Env": ["PATH=/bin", "of.image=1"]})
SHOWN = "echo $(id -u):$(id -g) $(pwd)"


@dataclass
class Ran:
    """What a Pod has done."""

    state: State
    output: str
    main: dict[str, Any]


def run(cluster: Cluster, body: dict[str, Any], image: Image | None = IMAGE) -> Ran:
    """Run a container to its end, and remove it."""
    path = f"/api/v1/namespaces/{cluster.namespace}"
    options = PodOptions(namespace=cluster.namespace, tools_image="busybox:1")
    asked = Record(names.new_id(), "My_App.1", time.time(), {"Image": "busybox:1", **body}, image, 1, wanted="running")
    record = reading.read(cluster.api.value("POST", f"{path}/configmaps", asked.config_map()))
    assert record == replace(asked, uid=record.uid, version=record.version)
    made = cluster.api.value("POST", f"{path}/pods", pod(record, options, run=1))
    place = f"{path}/pods/{made['metadata']['name']}"

    def now() -> dict[str, Any]:
        found: dict[str, Any] = cluster.api.value("GET", place)
        return found

    wait_until(lambda: "terminated" in main_status(now()).get("state", {}), "the end of the Pod", seconds=60)
    last = now()
    ran = Ran(state(record, last), cluster.api.value("GET", f"{place}/log?container=main"), main_status(last))
    cluster.api.value("DELETE", f"{path}/configmaps/{names.record_name(record.id)}")
    return ran


def program(text: str, **more: Any) -> dict[str, Any]:
    return {"Cmd": ["sh", "-c", text], **more}


BODIES: dict[str, tuple[dict[str, Any], int, str]] = {
    "dollars": (program('echo "$$ $(X)" $A; exit 3', Env=["A=$(B)$$"]), 3, "$(B)$$\n"),
    "quoted": ({"Cmd": ["echo", "$$ $(X) $A"], "Env": ["A=1"]}, 0, "$$ $(X) $A\n"),
    "environment": (
        {"Cmd": ["env"], "Env": ["A=$(B)$$", "a b=c", "PATH", "HOME=/h"], "Entrypoint": ["/bin/busybox"]},
        0,
        "A=$(B)$$\nHOME=/h\nHOSTNAME=web\na b=c\nof.image=1\n",
    ),
    "user": (program(SHOWN, User="1000:2000", WorkingDir="/made/here"), 0, "1000:2000 /made/here\n"),
    "read only": (
        program("touch /x 2>/dev/null || echo no; id -u", User="7", **host(ReadonlyRootfs=True, CapDrop=["ALL"])),
        0,
        "no\n7\n",
    ),
    "memory": (program("df -k /t | tail -1 | awk '{print $2}'; touch /t/x", **host(Tmpfs={"/t": "size=64k"})), 0, ""),
    "volume": ({"Cmd": ["ls", "/etc"], "Volumes": {"/etc/none": {}, "/data": {}}}, 0, ""),
    "first process": (program("cat /.swarm/pid; echo $$"), 0, ""),
    "signal": (program("kill -9 $$"), 137, ""),
    "not found": ({"Cmd": ["nosuch"]}, 127, ""),
    "not allowed": ({"Cmd": ["/etc"]}, 126, ""),
}


@pytest.fixture(scope="module")
def ran(cluster: Cluster) -> Iterator[dict[str, Ran]]:
    """What each of the containers has done: four at once run on the nodes."""
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda body: run(cluster, {"Hostname": "web", **body}), [body for body, *_ in BODIES.values()])
        yield dict(zip(BODIES, found, strict=True))


@pytest.mark.parametrize("name", BODIES)
def test_a_container_ends_with_its_own_exit_code(ran: dict[str, Ran], name: str) -> None:
    assert ran[name].state.exit_code == BODIES[name][1], ran[name]


def test_a_container_has_the_words_and_variables_that_were_asked_for(ran: dict[str, Ran]) -> None:
    assert ran["quoted"].output == BODIES["quoted"][2]
    assert BODIES["dollars"][2] in ran["dollars"].output
    assert "\n".join(sorted(ran["environment"].output.split("\n"))).lstrip() + "\n" == BODIES["environment"][2]


def test_a_container_runs_as_its_user_in_its_folder(ran: dict[str, Ran]) -> None:
    assert ran["user"].output == BODIES["user"][2]
    assert ran["read only"].output == BODIES["read only"][2]


def test_a_container_is_its_shims_own_process(ran: dict[str, Ran]) -> None:
    one, other = ran["first process"].output.split()
    assert one == other


@pytest.mark.parametrize("name", ["not found", "not allowed"])
def test_what_cannot_be_started_is_told_as_an_engine_does(ran: dict[str, Ran], name: str, cluster: Cluster) -> None:
    told = unable(ran[name].main["state"]["terminated"])
    assert told is not None
    by_runtime = run(cluster, BODIES[name][0], image=None)
    assert (by_runtime.state.exit_code, by_runtime.state.error) == told
