"""`trace`: the trace that a client names, on its way to the engine, and the spans that a collector gets."""

import json
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter
from typing import ClassVar

import pytest
import trio
import trio.testing

from swarmd import logs
from swarmlib import Backend, Chain, Filter, Invalid, Request
from swarmlib.trace_context import TraceContext
from swarmlib_backends import control
from swarmlib_backends.observe.observation import Observation
from swarmlib_backends.trace import Trace
from tests.support.collector import Collector, Spanned, collecting
from tests.support.engines import free_port
from tests.support.scripted_http import Answer, Asked, Script, Served, served

TRACE, ABOVE = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{ABOVE}-01"
STATE = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"


async def engine(asked: Asked, answer: Answer) -> None:
    """An engine with nothing in it."""
    if asked.path.endswith("/containers/json"):
        await answer.json([])
    elif asked.path.endswith("/events"):
        await answer.begin()
        await trio.sleep_forever()
    elif asked.path.endswith("/info"):
        await answer.json({"ID": "one", "Name": "one", "NCPU": 1, "MemTotal": 1, "Images": 0})
    elif asked.path.endswith("/version"):
        await answer.json({"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.10.24"})
    elif asked.path.endswith("/_ping"):
        await answer.whole(b"OK", headers={"Api-Version": "1.41"})
    else:
        await answer.json({"message": "No such container: secret-name"}, 404)


def told(server: Served, path: str) -> list[tuple[str | None, str | None]]:
    """What an engine was told of the traces of its requests for a path."""
    found = [asked for asked in server.asked if asked.path.endswith(path)]
    return [(asked.header("traceparent"), asked.header("tracestate")) for asked in found]


async def ask(port: int, path: str, *headers: tuple[str, str], method: str = "GET", body: bytes = b"") -> int:
    def work() -> int:
        with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as client:
            client.putrequest(method, path)
            for name, value in (*headers, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))):
                client.putheader(name, value)
            client.endheaders(body)
            answer = client.getresponse()
            answer.read()
            return answer.status

    return await trio.to_thread.run_sync(work)


async def make_web(port: int) -> None:
    """Make a container."""
    assert await ask(port, "/containers/create?name=web", method="POST", body=b'{"Image":"busybox"}') == 201


@asynccontextmanager
async def gateway(*stages: str | Backend) -> AsyncGenerator[int]:
    """The port of a `dockerserver` before stages, which are observed as in swarmd."""
    port = free_port()
    with control.desk():
        async with Chain(f"dockerserver tcp://127.0.0.1:{port}", *stages).open(observer=Observation().root):
            yield port


# Without the stage.


@pytest.mark.parametrize("path", ["/v1.41/containers/json", "/v1.41/unknown", "/containers/web/json"])
async def test_an_engine_is_told_the_trace_that_the_client_names(path: str) -> None:
    async with served(engine) as one, gateway(f"docker tcp://127.0.0.1:{one.port}") as port:
        await ask(
            port,
            path,
            ("Traceparent", PARENT),
            ("tracestate", STATE.split(",")[0]),
            ("tracestate", STATE.split(",")[1]),
        )
        await ask(port, path)
        assert told(one, path.removeprefix("/v1.41")) == [(PARENT, STATE), (None, None)]


async def test_what_is_not_valid_goes_to_no_engine() -> None:
    async with served(engine) as one, gateway(f"docker tcp://127.0.0.1:{one.port}") as port:
        path = "/containers/json"
        await ask(port, path, ("traceparent", PARENT.upper()), ("tracestate", STATE))
        await ask(port, path, ("traceparent", PARENT), ("traceparent", PARENT))
        await ask(port, path, ("traceparent", PARENT), ("tracestate", "no member"))
        await ask(port, path, ("tracestate", STATE))
        assert told(one, path) == [(None, None), (None, None), (PARENT, None), (None, None)]


@dataclass
class Witness(Filter):
    """Notes the trace of each request for one container."""

    seen: ClassVar[list[TraceContext | None]]

    async def send(self, request: Request) -> None:
        if request.path == ("containers", "web"):
            self.seen.append(request.meta.trace)
        await self.next.send(request)


@pytest.fixture
def seen() -> list[TraceContext | None]:
    Witness.seen = []
    return Witness.seen


async def test_the_trace_passes_the_wire_and_a_balance(tmp_path: Path, seen: list[TraceContext | None]) -> None:
    async with (
        Chain(f"listen unix://{tmp_path}/x.sock", Witness(), "simulator").open(),
        gateway(f"balance 'remote unix://{tmp_path}/x.sock' simulator") as port,
    ):
        await make_web(port)
        await ask(port, "/containers/web/json", ("traceparent", PARENT), ("tracestate", STATE))
        assert seen == [TraceContext(TRACE, ABOVE, True, STATE)]


# With it.


def shown(spans: Sequence[Spanned]) -> list[tuple[str, str, str]]:
    """The spans, each with its kind, and the one that it is below."""
    names = {each.id: each.name for each in spans}
    return [(each.name, each.kind, names.get(each.parent, each.parent)) for each in spans]


async def test_a_call_has_a_span_for_each_stage_on_its_way_to_the_engine(seen: list[TraceContext | None]) -> None:
    async with collecting() as collector:
        async with gateway(f"trace {collector.url}", "debug --filter no", "retry", Witness(), "simulator") as port:
            await make_web(port)
            await ask(port, "/containers/web/json", ("traceparent", PARENT), ("tracestate", STATE))
        spans = await collector.of_trace(TRACE, 5)
        assert shown(spans) == [
            ("ContainerInspect", "SERVER", ABOVE),
            ("debug ContainerInspect", "INTERNAL", "ContainerInspect"),
            ("retry ContainerInspect", "INTERNAL", "debug ContainerInspect"),
            ("witness ContainerInspect", "INTERNAL", "retry ContainerInspect"),
            ("simulator ContainerInspect", "CLIENT", "witness ContainerInspect"),
        ]
        assert {each.state for each in spans} == {STATE}
        assert [each and each.parent for each in seen] == [f"00-{TRACE}-{spans[3].id}-01"]
        assert [each.attributes for each in spans[::4]] == [
            {"swarmd.operation": "ContainerInspect", "swarmd.outcome": "ok"},
            {
                "swarmd.operation": "ContainerInspect",
                "swarmd.outcome": "ok",
                "swarmd.stage": "simulator",
                "swarmd.chain": "",
                "swarmd.engine": "simulator",
            },
        ]
        assert (spans[0].about["service.name"], spans[0].status) == ("swarmd", "UNSET")
        assert spans[0].seconds >= spans[4].seconds > 0


async def test_a_list_of_all_members_has_a_span_for_each_engine() -> None:
    async with collecting() as collector:
        stages = (
            f"trace {collector.url}",
            "balance 'a=simulator' 'b=simulator' 'c=docker unix:///nonexistent'",
        )
        async with gateway(*stages) as port:
            await ask(port, "/images/json", ("traceparent", PARENT))
        spans = await collector.of_trace(TRACE, 4)
    members = {each.attributes["swarmd.engine"]: each for each in spans[2:]}
    assert shown(spans[:2]) == [
        ("ImageList", "SERVER", ABOVE),
        ("balance ImageList", "INTERNAL", "ImageList"),
    ]
    assert set(members) == {"a", "b"}


async def test_a_trace_goes_on_in_the_swarmd_at_the_other_side(tmp_path: Path) -> None:
    async with collecting() as collector:
        far = f"listen unix://{tmp_path}/x.sock | trace {collector.url} | simulator"
        async with (
            Chain.read(far).open(observer=Observation().root),
            gateway(f"trace {collector.url}", f"balance 'remote unix://{tmp_path}/x.sock'") as port,
        ):
            await ask(port, "/containers/none/json", ("traceparent", PARENT))
        spans = await collector.of_trace(TRACE, 5)
    assert shown(spans) == [
        ("ContainerInspect", "SERVER", ABOVE),
        ("balance ContainerInspect", "INTERNAL", "ContainerInspect"),
        ("remote ContainerInspect", "CLIENT", "balance ContainerInspect"),
        ("ContainerInspect", "SERVER", "remote ContainerInspect"),
        ("simulator ContainerInspect", "CLIENT", "ContainerInspect"),
    ]


@pytest.mark.parametrize("given", [PARENT.upper(), f"00-{'0' * 32}-{ABOVE}-01", f"{PARENT}-more", ""])
async def test_what_is_not_valid_begins_a_new_trace(given: str, seen: list[TraceContext | None]) -> None:
    async with collecting() as collector:
        async with gateway(f"trace {collector.url}", Witness(), "simulator") as port:
            await ask(port, "/containers/web/json", ("traceparent", given), ("tracestate", STATE))
        assert seen[0] is not None
        spans = await collector.of_trace(seen[0].trace_id, 3)
    assert (spans[0].parent, spans[0].state, seen[0].trace_id == TRACE) == ("", "", False)


async def test_a_call_that_the_client_does_not_record_is_not_recorded(seen: list[TraceContext | None]) -> None:
    async with collecting() as collector:
        async with gateway(f"trace {collector.url}", Witness(), "simulator") as port:
            await ask(port, "/containers/web/json", ("traceparent", f"00-{TRACE}-{ABOVE}-00"))
            await ask(port, "/info", ("traceparent", PARENT))
        spans = await collector.of_trace(TRACE, 3)
    assert {each.attributes["swarmd.operation"] for each in spans} == {"SystemInfo"}
    assert seen[0] is not None
    assert (seen[0].trace_id, seen[0].sampled) == (TRACE, False)


async def test_a_span_tells_the_outcome_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=of-the-collector")
    secret = "hunter2"
    body = f'{{"Image":"busybox","Env":["PASSWORD={secret}"],"Labels":{{"{secret}":"{secret}"}}}}'.encode()
    async with collecting() as collector:
        async with gateway(f"trace {collector.url}", "docker unix:///nonexistent") as port:
            auth = ("X-Registry-Auth", secret)
            path = f"/containers/create?name={secret}"
            assert await ask(port, path, auth, ("traceparent", PARENT), method="POST", body=body) == 503
        spans = await collector.of_trace(TRACE, 2)
        assert ("api-key", "of-the-collector") in collector.heads[0]
    assert [(each.status, each.attributes["error.type"]) for each in spans] == [("ERROR", "unavailable")] * 2
    assert secret not in repr(spans)


async def test_a_call_that_is_refused_is_no_fault_of_the_service() -> None:
    async with collecting() as collector:
        async with gateway(f"trace {collector.url}", "simulator") as port:
            await ask(port, "/containers/none/json", ("traceparent", PARENT))
        (span, _) = await collector.of_trace(TRACE, 2)
    assert (span.status, span.attributes["swarmd.outcome"]) == ("UNSET", "not_found")


async def test_a_client_that_disconnects_ends_its_spans() -> None:
    class Slow(Filter):
        async def send(self, request: Request) -> None:
            request.keep()
            came.set()

    came = trio.Event()
    asked = f"GET /info HTTP/1.1\r\nHost: localhost\r\ntraceparent: {PARENT}\r\n\r\n".encode()
    async with collecting() as collector:
        async with (
            gateway(f"trace {collector.url}", Slow(), "simulator") as port,
            await trio.open_tcp_stream("127.0.0.1", port) as stream,
        ):
            await stream.send_all(asked)
            await came.wait()
        spans = await collector.of_trace(TRACE, 2)
    assert [each.attributes["swarmd.outcome"] for each in spans] == ["gone", "gone"]


# What is wrong with a collector is no trouble of the calls.


async def never(_: Asked, __: Answer) -> None:
    await trio.sleep_forever()


async def refuses(_: Asked, answer: Answer) -> None:
    await answer.json({"message": "no"}, 400)


@pytest.mark.parametrize("script", [never, refuses, None])
async def test_a_collector_that_is_slow_or_gone_costs_nothing(
    script: Script | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("swarmlib_backends.trace.trace.FLUSH_SECONDS", 0.2)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1" if script is None else "10")  # no second attempt
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    async with served(script or never) as server:
        url = server.url if script else f"http://127.0.0.1:{free_port()}"
        async with gateway(f"trace {url}", "simulator") as port:
            for _ in range(40):
                assert await ask(port, "/info") == 200
            began = perf_counter()
        assert perf_counter() - began < 2  # of which the collector gets a part
    lost = [each for each in caplog.messages if f"the collector at {url}/v1/traces takes no spans" in each]
    assert len(lost) == (script is not never)  # which has not refused any yet


async def test_a_collector_that_is_back_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    refused = 0

    async def once(asked: Asked, answer: Answer) -> None:
        nonlocal refused
        refused += 1
        await (refuses(asked, answer) if refused < 3 else collector.take(asked, answer))

    collector = Collector()
    async with served(once) as server, gateway(f"trace {server.url}", "simulator") as port:
        while not collector.spans:
            assert await ask(port, "/info") == 200
    first, last = (each for each in caplog.messages if "the collector at" in each)
    assert ("takes no spans" in first, "400" in first) == (True, True)
    assert "takes spans again: " in last


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:4318",
        "ftp://a",
        "http://",
        "http://user:secret@a",
        "http://a:b",
        "http://a/?x=1",
        "http://a b",
        "http://a\n",
    ],
)
async def test_what_is_no_address_of_a_collector_is_refused(address: str) -> None:
    with pytest.raises(Invalid, match="invalid address of a collector: expected http://HOST:PORT") as raised:
        Trace(address)
    assert "secret" not in raised.value.message


# Where a trace shows besides.


async def test_log_lines_and_the_audit_name_the_trace(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    @dataclass
    class Talker(Filter):
        async def send(self, request: Request) -> None:
            logging.getLogger("swarmlib_backends.talker").warning("hello")
            lines.extend(form.format(caplog.records[-1]) for form in (logs.TEXT, logs.JSON))
            await self.next.send(request)

    lines: list[str] = []
    async with collecting() as collector:
        stages = f"trace {collector.url}", f"audit {tmp_path}/audit.log", Talker(), "simulator"
        async with gateway(*stages) as port:
            await ask(port, "/info", ("traceparent", PARENT))
    assert lines[0].endswith(f"WARNING: hello (trace {TRACE})")
    assert json.loads(lines[1])["trace"] == TRACE
    audited = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    assert [each["trace"] for each in audited if "operation" in each] == [TRACE]
