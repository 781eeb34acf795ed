"""`exec`: local processes as workloads, so that a chain is of use with no engine at all.

It speaks the Docker Engine API's own objects. A workload's image is only a name here: the programs are the host's.

By default a workload is a plain process of this machine: it sees and may do what its user may, which is swarmd's own
unless another one is asked for. Who may use a plain `exec` run by root has this machine. It gets no file, variable,
group, key or terminal of swarmd's, and no new privileges if it runs as another user, but nothing keeps it from files,
sockets, networks or CPU and memory of the machine. Its /proc shows the processes of the workload alone: they are in a
pid namespace, so that all end together, whatever they do, also when swarmd is killed. Where swarmd is not root, the
namespace belongs to a user namespace, in which programs such as sudo get no privileges; where the machine has none of
these, a workload that kills its holder may leave processes behind, and swarmd logs a warning.

With the label swarmlib.isolation=bubblewrap (or --runtime bubblewrap) it runs in a sandbox: see `sandbox` for what that
keeps it from, and what not.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import trio

from swarmlib import Request, Unsupported, option
from swarmlib.quantities import Size

from ..dockerapi.operations import ContainerTop
from ..enginekit.bodies import Accepted
from ..enginekit.operations import answers, operations_of, ref_of
from ..enginekit.output import Output
from ..enginekit.refusals import check_running
from ..enginekit.server import ContainerServer
from .body import PROCESS, check, console_size
from .execs import Execs
from .launching import Launcher
from .process_container import ProcessContainer
from .sandbox import Sandbox, runtimes


@dataclass
class Exec(ContainerServer[ProcessContainer]):
    """Local processes as workloads: runs the programs of this machine, whatever the image.

    When the process of a workload ends, all processes that it started end too. When swarmd ends, for whatever reason,
    all workloads end.
    """

    log_size: Size = option("how much output of each workload is kept", default=2**24)
    sandbox_host_network: bool = option(
        "allow --network host in sandboxes, which gives them every socket on the machine's network",
        default=False,
    )

    accepted: ClassVar[Accepted] = PROCESS

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold the processes. When the stage closes they are asked to end, then made to."""
        self._launcher = Launcher()
        async with self._launcher.open(), super().lifespan():
            execs = Execs(self.store, self.nursery, self._output)
            self.operations = {**self.operations, **operations_of(execs)}
            yield

    def check(self, body: Any) -> dict[str, Any]:
        """Return the body of a creation, if a process can honour it. Raises `SwarmError`."""
        return check(body)

    def make(self, id: str, name: str, body: dict[str, Any]) -> ProcessContainer:
        """Return a new workload. Raises `SwarmError` if it asks for a sandbox that can't be."""
        sandbox = Sandbox.of(body, id[:12], host_network=self.sandbox_host_network)
        made = ProcessContainer(id, name, body, self._output(), launcher=self._launcher, sandbox=sandbox)
        made.size = console_size(made.host)
        return made

    def about(self) -> dict[str, Any]:
        """Return what an `info` says besides."""
        return {"OperatingSystem": "processes", "Runtimes": runtimes()}

    def _output(self) -> Output:
        return Output(self.log_size)

    @answers("ContainerTop")
    async def _top(self, request: Request) -> dict[str, Any]:
        workload = self.store.find(ref_of(request))
        return await processes(workload, ContainerTop.of(request).ps_args)


_COLUMNS: Final = "user,pid,ppid,pcpu,stime,tty,time,args"


async def processes(workload: ProcessContainer, ps_args: str) -> dict[str, Any]:
    """Return the processes in a workload's pid namespace, without its init, or those of its session where it has none.

    What holds the processes in its place there is not shown.

    Raises:
        Conflict: it doesn't run. Unsupported: there are options for ps.
    """
    check_running(workload)
    if ps_args != "-ef":
        raise Unsupported("ps options are not supported by top")
    namespace = _pid_namespace(workload.pid)
    chosen = ["-s", str(workload.pid)] if namespace == _pid_namespace(os.getpid()) else ["-e"]
    command = ["ps", *chosen, "-o", f"pidns,{_COLUMNS}"]
    shown = await trio.run_process(command, capture_stdout=True, check=False)
    (_, *titles), *rows = [line.split(None, 8) for line in shown.stdout.decode(errors="replace").splitlines()]
    inside = {int(row[2]): row[1:] for row in rows if row[0] == namespace}
    hidden = {*(made.process.holder for made in workload.inside.values() if made.process is not None)}
    hidden |= {int(inside[workload.pid][2]) if workload.pid in inside else 0}
    return {"Titles": titles, "Processes": [row for pid, row in inside.items() if pid not in hidden]}


def _pid_namespace(pid: int) -> str:
    """Return the number of a process's pid namespace, or "" if it has ended just now."""
    try:
        return str(os.stat(f"/proc/{pid}/ns/pid").st_ino)
    except OSError:
        return ""
