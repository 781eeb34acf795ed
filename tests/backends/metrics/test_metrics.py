"""`metrics`: the figures of a chain, its health and readiness, and Prometheus that scrapes it."""

import json
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import trio
import trio.testing
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from swarmlib import Backend, Chain, Client, Denied, Filter, Invalid, Request, Sender, Unavailable
from swarmlib_backends import control
from swarmlib_backends.balance import Balance
from swarmlib_backends.limit import Limit
from swarmlib_backends.metrics import Metrics
from swarmlib_backends.metrics.families import snapshot
from swarmlib_backends.observe.observation import Observation
from tests.support.engines import free_port, wait_until
from tests.support.processes import Swarmd


@asynccontextmanager
async def measured(*stages: str | Backend, port: int) -> AsyncGenerator[Sender]:
    with control.desk():
        chain = Chain(f"metrics tcp://127.0.0.1:{port}", *stages)
        async with chain.open(observer=Observation().root) as sender:
            yield sender


def get(port: int, path: str, **headers: str) -> tuple[int, str, str]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as client:
        client.request("GET", path, headers=headers)
        answer = client.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


async def ask(port: int, path: str, **headers: str) -> tuple[int, str, str]:
    def work() -> tuple[int, str, str]:
        return get(port, path, **headers)

    return await trio.to_thread.run_sync(work)


def figures(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """The samples by name, and by the values of their labels in the order of the labels' names."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(value for _, value in sorted(sample.labels.items()))] = sample.value
    return found


async def test_calls_engines_and_the_process_are_told() -> None:
    port = free_port()
    async with measured("balance 'a=simulator --containers 2' 'b=docker unix:///nonexistent'", port=port) as sender:
        client = Client(sender)
        for _ in range(3):
            await client.ls("containers")
        status, kind, text = await ask(port, "/metrics")
        assert (status, kind.partition(";")[0]) == (200, "text/plain")
        told = figures(text)
        lists = {
            engine: count for (engine, operation, _), count in told["swarmd_calls_total"].items() if "List" in operation
        }
        assert lists == {"a": 1, "": 2}  # the first asks for what the index does not know yet
        assert told["swarmd_call_duration_seconds_count"][("ContainerList",)] == 3
        assert told["swarmd_engine_up"] == {("a",): 1, ("b",): 0}
        assert told["swarmd_engine_containers"][("a",)] == 2
        assert told["swarmd_engine_answers_total"][("b", "unavailable")] >= 1
        assert told["swarmd_calls_under_way"] == {(): 0}
        assert told["process_open_fds"][()] > 0
        buckets = list(told["swarmd_call_duration_seconds_bucket"].values())
        assert buckets == sorted(buckets)
        assert buckets[-1] == 3


async def test_the_lengths_of_queues_are_told() -> None:
    @dataclass
    class Slow(Filter):
        async def send(self, request: Request) -> None:
            request.keep()
            came.set()

    came, port = trio.Event(), free_port()
    limit = Limit(max_concurrent=1)
    async with measured(limit, Limit(max_concurrent=5), Slow(), port=port) as sender, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(Client(sender).ls, "containers")
        await came.wait()
        while (lengths := figures((await ask(port, "/metrics"))[2])["swarmd_queue_length"])[("", "2", "limit")] < 2:
            pass
        assert lengths == {("", "2", "limit"): 2, ("", "3", "limit"): 0}
        nursery.cancel_scope.cancel()


async def test_it_is_told_how_long_an_engine_has_said_nothing(autojump_clock: trio.testing.MockClock) -> None:
    @dataclass
    class Frozen(Filter):
        async def send(self, request: Request) -> None:
            if is_frozen:
                request.keep()
            else:
                await self.next.send(request)

    async def age() -> float:
        ((_, found),) = family(await snapshot(observation, desk), "swarmd_engine_index_age_seconds")
        return found

    is_frozen, observation = False, Observation()
    with control.desk() as desk:
        members = [Chain(Frozen(), "simulator", label="a"), Chain("docker unix:///nonexistent", label="never heard")]
        async with Chain(Balance(members)).open(observer=observation.root) as sender:
            await Client(sender).ls("containers")
            await trio.sleep(60)
            assert await age() <= 10  # it is asked whether it is there
            is_frozen = True
            await trio.sleep(100)
            assert 90 <= await age() <= 110


def family(found: list[Metric], name: str) -> list[tuple[dict[str, str], float]]:
    return [(each.labels, each.value) for family in found if family.name == name for each in family.samples]


async def test_a_scraper_may_ask_for_openmetrics() -> None:
    port = free_port()
    async with measured("simulator", port=port):
        _, kind, text = await ask(port, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert kind.startswith("application/openmetrics-text")
        assert text.endswith("# EOF\n")


@pytest.mark.parametrize(
    ("chain", "status"),
    [
        ("simulator", 200),
        ("docker unix:///nonexistent", 503),
        ("balance 'docker unix:///nonexistent' simulator", 200),
        ("balance 'docker unix:///nonexistent'", 503),
        ("debug --filter nothing", 503),
    ],
)
async def test_a_chain_is_ready_if_an_engine_of_it_answers(chain: str, status: int) -> None:
    port = free_port()
    async with measured(chain, port=port) as sender:
        if "balance" in chain:
            with suppress(Unavailable):
                await Client(sender).get()  # which waits until it knows its members
        found, _, text = await ask(port, "/ready")
        assert (found, json.loads(text)["ready"]) == (status, status == 200)
        assert (await ask(port, "/health"))[0] == 200


async def test_the_engine_at_the_other_side_of_the_wire_counts(tmp_path: Path) -> None:
    port = free_port()
    async with (
        Chain(f"listen unix://{tmp_path}/x.sock", "simulator --hostname far").open(),
        measured(f"remote unix://{tmp_path}/x.sock", port=port),
    ):
        status, _, text = await ask(port, "/ready")
        (engine,) = json.loads(text)["engines"]
        assert (status, engine["up"], engine["name"]) == (200, True, f"remote unix://{tmp_path}/x.sock")


async def test_what_is_refused() -> None:
    port = free_port()
    async with measured("simulator", port=port):
        assert (await ask(port, "/other"))[0] == 404
        status, _, text = await ask(port, "/metrics", Host="evil.example")
        assert (status, "this server is not" in text) == (403, True)
        assert (await ask(port, "/metrics", Origin="http://evil.example"))[0] == 403
        assert (await ask(port, "/metrics", **{"Sec-Fetch-Site": "cross-site"}))[0] == 403


async def test_other_machines_are_refused_unless_it_is_allowed() -> None:
    async def opened(*more: str) -> None:
        async with Chain(" ".join(["metrics tcp://0.0.0.0:0", *more]), "simulator").open(observer=Observation().root):
            pass

    with pytest.raises(Denied, match=r"can't listen on tcp://0\.0\.0\.0:0"):
        await opened()
    await opened("--insecure")


async def test_without_an_observer_there_are_no_figures() -> None:
    with pytest.raises(Invalid, match="metrics requires a chain that is observed"):
        async with Chain(Metrics("tcp://127.0.0.1:0"), "simulator").open():
            pass


# Prometheus.

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- job_name: swarmd
  static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[str]:
    """Debian's Prometheus, which scrapes a port; gives its URL."""
    (folder / "prometheus.yml").write_text(CONFIG.format(port=target))
    port = free_port()
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def query(url: str, path: str) -> Any:
    try:
        with urlopen(f"{url}/api/v1/{path}", timeout=10) as answer:
            return json.load(answer)["data"]
    except OSError:
        return None


@pytest.mark.engine
def test_prometheus_scrapes_it() -> None:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="metrics-", dir="/tmp") as name:
        folder = Path(name)
        chain = [f"dockerserver unix://{name}/d.sock", f"metrics tcp://127.0.0.1:{port}", "simulator"]
        with (
            Swarmd("run", "--control", f"{name}/control", *chain, errors=folder / "swarmd.log"),
            prometheus(folder, port) as url,
        ):

            def target() -> Any:
                found = query(url, "targets")
                return found["activeTargets"][0] if found and found["activeTargets"] else {}

            wait_until(lambda: target().get("health") == "up", "the target of Prometheus")
            assert target()["lastError"] == ""
            wait_until(lambda: query(url, "query?query=swarmd_engine_up")["result"], "a sample")
            (sample,) = query(url, "query?query=swarmd_engine_up")["result"]
            assert (sample["metric"]["engine"], sample["value"][1]) == ("simulator", "1")
