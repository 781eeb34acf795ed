"""Run a workload to its end and remove it, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import trio

from ..errors import NotFound, TimedOut
from ..reply_channel import CLEANUP_SECONDS
from .caller import WORKLOADS, Caller
from .handles import Handle, exit_code, spawned
from .objects import Finished
from .parameters import variables, words
from .talk import talk


async def run(
    client: Caller,
    image: str,
    command: str | Sequence[str],
    *,
    stdin: bytes | None,
    env: Mapping[str, str] | None,
    name: str,
    config: Mapping[str, Any],
) -> Finished:
    """See `Client.run`."""
    has_input = stdin is not None
    body: dict[str, Any] = {"Image": image, "OpenStdin": has_input, "StdinOnce": has_input, "Env": variables(env)}
    if command := words(command):
        body["Cmd"] = command
    spawn = partial(spawned, client, WORKLOADS, {**body, **config}, {"name": name} if name else {})
    async with _temporary(spawn) as workload:
        # Both begin before it starts, so that nothing is missed.
        stream = await workload.connect(stream=True, stdin=has_input, stdout=True, stderr=True)
        async with stream, workload.watch("wait", condition="next-exit") as ends:
            await workload.start()
            stdout, stderr = await talk(stream, stdin, tty=bool(config.get("Tty")))
            return Finished(stdout, stderr, await exit_code(ends))


@asynccontextmanager
async def _temporary(spawn: Callable[[], Awaitable[Handle]]) -> AsyncGenerator[Handle]:
    """Make a workload and remove it at the end, also when the caller is cancelled while it is being made."""
    made: list[Handle] = []

    async def make() -> None:
        made.append(await spawn())

    try:
        await _in_any_case(make)
        yield made[0]
    finally:
        for workload in made:
            await _remove(workload)


async def _in_any_case(step: Callable[[], Awaitable[None]]) -> None:
    """Do a step whose outcome must be known: if cancelled meanwhile, it still has `CLEANUP_SECONDS` to end."""
    scope = trio.CancelScope(shield=True)  # the cancellation sets its deadline
    ended = trio.Event()
    failed: list[Exception] = []

    async def attempt() -> None:
        try:
            with scope:
                await step()
        except Exception as exc:  # noqa: BLE001 - raised below; here it would come in a group with the cancellation
            failed.append(exc)
        ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(attempt)
        try:
            await ended.wait()
        finally:
            scope.deadline = trio.current_time() + CLEANUP_SECONDS
    for exc in failed:
        raise exc


async def _remove(workload: Handle) -> None:
    deadline = trio.current_time() + CLEANUP_SECONDS
    with trio.CancelScope(shield=True, deadline=deadline) as scope, suppress(NotFound):  # another caller may remove it
        await workload.rm(force=True, v=True)
    if scope.cancelled_caught:
        raise TimedOut(f"{workload.id} was not removed within {CLEANUP_SECONDS:g} s", path=workload.path)
