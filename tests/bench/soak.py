"""Minutes of mixed load over three engines, of which one is killed and restarted every half minute.

    python -m tests.bench.soak [--minutes 10] [--every 30]

Each worker makes a container, looks whether the list has it, inspects, stops and removes it, for ever. An answer is
wrong if it is neither right nor a clear error that names the engine; a call hangs if it takes longer than its deadline.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import socket
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.common import need, show
from tests.support.engines import Engine, Swarmd, engine, swarmd

_WORKERS = 4
_DEADLINE = 30.0
"""Seconds that any call may take: an engine's own work, and finding out that it is dead."""


class Soak:
    """The workers' findings."""

    def __init__(self, port: int, until: float) -> None:
        self._port = port
        self._until = until
        self.calls = Counter[str]()
        self.wrong: list[str] = []

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request; (status, JSON)."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_DEADLINE)
        try:
            given = json.dumps(body) if body is not None else None
            connection.request(method, path, given, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            data = answer.read()
        except TimeoutError:
            self.wrong.append(f"{method} {path}: no answer within {_DEADLINE:g} s")
            return 0, None
        except (http.client.HTTPException, OSError) as exc:
            self.wrong.append(f"{method} {path}: {exc!r}")
            return 0, None
        finally:
            connection.close()
        self.calls[f"{method} {answer.status}"] += 1
        return answer.status, json.loads(data) if data.strip() else None

    def work(self, number: int) -> None:
        """One worker."""
        for turn in itertools.count():
            if time.monotonic() > self._until:
                return
            self._round(f"soak-{number}-{turn}")

    def _round(self, name: str) -> None:
        body = {"Image": "busybox", "Cmd": ["sleep", "100"], "HostConfig": {"NetworkMode": "none"}}
        status, made = self.call("POST", f"/containers/create?name={name}", body)
        if self._judge("create", status, made, {201}):
            return
        for method, path, right in (
            ("POST", "start", {204}),
            ("GET", "json", {200}),
            ("POST", "kill", {204, 409}),
        ):
            status, answer = self.call(method, f"/containers/{name}/{path}")
            if not self._judge(path, status, answer, right) and path == "json" and answer["Id"] != made["Id"]:
                self.wrong.append(f"{name} is {answer['Id']}, not {made['Id']}")
        status, listed = self.call("GET", "/containers/json?all=1")
        home_is_up, _ = self.call("GET", f"/containers/{name}/json")
        if home_is_up == 200 and status == 200 and made["Id"] not in {each["Id"] for each in listed}:
            after, again = self.call("GET", "/containers/json?all=1")
            if after == 200 and made["Id"] not in {each["Id"] for each in again}:
                self.wrong.append(f"{name} can be inspected, but is not listed")
        while time.monotonic() < self._until:
            status, answer = self.call("DELETE", f"/containers/{name}?force=1")
            if not self._judge("delete", status, answer, {204, 404, 409}):
                return
            time.sleep(1)

    def _judge(self, what: str, status: int, answer: Any, right: set[int]) -> bool:
        """Whether it failed, and if so, with an error that is to be expected."""
        if status in right:
            return False
        message = str((answer or {}).get("message", "")) if isinstance(answer, dict) else str(answer)
        # 404 and 500 come from engines that have just been killed or are just starting, in their own words.
        if status not in (503, 504, 404, 500, 0) or not message:
            self.wrong.append(f"{what}: {status} {message}")
        return True


def resources(pid: int) -> tuple[float, int]:
    """Resident MiB, and open files."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir(f"/proc/{pid}/fd"))


def disturb(victim: Engine, gateway: Swarmd, until: float, every: float) -> list[tuple[float, int]]:
    """Kill and restart an engine again and again; what swarmd holds after each time."""
    held: list[tuple[float, int]] = []
    while time.monotonic() + every < until:
        time.sleep(every / 2)
        victim.kill()
        time.sleep(every / 2)
        victim.start()
        held.append(resources(gateway.process.pid))
    return held


def main() -> None:
    """Soak and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--every", type=float, default=30, help="seconds between two kills")
    given = parser.parse_args()
    need("dockerd")
    with ExitStack() as stack:
        engines = [stack.enter_context(engine()) for _ in range(3)]
        members = " ".join(f"({name}=docker {each.host})" for name, each in zip("abc", engines, strict=True))
        gateway = stack.enter_context(swarmd(f"balance {members}"))
        until = time.monotonic() + given.minutes * 60
        soak = Soak(gateway.port, until)
        workers = [threading.Thread(target=soak.work, args=(number,)) for number in range(_WORKERS)]
        for each in workers:
            each.start()
        held = disturb(engines[2], gateway, until, given.every)
        for each in workers:
            each.join()
        with socket.create_connection(("127.0.0.1", gateway.port), 5):
            held.append(resources(gateway.process.pid))
    show("Calls by method and status", ["", "times"], sorted(soak.calls.items()))
    show("swarmd after each restart", ["MiB", "files"], [(f"{memory:.0f}", files) for memory, files in held])
    show(f"Wrong: {len(soak.wrong)}", ["what", "times"], Counter(soak.wrong).most_common(20))


if __name__ == "__main__":
    main()
