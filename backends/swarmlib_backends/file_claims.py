"""Files that one stage writes at a time, also if the other one is in another process."""

from __future__ import annotations

import sys

from swarmlib import Conflict


def claim(file: int, path: str, stage: str) -> None:
    """Claim an open file, until it is closed.

    Raises:
        Conflict: another stage of this kind writes to it.
    """
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise Conflict(f"{path} is in use by another {stage} stage") from exc
