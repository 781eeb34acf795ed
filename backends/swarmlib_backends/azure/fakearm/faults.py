"""A script of failures: which requests fail, hang or break, when and how often."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from random import Random
from typing import Any, Final, Literal, cast, get_args

import trio

from swarmlib import Invalid

from .errors import ArmError

What = Literal["fail", "fail-later", "hang", "hang-halfway", "hang-later", "cut", "cut-halfway", "slow"]
_STATUS: Final = {
    "AllocationFailed": 409,
    "AuthorizationFailed": 403,
    "InternalServerError": 500,
    "MissingSubscriptionRegistration": 409,
    "OperationNotAllowed": 409,
    "QuotaExceeded": 409,
    "ResourceNotFound": 404,
    "ServiceUnavailable": 503,
    "SkuNotAvailable": 409,
    "TooManyRequests": 429,
}


@dataclass(eq=False)
class Fault:
    """One line of the script.

    do: what happens to a request that matches.
        fail: it is answered with the error, and does nothing. fail-later: it is accepted, and its operation fails.
        hang: no answer comes, nothing is done. hang-halfway: it is done, half of the answer comes.
        hang-later: it is accepted, and its operation never ends. slow: its operation takes `seconds` more.
        cut, cut-halfway: as the two hangs, but the connection breaks.
    method, path: which requests; `*` matches anything. The path is compared without regard to case.
    code, status, message, retry_after: the error; for Azure's usual codes the status is known.
    after: how many matching requests are let through first. times: how often it happens; 0 for always.
    rate: the probability that it happens to a matching request.
    """

    do: What
    method: str = "*"
    path: str = "*"
    code: str = "InternalServerError"
    status: int = 0
    message: str = ""
    retry_after: float = 0
    seconds: float = 0
    after: int = 0
    times: int = 1
    rate: float = 1
    hit: trio.Event = field(default_factory=trio.Event, init=False)
    """Set when the fault happens for the first time."""
    hits: int = field(default=0, init=False)

    def fits(self, method: str, path: str) -> bool:
        """Return whether a request matches the line."""
        return fnmatchcase(method, self.method) and fnmatchcase(path.lower(), self.path.lower())

    def strikes(self, random: Random) -> bool:
        """Return whether the fault happens to this matching request."""
        if self.times and self.hits >= self.times:
            return False
        if self.after:
            self.after -= 1
            return False
        if random.random() >= self.rate:
            return False
        self.hits += 1
        self.hit.set()
        return True

    @property
    def error(self) -> ArmError:
        """Return the error of the fault."""
        status = self.status or _STATUS.get(self.code, 400)
        message = self.message or f"{self.code} was asked for by the script of faults."
        return ArmError(status, self.code, message, retry_after=self.retry_after)


class Faults:
    """The script; `random` decides if a rate is below 1."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._script: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Add a line, and return it, so that the caller can see when it hits."""
        self._script.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all lines."""
        self._script.clear()

    def striking(self, method: str, path: str) -> list[Fault]:
        """Return the lines that happen to a request."""
        return [fault for fault in self._script if fault.fits(method, path) and fault.strikes(self._random)]

    def read(self, file: Path) -> None:
        """Add the lines of a JSON file: a list of objects with the fields of `Fault`.

        Raises:
            Invalid: the file can't be read, or a line is invalid; the message names it and what would be right.
        """
        try:
            lines = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as exc:
            raise Invalid(f"can't read the faults in {file}: {exc}") from exc
        if not isinstance(lines, list):
            raise Invalid(f"{file} must contain a list of faults")
        for number, line in enumerate(cast("list[Any]", lines), 1):
            self.add(_fault(line, f"{file}, fault {number}"))


def _fault(line: Any, where: str) -> Fault:
    known = {each.name for each in fields(Fault) if each.init}
    given = cast("dict[str, Any]", line) if isinstance(line, dict) else {}
    if set(given) - known or given.get("do") not in get_args(What):
        raise Invalid(f"{where}: expected an object with do ({', '.join(get_args(What))}) and any of "
                      f"{', '.join(sorted(known - {'do'}))}; it is {json.dumps(line)}")  # fmt: skip
    return Fault(**given)
