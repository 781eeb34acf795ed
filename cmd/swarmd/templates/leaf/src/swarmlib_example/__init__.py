"""The backend `example`: containers in memory, each of which prints the words of its command."""

from dataclasses import dataclass
from typing import Any, ClassVar

from swarmlib import Conflict, option
from swarmlib_backends.enginekit import Accepted, Container, ContainerServer

__all__ = ["Example"]


class Speaker(Container):
    """A container that prints each word of its command on a line; without any, it runs until it is stopped."""

    async def run(self) -> int:
        """Run the container, and return its exit code."""
        for word in self.command:
            await self.say(f"{word}\n")
        return 0 if self.command else await super().run()


@dataclass
class Example(ContainerServer[Speaker]):
    """Containers in memory: each prints the words of its command and exits, or runs until it is stopped."""

    most: int = option("maximum number of containers", default=1000)
    accepted: ClassVar[Accepted] = Accepted("a container of example")

    def make(self, id: str, name: str, body: dict[str, Any]) -> Speaker:
        """Return a new container. A field of the body that can't be honoured has already been refused."""
        if len(self.store) >= self.most:
            raise Conflict(f"too many containers: the maximum is {self.most}")
        return Speaker(id, name, body)
