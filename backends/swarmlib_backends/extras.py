"""Modules that need an extra of the package, which only some installations have."""

from __future__ import annotations

from importlib import import_module

import trio

from swarmlib import Invalid


async def load(module: str, *, stage: str, extra: str) -> None:
    """Import a module, in a thread: it may take seconds, in which other stages go on.

    stage, extra: which stage needs it, and the extra that it is in.

    Raises:
        Invalid: the extra isn't installed.
    """
    try:
        await trio.to_thread.run_sync(import_module, module)
    except ModuleNotFoundError as exc:
        raise Invalid(f"{stage} requires its extra: pip install 'swarmlib[{extra}]' ({exc})", backend=stage) from exc
