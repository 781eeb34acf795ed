"""A configuration file as `swarmd` reads it: the chains, and the table `[swarmd]`.

The keys of `[swarmd]` are options of `swarmd run`; what is given on the command line has precedence.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from swarmlib_backends.configuration import Configuration
from swarmlib_backends.toml_tables import Table

from .logs import Form


@dataclass(frozen=True)
class Settings:
    """The settings of the process.

    Attributes:
        control: the control socket.
        log_format: how log records are written.
        verbose: whether to log more.
    """

    control: Path | None = None
    log_format: Form | None = None
    verbose: bool = False

    @classmethod
    def read(cls, table: Table) -> Self:
        """Read the table.

        Raises:
            Invalid: a key is unknown, or its value wrong; the error names the line.
        """
        control, form, verbose = table.filled("control"), table.text("log-format"), table.flag("verbose")
        table.end()
        return cls(Path(control) if control else None, table.read("log-format", form, _form), verbose)


def _form(given: str | None) -> Form | None:
    match given:
        case "text":
            return "text"
        case "json":
            return "json"
        case None:
            return None
        case _:
            raise ValueError(f"invalid value {given!r:.60}: expected text or json")


def read_file(path: Path) -> tuple[Configuration, Settings]:
    """Read a configuration file.

    Raises:
        Invalid: it can't be read, or is wrong; the error names the line.
    """
    configuration = Configuration.read_file(path)
    return configuration, Settings.read(configuration.swarmd)
