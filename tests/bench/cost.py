"""What a call costs in the gateway itself: lists and creations through `dockerserver | docker`.

The engine is HAProxy with fixed answers, which come at once, so that nearly all of the time is the gateway's.

    python -m tests.bench.cost [--seconds 2] [--rounds 5] [--beside OTHER/.venv/bin/python]

With --beside it measures the swarmd of another checkout in the same run, the two taking turns: before and after.
Needs Debian's wrk and haproxy.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.bench.common import add_beside, in_turns, need, process, pythons, show
from tests.bench.gateway import wrk
from tests.support.engines import is_served, wait_until

_CONTAINER = {
    "Id": "5" * 64,
    "Names": ["/web"],
    "Image": "busybox",
    "ImageID": "sha256:" + "6" * 64,
    "Command": "sleep 600",
    "Created": 1700000000,
    "Ports": [],
    "Labels": {"com.docker.compose.project": "shop"},
    "State": "running",
    "Status": "Up 2 hours",
    "HostConfig": {"NetworkMode": "none"},
    "NetworkSettings": {"Networks": {}},
    "Mounts": [],
}
_LIST = json.dumps([_CONTAINER] * 5)
_CREATED = json.dumps({"Id": "5" * 64, "Warnings": []})
_BODY = Path(__file__).parent.parent / "data" / "docker-run-28.json"
"""The body of a creation as the docker CLI 28 sends it."""
_HAPROXY = """
global
    maxconn 1000
    tune.bufsize 65536
defaults
    mode http
    timeout connect 5s
    timeout client 1m
    timeout server 1m
frontend engine
    bind unix@{socket}
    http-request return status 201 content-type application/json file {created} if {{ method POST }}
    http-request return status 200 content-type application/json file {list}
"""
_LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = io.open("{body}"):read("*a")
"""
_CALLS = {
    "list": "/v1.41/containers/json",
    "list, filtered": "/v1.41/containers/json?all=1&filters=%7B%22label%22%3A%7B%22a%3Db%22%3Atrue%7D%7D",
    "create": "/v1.41/containers/create?name=web",
}


@contextmanager
def fixed_engine(folder: Path) -> Generator[Path]:
    """An engine that gives fixed answers at once; gives its socket."""
    socket = folder / "engine.sock"
    files = {"created": _CREATED, "list": _LIST}
    for name, content in files.items():
        (folder / name).write_text(content)
    config = folder / "haproxy.cfg"
    config.write_text(_HAPROXY.format(socket=socket, **{name: folder / name for name in files}))
    with process(["haproxy", "-db", "-q", "-f", str(config)]):
        wait_until(lambda: is_served(socket), "haproxy")
        yield socket


@contextmanager
def gateway(python: str, engine: Path, port: int) -> Generator[None]:
    """A swarmd of the environment that has this Python."""
    chain = [f"dockerserver tcp://127.0.0.1:{port}", f"docker unix://{engine}"]
    started = subprocess.Popen([python, "-m", "swarmd", *chain], stderr=subprocess.PIPE, cwd=engine.parent)
    assert started.stderr is not None
    try:
        assert b"serving" in started.stderr.readline()
        yield
    finally:
        started.terminate()
        started.communicate(timeout=20)


def cost(port: int, call: str, seconds: int, script: Path) -> float:
    """Microseconds that a call takes, one after another on one connection."""
    options = ("-s", str(script)) if call == "create" else ()
    return 1e6 / wrk(port, _CALLS[call], 1, seconds, *options).rate


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=2, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=5)
    add_beside(parser)
    given = parser.parse_args()
    need("wrk", "haproxy")
    measured = pythons(given, "this")
    ports = {name: 21950 + number for number, name in enumerate(measured)}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        engine = stack.enter_context(fixed_engine(Path(folder)))
        for name, python in measured.items():
            stack.enter_context(gateway(python, engine, ports[name]))
        script = Path(folder) / "create.lua"
        script.write_text(_LUA.format(body=_BODY))
        rows: list[list[object]] = []
        for call in _CALLS:
            measures = {n: partial(cost, port, call, given.seconds, script) for n, port in ports.items()}
            rows.append([call, *_row(in_turns(measures, given.rounds))])
    columns = ["call", *(f"{name}: µs" for name in measured), *(["this of beside", "µs more"] if given.beside else [])]
    show("What a call costs in the gateway, one at a time", columns, rows)


def _row(found: Mapping[str, float]) -> list[object]:
    shown: list[object] = [f"{figure:,.0f}" for figure in found.values()]
    if "beside" in found:
        shown += [f"{found['this'] / found['beside']:.3f}", f"{found['this'] - found['beside']:+,.0f}"]
    return shown


if __name__ == "__main__":
    main()
