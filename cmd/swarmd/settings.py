"""A configuration file as `swarmd` reads it: the chains, and the table `[swarmd]`.

The keys of `[swarmd]` are options of `swarmd run`; what is given on the command line has precedence.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from swarmlib_backends.configuration import Configuration
from swarmlib_backends.toml_tables import Table

from .logs import Form, set_up


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

    def over(self, others: Self) -> Self:
        """Return these settings, and the others' where these leave them open."""
        return type(self)(
            self.control or others.control, self.log_format or others.log_format, self.verbose or others.verbose
        )

    def become(self, new: Self) -> tuple[Self, Sequence[str]]:
        """Apply what can be changed while the process runs.

        Return the settings that hold now, and a sentence about each one that is not as before.
        """
        said: list[str] = []
        if (new.log_format, new.verbose) != (self.log_format, self.verbose):
            new.set_up_logs()
            said.append(
                f"the log has the format {new.log_format or 'text'}{' and is verbose' if new.verbose else ''} now"
            )
        if new.control != self.control:
            said.append(f"control = {str(new.control or '')!r} needs a restart; until then, it is as it was")
        return replace(new, control=self.control), said

    def set_up_logs(self) -> None:
        """Have log records written so."""
        set_up(logging.INFO if self.verbose else logging.WARNING, self.log_format or "text")

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
