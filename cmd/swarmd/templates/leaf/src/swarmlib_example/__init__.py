"""The backend `example`: containers in memory, each of which says the words of its command."""

from dataclasses import dataclass
from typing import Any, ClassVar

from swarmlib import Conflict, option
from swarmlib_backends.enginekit import Accepted, Container, ContainerServer

__all__ = ["Example"]


class Speaker(Container):
    """A container that says the words of its command, a line each; without any it runs until it is stopped."""

    async def run(self) -> int:
        """Do what the container does; returns its exit code."""
        for word in self.command:
            await self.say(f"{word}\n")
        return 0 if self.command else await super().run()


@dataclass
class Example(ContainerServer[Speaker]):
    """Containers in memory: each says the words of its command and ends; one without any runs until it is stopped."""

    most: int = option("containers at once, at most", default=1000)
    accepted: ClassVar[Accepted] = Accepted("a container of example")

    def make(self, id: str, name: str, body: dict[str, Any]) -> Speaker:
        """Return a new container. A field of the body that can't be honoured was refused by its name before."""
        if len(self.store) >= self.most:
            raise Conflict(f"there are {self.most} containers already")
        return Speaker(id, name, body)
