"""How tars are unpacked in Pods, by swarmlib's tools."""

from __future__ import annotations

from typing import Final

from .shim import BUSYBOX

UNPACK: Final = f"""
cd -- "$1" || exit
shift
{BUSYBOX} tar -xf - --numeric-owner "$@"
code=$?
{BUSYBOX} cat >/dev/null
exit "$code"
"""
"""A script that unpacks its input in a folder, with options of tar. All of the input is read, also what follows a tar's
end: a cluster may lose how a process ended that does not."""
