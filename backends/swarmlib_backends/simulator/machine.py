"""Programs of a simulated container that tell of its machine, its users and its processes."""

from __future__ import annotations

import math
from typing import Final

from .process import Program, Run
from .text import letters
from .users import group_name

_UNAME: Final = {"s": "Linux", "n": "", "r": "5.10.0-simulated", "v": "#1 SMP", "m": "x86_64"}


async def _say(run: Run, text: str) -> int:
    return await run.say(f"{text}\n")


async def _hostname(run: Run) -> int:
    return await _say(run, run.env.get("HOSTNAME", ""))


async def _id(run: Run) -> int:
    user = run.user
    options = letters(run)
    groups = list(dict.fromkeys((user.gid, *user.groups)))
    if "G" in options:
        return await _say(run, " ".join(_numbered(run, gid, "n" in options) for gid in groups))
    if "g" in options:
        return await _say(run, _numbered(run, user.gid, "n" in options))
    if "u" in options:
        return await _say(run, user.name or str(user.uid) if "n" in options else str(user.uid))
    owner = f"uid={_called(user.uid, user.name)} gid={_called(user.gid, group_name(run.files, user.gid))}"
    further = [_called(gid, group_name(run.files, gid)) for gid in groups]
    return await _say(run, f"{owner} groups={','.join(further)}" if user.groups else owner)


def _numbered(run: Run, gid: int, named: bool) -> str:
    return (group_name(run.files, gid) if named else "") or str(gid)


def _called(number: int, name: str) -> str:
    return f"{number}({name})" if name else str(number)


async def _whoami(run: Run) -> int:
    if run.user.name:
        return await _say(run, run.user.name)
    return await run.fail(f"whoami: unknown uid {run.user.uid}")


async def _pwd(run: Run) -> int:
    return await _say(run, run.folder)


async def _uname(run: Run) -> int:
    options = letters(run) or "s"
    told = _UNAME | {"n": run.env.get("HOSTNAME", "")}
    return await _say(run, " ".join(text for letter, text in told.items() if letter in options or "a" in options))


async def _ps(run: Run) -> int:
    return await _say(run, _table(run))


async def _top(run: Run) -> int:
    """Return its first page; where it can't be told that keys were pressed, it stays until it is ended."""
    await _say(run, f"Mem: 0K used, 0K free, 0K shrd, 0K buff, 0K cached\n{_table(run)}")
    if "-b" not in run.args or "-n" not in run.args:
        await run.sleep(math.inf)
    return 0


def _table(run: Run) -> str:
    rows = [f"{each.pid:5} {each.user.name or each.user.uid:8} {' '.join(each.command)}" for each in run.beside()]
    return "\n".join(["  PID USER     COMMAND", *rows])


MACHINE: Final[dict[str, Program]] = {
    "hostname": _hostname,
    "id": _id,
    "ps": _ps,
    "pwd": _pwd,
    "top": _top,
    "uname": _uname,
    "whoami": _whoami,
}
