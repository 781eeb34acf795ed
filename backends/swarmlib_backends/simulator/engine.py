"""One simulated engine: its stores over what they share, and the programs that its containers can run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from swarmlib import Client

from .container import Container
from .context import Context
from .files import Files
from .images import ImageStore
from .networks import NetworkStore
from .process import Program, contained
from .programs import PROGRAMS
from .pulled import OWN, program_in
from .ryuk import Ryuk
from .volumes import VolumeStore


@dataclass(kw_only=True, eq=False)
class Engine(Context):
    """One simulated engine: what its stores share, and they themselves."""

    given: Mapping[str, Program]
    """Programs by their names, or by the image whose containers run them."""
    client: Callable[[], Client]
    """The verbs over this engine, for a program that asks it; once it serves."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.images = ImageStore(self)
        self.networks = NetworkStore(self)
        self.volumes = VolumeStore(self)
        self.host_files = Files({})
        """The simulated machine's, of which containers mount folders; it has nothing but what they write there."""
        self._given = {name: contained(program) for name, program in self.given.items()}
        self._programs = {name: contained(program) for name, program in PROGRAMS.items()}

    def program(self, name: str, container: Container, *, first: bool = False) -> Program | None:
        """Return a program by its name or path in a container; None if there is none.

        What users gave comes before what a busybox has; what they gave for the image runs as its containers' `first`.
        """
        image = container.config["Image"]
        by_image = self._given.get(image) or self._given.get(image.partition(":")[0]) if first else None
        if given := self._given.get(name) or by_image:
            return given
        node = container.files.get(name if "/" in name else f"/usr/local/bin/{name}")
        own = program_in(node)
        if own == "ryuk":
            return Ryuk(self.client(), (container.listening or {}) if first else {})
        if own in OWN:
            return OWN[own]
        if "/" in name and (node is None or node.is_folder):
            return None
        return self._programs.get(name.rpartition("/")[2])

    def listens(self, container: Container) -> bool:
        """Return whether what a container runs really listens at its ports."""
        return isinstance(self.program(container.command[0], container, first=True), Ryuk)


class Family:
    """A family of operations of a simulated engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
