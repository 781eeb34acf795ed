"""Credential plug-ins: programs that print a token or a certificate (client.authentication.k8s.io/v1 and v1beta1).

What a program printed is kept until it expires, or the cluster refuses it.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec
import orjson
import trio

from swarmlib import Denied, SwarmError, TooLarge
from swarmlib.errors import ungrouped

from .credentials import NOTHING, Credentials, Shown, bearer
from .tls import Pem

VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
RUN_SECONDS: Final = 60.0
"""How long a program may take. It can't ask anybody: its standard input is empty."""
_MAX_OUTPUT: Final = 1024 * 1024
_MAX_WORDS: Final = 4096
"""The most characters of a program's standard error that an error repeats."""


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: datetime | None = None


class _Printed(msgspec.Struct, frozen=True, rename="camel"):
    """What a program prints."""

    kind: str = ""
    api_version: str = ""
    status: _Status | None = None


@dataclass(frozen=True)
class Plugin:
    """A program, as a kubeconfig describes it.

    label: names the user in errors. cluster: what the program is told of the cluster, None for nothing. hint: how the
    program is installed.
    """

    label: str
    command: str
    args: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    version: str = VERSIONS[0]
    cluster: Mapping[str, Any] | None = None
    hint: str = ""

    def environment(self) -> dict[str, str]:
        """Return the environment that the program is run with."""
        spec: dict[str, Any] = {"interactive": False}
        if self.cluster is not None:
            spec["cluster"] = self.cluster
        info = {"apiVersion": self.version, "kind": "ExecCredential", "spec": spec}
        return {**os.environ, **self.environ, "KUBERNETES_EXEC_INFO": orjson.dumps(info).decode()}

    def denied(self, what: str) -> Denied:
        """Make the error about a run of the program."""
        return Denied(f"{self.label}: no credentials from {self.command}: {what}")


class PluginCredentials(Credentials):
    """The credentials that a program prints."""

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin
        self._running = trio.Lock()
        self._shown = NOTHING
        self._expires = 0.0
        """When what is held expires, in seconds since the epoch; 0 if nothing is held."""
        self._runs = 0
        self._failure = ""
        """Why the last run failed, "" if it didn't."""

    async def shown(self) -> Shown:
        """See `Credentials.shown`.

        Raises:
            Denied: the program fails, or prints something else; the error repeats its standard error.
        """
        runs = self._runs
        async with self._running:  # of many calls, one runs the program
            if self._expires <= time.time():
                if self._failure and self._runs > runs:  # in the run that this call has waited for
                    raise Denied(self._failure)
                await self._renew()
            return self._shown

    async def _renew(self) -> None:
        self._runs, self._failure = self._runs + 1, ""
        try:
            status = await _run(self._plugin)
            self._shown = _shown(status, self._plugin)
        except SwarmError as exc:
            self._failure = exc.message
            raise
        until = status.expiration_timestamp
        self._expires = until.timestamp() if until else float("inf")

    def refused(self, shown: Shown) -> bool:
        """See `Credentials.refused`."""
        if shown is self._shown:
            self._expires = 0.0
        return True


def _shown(status: _Status, plugin: Plugin) -> Shown:
    certificate, key = status.client_certificate_data, status.client_key_data
    if bool(certificate) != bool(key):
        raise plugin.denied("it printed only one of clientCertificateData and clientKeyData")
    if not (status.token or certificate):
        raise plugin.denied("it printed neither a token nor a certificate")
    headers = bearer(status.token) if status.token else ()
    if not (certificate and key):
        return Shown(headers)
    of = f"that {plugin.command} printed for {plugin.label}"
    return Shown(
        headers,
        Pem(f"the certificate {of}", None, certificate.encode()),
        Pem(f"the key {of}", None, key.encode()),
    )


async def _run(plugin: Plugin) -> _Status:
    """Run the program, and return what it printed.

    Raises:
        Denied: it can't be run, fails, takes too long, or prints something else.
    """
    gathered = _Gathered()
    code: int | None = None
    with trio.move_on_after(RUN_SECONDS):
        code = await gathered.run(plugin)
    if code is None:
        raise plugin.denied(f"it took longer than {RUN_SECONDS:g} s{gathered.words}")
    if code:
        raise plugin.denied(f"it ended with the exit status {code}{gathered.words}")
    try:
        printed = msgspec.json.decode(gathered.output, type=_Printed)
    except msgspec.MsgspecError as exc:  # its text has no values
        raise plugin.denied(f"it printed no valid ExecCredential: {exc}{gathered.words}") from exc
    if printed.kind != "ExecCredential" or printed.api_version != plugin.version:
        raise plugin.denied(f"it printed another kind or version than an ExecCredential of {plugin.version}")
    if printed.status is None:
        raise plugin.denied("it printed no status")
    return printed.status


class _Gathered:
    """What a program prints, and what it says on its standard error."""

    def __init__(self) -> None:
        self.output = bytearray()
        self._said = bytearray()

    @property
    def words(self) -> str:
        """What it said, as the end of an error."""
        text = self._said.decode("utf-8", "replace").strip()[-_MAX_WORDS:]
        return f": {text}" if text else ""

    async def run(self, plugin: Plugin) -> int:
        """Run the program to its end, and return its exit status. It is terminated when this is cancelled.

        Raises:
            Denied: it can't be run.
            TooLarge: it prints too much.
        """
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        run = partial(trio.run_process, check=False, env=plugin.environment(), **pipes)
        with ungrouped():
            async with trio.open_nursery() as nursery:
                try:
                    process: trio.Process = await nursery.start(run, [plugin.command, *plugin.args])
                except OSError as exc:
                    hint = f"; {plugin.hint}" if plugin.hint else ""
                    raise plugin.denied(f"it can't be run: {exc.strerror or exc}{hint}") from exc
                assert process.stdout is not None
                assert process.stderr is not None
                nursery.start_soon(_gather, process.stderr, self._said)
                await _gather(process.stdout, self.output)
        return int(process.returncode or 0)


async def _gather(stream: trio.abc.ReceiveStream, into: bytearray) -> None:
    async for piece in stream:
        into += piece
        if len(into) > _MAX_OUTPUT:
            raise TooLarge(f"a credential plug-in printed more than {_MAX_OUTPUT} bytes")
