"""The TLS of an access: certificates and keys, in files or in memory, and the context that is made of them."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from swarmlib import Invalid
from swarmlib.net.tls import client_context

Stamp: TypeAlias = tuple[object, ...]
_MISSING: Final = "missing"


@dataclass(frozen=True)
class Pem:
    """A certificate or key in PEM.

    what: names it in errors, such as "client-key-data of the user 'me' in FILE". path: its file, or None for `data`.
    """

    what: str
    path: Path | None = None
    data: bytes = field(default=b"", repr=False)

    def read(self) -> bytes:
        """Return its bytes.

        Raises:
            Invalid: the file can't be read.
        """
        try:
            return self.data if self.path is None else self.path.read_bytes()
        except OSError as exc:
            raise Invalid(f"can't read {self.what}, {self.path}: {exc.strerror}") from exc

    def stamp(self) -> object:
        """Return a value that changes when its file does."""
        if self.path is None:
            return self.data
        try:
            found = self.path.stat()
        except OSError:
            return _MISSING
        return found.st_mtime_ns, found.st_size, found.st_ino


@dataclass(frozen=True)
class Tls:
    """How a server is verified, and what is shown to it.

    ca: the authority; without one, the system's authorities are trusted. server_name: the name in the server's
    certificate, if that is not the host of its URL. verify: false if any server is trusted.
    """

    ca: Pem | None = None
    certificate: Pem | None = None
    key: Pem | None = None
    server_name: str = ""
    verify: bool = True

    def stamp(self) -> Stamp:
        """Return a value that changes when one of the files does."""
        return tuple(each.stamp() for each in (self.ca, self.certificate, self.key) if each is not None)

    def context(self) -> ssl.SSLContext:
        """Read everything, and make the context.

        Raises:
            Invalid: a file can't be read, is not PEM, or the key does not belong to the certificate.
        """
        with tempfile.TemporaryDirectory(prefix="swarmlib-") as folder:  # OpenSSL reads certificates from files only
            texts = _files([self.ca, self.certificate, self.key], Path(folder))
            try:
                return client_context(*texts, verify=self.verify, server_name=self.server_name)
            except Invalid as exc:
                raise Invalid(self._named(exc.message, texts)) from exc

    def _named(self, message: str, texts: Sequence[str]) -> str:
        """Return an error's message with the names of what was given instead of the temporary files."""
        for pem, path in zip((self.ca, self.certificate, self.key), texts, strict=True):
            message = message.replace(path, pem.what) if pem is not None and pem.path is None else message
        return message


def _files(pems: Sequence[Pem | None], folder: Path) -> list[str]:
    """Return the path of each, "" for none; what is in memory is written to a file in `folder`, which is private."""
    paths: list[str] = []
    for number, pem in enumerate(pems):
        if pem is not None and pem.path is None:
            (folder / str(number)).write_bytes(pem.data)
        paths.append("" if pem is None else str(pem.path or folder / str(number)))
    return paths
