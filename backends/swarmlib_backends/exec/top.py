"""`docker top`: the processes of a workload."""

from __future__ import annotations

import os
from typing import Any, Final

import trio

from swarmlib import Unsupported

from .workload import Workload

_COLUMNS: Final = "user,pid,ppid,pcpu,stime,tty,time,args"


async def processes(workload: Workload, ps_args: str) -> dict[str, Any]:
    """Return the processes in a workload's pid namespace, without its init, or those of its session where it has none.

    What holds the processes in its place there is not shown.

    Raises:
        Conflict: it doesn't run. Unsupported: there are options for ps.
    """
    workload.check_running()
    if ps_args != "-ef":
        raise Unsupported("top takes no ps options here")
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
