"""What a machine's serial console has shown since its boot, by Azure's boot diagnostics."""

from __future__ import annotations

from .client import Arm, parts


async def console(arm: Arm, id: str) -> bytes:
    """Return the log of the machine with an id.

    Raises:
        Unavailable: there is no log yet. SwarmError: Azure refuses, as without boot diagnostics, or fails.
    """
    group, _, name = parts(id)
    found = await arm.called(arm.compute.virtual_machines.retrieve_boot_diagnostics_data(group, name))
    return await arm.fetch(str(found["serialConsoleLogBlobUri"]))
