"""`swarmd azure`, as tests run it against the fake ARM."""

import sys

import trio

from tests.support.command import invoke

COMMAND = [sys.executable, "-m", "swarmd", "azure"]
GROUP = ["--group", "prod", "--allow", "192.0.2.1"]
CREATE = [*COMMAND, "create", "box", "--no-wait", *GROUP]


async def run(*words: str, code: int = 0) -> tuple[str, str]:
    """The command in this process, which has imported the SDK already, in a thread beside the fake's."""
    extra = ["--no-wait"] if words[0] == "create" else []  # there is nothing behind the fake's machines
    done = await trio.to_thread.run_sync(lambda: invoke("azure", *words, *extra, *GROUP, code=code))
    return done.stdout, done.stderr
