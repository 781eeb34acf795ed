"""Traces of the real docker CLI: through a balance of two engines, one of them behind another swarmd."""

import json
from pathlib import Path

import pytest
import trio

from tests.support.collector import Spanned, collecting
from tests.support.engines import Engine, docker
from tests.support.processes import served

pytestmark = pytest.mark.engine
TRACE, ABOVE = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


async def test_a_run_is_one_trace_down_to_the_engine(engines: tuple[Engine, Engine], tmp_path: Path) -> None:
    """The CLI sends the headers of its config.json with each request."""
    (tmp_path / "config.json").write_text(json.dumps({"HttpHeaders": {"traceparent": f"00-{TRACE}-{ABOVE}-01"}}))
    here, there = (f"unix://{tmp_path}/{name}.sock" for name in ("here", "there"))
    async with collecting() as collector:
        trace = f"trace {collector.url}"
        members = f"balance 'far=remote {there}' 'near=docker {engines[0].host}'"

        def run() -> None:
            with (
                served(f"listen {there}", trace, f"docker {engines[1].host}"),
                served(f"dockerserver {here}", trace, members),
            ):
                command = (
                    "--config",
                    str(tmp_path),
                    "run",
                    "--rm",
                    "--label",
                    "a=secret",
                    "-e",
                    "constraint:node==far",
                )
                docker(here, *command, "busybox", "true", check=True)

        await trio.to_thread.run_sync(run)
        spans = await collector.of_trace(TRACE, 1)
    assert {each.trace for each in spans} == {TRACE}
    assert way(spans, "ContainerStart") == [
        ("ContainerStart", "SERVER"),
        ("balance ContainerStart", "INTERNAL"),
        ("remote ContainerStart", "CLIENT"),
        ("ContainerStart", "SERVER"),
        ("docker ContainerStart", "CLIENT"),
    ]
    assert "secret" not in repr(spans)


def way(spans: list[Spanned], operation: str) -> list[tuple[str, str]]:
    """The spans of the client's call of an operation, each below the one before."""
    by_id = {each.id: each for each in spans}
    (engine,) = (each for each in spans if each.name == f"docker {operation}")
    found, at = [], engine
    while True:
        found.append((at.name, at.kind))
        if at.parent == ABOVE:
            return found[::-1]
        at = by_id[at.parent]
