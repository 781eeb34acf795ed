"""Attaching over a WebSocket is the same on an engine, through a gateway before it, and on a backend that plays one."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.engines import engine, free_port, swarmd, wait_until
from tests.support.processes import Swarmd
from tests.support.websockets import PROGRAMS, Attached, end_of_input

pytestmark = pytest.mark.engine

POLICY = """
[[rule]]
name = "attach"
allow = ["System*", "Container*"]
[rule.container]
images = ["*"]
"""
TENANTS = """
[clients.a]
addresses = ["127.0.0.0/8"]
[tenant.alice]
clients = ["a"]
images = ["busybox"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("stages")
    (found / "policy.toml").write_text(POLICY)
    (found / "tenants.toml").write_text(TENANTS)
    return found


@pytest.fixture(scope="module")
def places(folder: Path) -> Iterator[dict[str, Attached]]:
    """An engine that listens on a port, a gateway to it, and a simulator behind a wire and all stages that judge."""
    stages = [f"audit {folder}/audit.log", f"policy {folder}/policy.toml", f"tenant {folder}/tenants.toml"]
    with ExitStack() as stack:
        host = f"tcp://127.0.0.1:{free_port()}"
        options = ["--bridge=none", "--iptables=false", "--ip6tables=false", "-H", host]
        stack.enter_context(engine(options, namespaces="-m"))
        stack.enter_context(Swarmd(f"listen unix://{folder}/far", "simulator", errors=folder / "log"))
        gateway = stack.enter_context(swarmd("debug", f"balance (docker {host})"))
        judged = stack.enter_context(swarmd(*stages, f"remote unix://{folder}/far"))
        hosts = {"engine": host, "gateway": gateway.host, "judged": judged.host}
        found = {name: Attached(each, "busybox") for name, each in hosts.items()}
        for each in found.values():
            stack.callback(each.client.close)
        yield found


def test_an_audit_has_the_attach_and_how_much_went_both_ways(folder: Path, places: dict[str, Attached]) -> None:
    """This test is the first here, so that the only attach of the audit is its own."""
    end_of_input(places["judged"])
    found: list[dict[str, Any]] = []

    def written() -> bool:
        lines = map(orjson.loads, (folder / "audit.log").read_bytes().splitlines())
        found[:] = [line for line in lines if line.get("operation") == "ContainerAttachWebsocket"]
        return bool(found)

    wait_until(written, "the line about the attach")
    assert [(line["in"], line["out"]) for line in found] == [((6 + 4) + (6 + 5), (2 + 8) + (2 + 4))]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda each: each.__name__)
def test_a_program_sees_the_same_everywhere(program: Callable[[Attached], Any], places: dict[str, Attached]) -> None:
    seen = {name: program(place) for name, place in places.items()}
    assert seen == dict.fromkeys(places, seen["engine"])
