"""Every built-in backend keeps the whole contract: one line each.

The big streams are small here, but in `test_kit` those of the reference are not.
"""

import io
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export import SpanExportResult

import swarmlib
from swarmlib import Backend, Chain, Filter, Sender, Verb
from swarmlib.testing import Reference, check_backend
from swarmlib.testing.rules import RULES
from swarmlib_backends import (
    Aci,
    Aggregate,
    Audit,
    Balance,
    Cache,
    Chaos,
    Debug,
    Docker,
    DockerServer,
    Exec,
    Limit,
    Listen,
    Metrics,
    Policy,
    Record,
    Remote,
    Replay,
    Retry,
    Simulator,
    Tee,
    Tenant,
    Timeout,
    Trace,
    Web,
)
from swarmlib_backends.observe.observation import Observation
from swarmlib_backends.policy.grants import KINDS
from swarmlib_backends.trace.collector import Collector
from tests.support.azure import aci
from tests.support.engines import Engine
from tests.support.leaves import containers, processes
from tests.support.tenants import As

pytestmark = pytest.mark.usefixtures("small_streams")
LOCAL = processes(Env=["constraint:node==local"])
"""Processes behind balance, which places them only where a rule asks for it."""
KEPT = 1 << 20
"""Bytes of output that exec keeps of each workload: less than what counts as flat memory."""


async def test_debug() -> None:
    await check_backend(lambda: Debug(values=True, out=io.StringIO()))


@pytest.mark.parametrize(
    "filter",
    [
        Cache(),
        Chaos(latency="1ms±1ms"),
        Limit(rate="1000/s", max_concurrent=100),
        Retry(),
        Tee(Chain("debug --filter nothing")),
        Timeout(after=60),
    ],
    ids=lambda stage: stage.name,
)
async def test_filters(filter: Filter) -> None:
    await check_backend(lambda: filter)


async def test_policy(tmp_path: Path) -> None:
    grants = "".join(f'{kind} = ["**"]\n' for kind in KINDS if kind not in ("binds", "ports", "shm"))
    rules = tmp_path / "everything.toml"
    rules.write_text(f'[[rule]]\nallow = ["*"]\nunjudged = ["**"]\n[rule.container]\n{grants}')
    verbs = {str(verb) for verb in Verb} - {Verb.ATTACH}  # it judges the operations of the Engine API, and no others
    await check_backend(lambda: Policy(rules), verbs=verbs)


async def test_audit(tmp_path: Path) -> None:
    rules = [rule for rule in RULES if rule.name != "opens_any_number_of_times"]  # as of a recording
    await check_backend(lambda: Audit(str(tmp_path / "log")), rules=rules)


@dataclass(eq=False)
class Host(Backend):
    """The virtual host of a tenant who may have everything."""

    file: Path

    def open(self, next: Sender, /) -> AbstractAsyncContextManager[Sender]:
        return Chain(As("uid:1"), Tenant(self.file), Simulator()).open()


async def test_tenant(tmp_path: Path) -> None:
    file = tmp_path / "tenants.toml"
    file.write_text('[clients.a]\nusers = [1]\n[tenant.a]\nclients = ["a"]\nimages = ["**"]\n')
    verbs = {str(verb) for verb in Verb} - {Verb.ATTACH}  # as the policy
    await check_backend(lambda: Host(file), leaf=processes(), verbs=verbs)


async def test_record(tmp_path: Path) -> None:
    # A file is written by one stage at a time: it can't be opened any number of times at once.
    rules = [rule for rule in RULES if rule.name != "opens_any_number_of_times"]
    await check_backend(lambda: Record(str(tmp_path / "session"), force=True), rules=rules)


async def test_replay(tmp_path: Path) -> None:
    file = str(tmp_path / "session")
    async with swarmlib.connect(Record(file), Reference()):
        pass
    await check_backend(lambda: Replay(file, pass_through=True))


async def test_aggregate() -> None:
    leaf = Reference()
    await check_backend(lambda: Aggregate([Chain(leaf)]), over=leaf)


async def test_exec() -> None:
    await check_backend(lambda: Exec(log_size=KEPT), leaf=processes())


async def test_simulator() -> None:
    # Its files are kept in memory, which is what it is for: no claim is made of theirs.
    await check_backend(Simulator, leaf=processes())


async def test_aci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with aci.fake_process(tmp_path, monkeypatch):
        await check_backend(lambda: Aci(poll=0.02), leaf=aci.LEAF)


async def test_balance() -> None:
    await check_backend(lambda: Balance([Chain(Exec(log_size=KEPT), label="local")]), leaf=LOCAL)


async def test_dockerserver(tmp_path: Path) -> None:
    address = f"unix://{tmp_path}/docker.sock"
    await check_backend(lambda: DockerServer([address]), client=lambda: Docker(address))


async def test_listen_and_remote(tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/swarm.sock"
    await check_backend(lambda: Listen([url]), client=lambda: Remote(url))


@pytest.mark.engine
async def test_docker(engines: tuple[Engine, Engine]) -> None:
    await check_backend(lambda: Docker(engines[0].host), leaf=containers())


# Chains that are observed.


@dataclass(eq=False)
class Observed(Backend):
    """A chain that is observed."""

    stage: Backend

    def open(self, next: Sender, /) -> AbstractAsyncContextManager[Sender]:
        return Chain(self.stage).open(next, observer=Observation().root)


async def test_a_filter_that_is_observed() -> None:
    await check_backend(lambda: Observed(Timeout(after=60)))


async def test_metrics() -> None:
    await check_backend(lambda: Observed(Metrics("tcp://127.0.0.1:0")))


async def test_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    # There is no collector, and a thread that tries to reach one would go on after the test.
    monkeypatch.setattr(Collector, "export", lambda *_: SpanExportResult.SUCCESS)
    await check_backend(lambda: Observed(Trace("http://127.0.0.1:1")))


async def test_web() -> None:
    await check_backend(lambda: Observed(Web("tcp://127.0.0.1:0")))


async def test_an_engine_that_is_observed() -> None:
    leaf = Reference()
    await check_backend(lambda: Observed(leaf), over=leaf)
