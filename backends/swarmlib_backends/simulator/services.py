"""The programs of pulled images that have one of their own."""

from __future__ import annotations

import math
import signal
from typing import Final

import trio

from .process import Program, Run

_HELLO: Final = """
Hello from Docker!
This message shows that your installation appears to be working correctly.

To generate this message, Docker took the following steps:
 1. The Docker client contacted the Docker daemon.
 2. The Docker daemon pulled the "hello-world" image from the Docker Hub.
    (amd64)
 3. The Docker daemon created a new container from that image which runs the
    executable that produces the output you are currently reading.
 4. The Docker daemon streamed that output to the Docker client, which sent it
    to your terminal.

To try something more ambitious, you can run an Ubuntu container with:
 $ docker run -it ubuntu bash

Share images, automate workflows, and more with a free Docker ID:
 https://hub.docker.com/

For more examples and ideas, visit:
 https://docs.docker.com/get-started/

"""


async def serve(run: Run) -> int:
    """Run until it is asked to end, as services do at once."""
    with trio.CancelScope() as scope:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            run.on_signal(number, scope.cancel)
        await run.sleep(math.inf)
    return 0


async def hello(run: Run) -> int:
    """Say what the image hello-world says."""
    await run.stdout.send_all(_HELLO.encode())
    return 0


OWN: Final[dict[str, Program]] = {"service": serve, "hello-world": hello}
"""By what the file of such a program says (`pulled`)."""
