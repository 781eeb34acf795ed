"""A TLS stream that can be half-closed, which trio's SSLStream can't and `docker run -i` needs.

TLS lets one side send close_notify and go on reading; `ssl.SSLObject` over two memory BIOs does so: `unwrap` writes
the alert and then wants to read the other side's, which we leave for later.

`server_context` and `client_context` read the material; `secured` is a server's side of a handshake.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path as FilePath
from typing import Any, Final

import trio

from ..errors import Invalid, Unavailable

HANDSHAKE_SECONDS: Final = 10.0
"""How long a client may take over a handshake."""
_LINGER_SECONDS: Final = 1.0
"""How long the other side may take to read why a handshake failed."""
_PLAIN_HTTP_REFUSED: Final = (
    b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
    b"Client sent an HTTP request to an HTTPS server.\n"
)
"""What Go's servers, and so dockerd, say to a client that forgot TLS."""
_log = logging.getLogger(__name__)


class _LeftAtOnce(Unavailable):
    """The other side closed the connection before it had sent a byte."""


class TlsStream(trio.abc.HalfCloseableStream):
    """TLS over `transport`; open it with `TlsStream.handshake`."""

    def __init__(
        self, transport: trio.abc.HalfCloseableStream, context: ssl.SSLContext, hostname: str | None, *, server: bool
    ) -> None:
        self.transport = transport
        self._received = ssl.MemoryBIO()
        self._to_send = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_side=server, server_hostname=hostname)
        self._send_lock = trio.Lock()
        self._half_closed = False
        self._heard = False
        self._transport_ended = False
        self._decrypted = b""

    @classmethod
    async def handshake(
        cls,
        transport: trio.abc.HalfCloseableStream,
        context: ssl.SSLContext,
        hostname: str | None = None,
        *,
        server: bool = False,
    ) -> TlsStream:
        """Shake hands; on failure, and when it is cancelled, the transport is closed.

        Raises:
            Unavailable: the other side isn't trusted, doesn't trust us, or speaks no TLS.
        """
        stream = cls(transport, context, hostname, server=server)
        try:
            try:
                await stream._run(stream._tls.do_handshake)
            except (ssl.SSLError, trio.BrokenResourceError) as exc:
                with trio.move_on_after(_LINGER_SECONDS):
                    await stream._say_why(exc)
                raise stream._failed(exc) from exc
        except BaseException:
            await trio.aclose_forcefully(transport)
            raise
        return stream

    def _failed(self, exc: Exception) -> Unavailable:
        if _is_plain_http(exc):
            return Unavailable("the TLS handshake failed: the peer speaks plain HTTP")
        if self._transport_ended or isinstance(exc, trio.BrokenResourceError):
            kind = Unavailable if self._heard else _LeftAtOnce
            return kind("the TLS handshake failed: the peer closed the connection")
        return Unavailable(f"the TLS handshake failed: {exc}")

    async def _say_why(self, exc: Exception) -> None:
        """Tell the other side why the handshake failed: by TLS's own alert, or in a sentence if it speaks plain HTTP.

        It reads on for a while, because closing a socket with unread bytes would take back what was sent.
        """
        try:
            if _is_plain_http(exc):
                await self.transport.send_all(_PLAIN_HTTP_REFUSED)
            else:
                await self._flush()
            await self.transport.send_eof()
            while await self.transport.receive_some(256 * 1024):
                pass
        except trio.BrokenResourceError:
            pass  # the other side did not wait for it

    async def _run(self, action: Callable[..., Any], *args: Any) -> Any:
        while True:
            try:
                result = action(*args)
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            else:
                await self._flush()
                return result

    async def _flush(self) -> None:
        async with self._send_lock:
            if data := self._to_send.read():
                await self.transport.send_all(data)

    async def _fill(self) -> None:
        data = await self.transport.receive_some(256 * 1024)
        if data:
            self._heard = True
            self._received.write(data)
        else:
            self._transport_ended = True
            self._received.write_eof()

    @property
    def peer_certificate(self) -> Mapping[str, Any] | None:
        """The other side's certificate, as `ssl.SSLSocket.getpeercert` gives it: only if it was verified."""
        return self._tls.getpeercert()

    @property
    def unread(self) -> bool:
        """Whether something was received that has not been read yet."""
        return bool(self._decrypted or self._received.pending or self._tls.pending())

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See `trio.abc.ReceiveStream`; the other side's close_notify is the end."""
        if self._decrypted:
            limit = max_bytes or len(self._decrypted)
            decrypted, self._decrypted = self._decrypted[:limit], self._decrypted[limit:]
            return decrypted
        try:
            return bytes(await self._run(self._tls.read, max_bytes or 256 * 1024))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        except ssl.SSLError as exc:
            raise trio.BrokenResourceError(str(exc)) from exc

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See `trio.abc.SendStream`."""
        if self._half_closed:
            raise trio.ClosedResourceError("the sending half is closed")
        view = memoryview(data)
        while view:
            try:
                view = view[self._tls.write(view) :]
            except ssl.SSLError as exc:  # what was received meanwhile ended it
                raise trio.BrokenResourceError(str(exc)) from exc
            await self._flush()

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream`."""
        await self.transport.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Send close_notify, and go on reading."""
        if self._half_closed:
            return
        self._half_closed = True
        if self._transport_ended:
            return  # nobody is there to be told
        # `unwrap` also looks for the other side's close_notify, and loses the data that it finds in its place.
        self._decrypted += self._tls.read(pending) if (pending := self._tls.pending()) else b""
        unread = self._received.read()
        try:
            self._tls.unwrap()
        except ssl.SSLWantReadError:
            pass  # the other side's close_notify comes when it is done
        except ssl.SSLError as exc:
            raise trio.BrokenResourceError(str(exc)) from exc
        finally:
            self._received.write(unread)
        await self._flush()

    async def aclose(self) -> None:
        """Close at once: HTTP/1.1 marks its own ends, so that nothing is gained by waiting for an alert."""
        await self.transport.aclose()


async def secured(
    stream: trio.abc.HalfCloseableStream, context: ssl.SSLContext, server: str, peer: str = "a client"
) -> TlsStream | None:
    """Put TLS on a client's connection; None if the handshake fails or takes longer than `HANDSHAKE_SECONDS`.

    A refusal is logged as a warning that names `server`, `peer` and the reason. A peer that connects and leaves without
    a byte, as the health checks of load balancers do, is logged at INFO only.
    """
    with trio.move_on_after(HANDSHAKE_SECONDS):
        try:
            return await TlsStream.handshake(stream, context, server=True)
        except Unavailable as exc:
            level = logging.INFO if isinstance(exc, _LeftAtOnce) else logging.WARNING
            _log.log(level, "%s: refused %s: %s", server, peer, exc)
            return None
    _log.warning("%s: refused %s: the TLS handshake timed out after %g s", server, peer, HANDSHAKE_SECONDS)
    return None


def _is_plain_http(exc: BaseException | None) -> bool:
    return isinstance(exc, ssl.SSLError) and exc.reason == "HTTP_REQUEST"


def server_context(cert: str, key: str, ca: str = "") -> ssl.SSLContext:
    """Make a server's side of TLS; with `ca`, only clients with a certificate of that authority are served. All are
    paths of PEM files.

    Raises:
        Invalid: one of them can't be read, or the key does not belong to the certificate; the error names the file.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load_own(context, cert, key)
    if ca:
        _load_authority(context, ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(
    ca: str, cert: str = "", key: str = "", *, verify: bool = True, server_name: str = ""
) -> ssl.SSLContext:
    """Make a client's side of TLS: it trusts the authority `ca`, or the system's authorities where that is empty, and
    shows its own certificate, if it has one. All are paths of PEM files.

    server_name: the name that the server is asked for and must prove, instead of that which was connected to.

    Raises:
        Invalid: one of them can't be read, or the key does not belong to the certificate; the error names the file.
    """
    context = _Named(server_name) if ca or server_name else ssl.create_default_context()
    if ca:
        _load_authority(context, ca)
    elif server_name:
        context.load_default_certs()
    if cert:
        _load_own(context, cert, key or cert)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _Named(ssl.SSLContext):
    """A client's context, with another name for the server than the connection has, if one is given."""

    def __new__(cls, server_name: str) -> _Named:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, server_name: str) -> None:
        self._server_name = server_name

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """See `ssl.SSLContext.wrap_bio`."""
        return super().wrap_bio(incoming, outgoing, server_side, self._server_name or server_hostname, session)


def _load_authority(context: ssl.SSLContext, path: str) -> None:
    file = _readable(path)
    try:
        context.load_verify_locations(file)
    except ssl.SSLError as exc:
        raise Invalid(f"the authority's certificate {path} is not valid PEM: {exc.reason or exc}") from exc


def _load_own(context: ssl.SSLContext, cert: str, key: str) -> None:
    files = _readable(cert), _readable(key)
    try:
        context.load_cert_chain(*files, password=_no_password)
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            raise Invalid(f"the key {key} does not belong to the certificate {cert}") from exc
        raise Invalid(f"the certificate {cert} or its key {key} is not valid PEM: {exc.reason or exc}") from exc


def _no_password() -> str:
    """Without this, OpenSSL would ask for the password of an encrypted key on the terminal, and wait for it."""
    raise Invalid("the key is encrypted; swarmlib reads only keys without a password, in files of mode 0600")


def _readable(path: str) -> str:
    """Return the path as OpenSSL takes it. OpenSSL itself does not say which file it could not read."""
    file = FilePath(path).expanduser()
    try:
        file.open("rb").close()
    except OSError as exc:
        raise Invalid(f"can't read the TLS file {file}: {exc.strerror}") from exc
    return str(file)
