"""Counts what a chain does for one request, and prints it as JSON. `tests.bench.hops` runs this, in any checkout.

It imports nothing of the tests, so that the Python of another checkout can run it:

    OTHER/.venv/bin/python tests/bench/counted.py 'debug | docker' /_ping [--requests 500] [--unobserved]

Every call of a Python function, and every resumption of a coroutine, is one event of `sys.setprofile`; so is every call
of a function written in C, among which are the system calls.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import sys
from collections import Counter
from functools import partial
from types import FrameType
from typing import Any, Final

import trio

from swarmlib import Chain
from swarmlib_backends.observe.observation import Observation

_WARM_UP: Final = 50
"""Requests that are not counted: caches fill, and the connection to the engine opens."""
_SYSTEM_CALLS: Final = {
    "read": ("read", "readv", "socket.recv", "socket.recv_into"),
    "write": ("write", "writev", "socket.send", "socket.sendmsg"),
    "epoll_ctl": ("epoll.modify", "epoll.register", "epoll.unregister"),
    "epoll_wait": ("epoll.poll",),
    "poll": ("poll.poll",),
}


class Profile(trio.abc.Instrument):
    """Counts in the thread that runs trio, while `on`."""

    def __init__(self) -> None:
        self.on = False
        self.steps = self.tasks = self.python = self.native = self.scopes = 0
        self.natives = Counter[str]()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Begin or end to count, as the client wants it."""
        sys.setprofile(self._seen if self.on else None)
        self.steps += self.on

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """Count a task."""
        self.tasks += self.on

    def _seen(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "call":
            self.python += 1
            self.scopes += frame.f_code.co_qualname == "CancelScope.__enter__"
        elif event == "c_call":
            self.native += 1
            self.natives[arg.__qualname__] += 1

    def each(self, requests: int) -> dict[str, float]:
        """Return the counts of one request."""
        found: dict[str, float] = {"tasks": self.tasks, "task steps": self.steps, "cancel scopes": self.scopes}
        for shown, names in _SYSTEM_CALLS.items():
            found[shown] = sum(self.natives[name] for name in names)
        found |= {"Python calls": self.python, "C calls": self.native}
        return {name: round(count / requests, 1) for name, count in found.items()}


def ask(port: int, path: str, requests: int, profile: Profile) -> None:
    """Send requests on one connection, one after another, and have all but the first ones counted."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for number in range(_WARM_UP + requests):
        profile.on = number >= _WARM_UP
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != 200 or not answer.read():
            raise RuntimeError(f"{path} is answered {answer.status}")
    profile.on = False
    connection.close()


async def count(stages: str, path: str, requests: int, *, observed: bool) -> dict[str, float]:
    """Serve a chain, and return the counts of one request."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    profile, observer = Profile(), Observation().root if observed else None
    trio.lowlevel.add_instrument(profile)
    async with Chain.read(f"dockerserver tcp://127.0.0.1:{port} | {stages}").open(observer=observer):
        await trio.to_thread.run_sync(ask, port, path, requests, profile)
    return profile.each(requests)


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", help="of the chain after dockerserver, as one text")
    parser.add_argument("path", help="what is asked, such as /_ping")
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--unobserved", action="store_true", help="not as swarmd, which observes its chains")
    given = parser.parse_args()
    found = trio.run(partial(count, given.stages, given.path, given.requests, observed=not given.unobserved))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
