"""The Azure SDK's HTTP transport on httpx: under trio, its requests end as soon as they are cancelled.

azure-core's own transport for trio runs requests in threads, where a request can't be cancelled before its timeout.

    async with ComputeManagementClient(credential, subscription, transport=HttpxTransport()) as compute: ...

Clients and credentials that are used side by side may share one transport, and so its connections.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Final, Self, cast
from urllib.request import getproxies

import httpx
import trio
from azure.core.exceptions import (
    ServiceRequestError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest

# azure-core's base class for the responses of transports; its own three transports use it, too.
from azure.core.rest._http_response_impl_async import AsyncHttpResponseImpl
from wsproto.utilities import generate_accept_token, generate_nonce

from swarmlib import BadAnswer, Invalid, Unavailable

from ..http.handshakes import closing_unfinished
from ..http.one_piece import OnePiece
from ..http.received import why
from ..http.upgraded import NetworkStream
from .trust import trusted

CONNECT_SECONDS: Final = 20.0
READ_SECONDS: Final = 75.0
"""ARM itself gives up on a request after 60 s."""
_METADATA: Final = "169.254.169.254"
"""The address of a machine's own metadata in Azure."""
_LIMITS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=20)
"""There is no maximum, as httpcore counts for ever a connection whose call is cancelled when it has just been made."""
_BLOCK_SIZE: Final = 64 * 1024
_SWITCHING: Final = 101


class HttpxTransport(AsyncHttpTransport[HttpRequest, AsyncHttpResponse]):
    """Sends the SDK's requests by httpx. The pipeline handles redirects, as with azure-core's own transports.

    verify: the TLS context, in place of the environment's (see `trust`). Proxies are taken from the environment, too
    (HTTPS_PROXY, NO_PROXY); none of them reaches the endpoint of managed identities.

    Raises:
        Invalid: a variable of the environment names no certificates, or no proxy.
    """

    def __init__(self, *, verify: ssl.SSLContext | None = None) -> None:
        tls = verify or trusted()
        try:
            ways = {**_secured(tls), f"all://{_METADATA}": None}
            self._client = httpx.AsyncClient(verify=tls, limits=_LIMITS, mounts=ways)
        except (ValueError, httpx.InvalidURL) as exc:  # the text may hold the proxy's password
            forms = "expected http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT"
            raise Invalid(f"HTTPS_PROXY, HTTP_PROXY or ALL_PROXY is no proxy: {forms}") from exc

    async def open(self) -> None:
        """Do nothing: connections are opened when they are needed."""

    async def close(self) -> None:
        """Close all connections; the transport can't be used afterwards."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object, **__: object) -> None:
        await self.close()

    async def sleep(self, duration: float) -> None:
        """Sleep for a number of seconds."""
        await trio.sleep(duration)

    async def send(self, request: HttpRequest, **kwargs: Any) -> AsyncHttpResponse:
        """Send a request and return its answer, whose body has been read unless `stream` is true.

        Raises:
            ServiceRequestError: the request was never sent; ServiceRequestTimeoutError if connecting timed out.
            ServiceResponseError: no complete answer came; ServiceResponseTimeoutError if it timed out.
            TypeError: an option is set that this transport doesn't have.
        """
        stream = kwargs.pop("stream", False)
        connect, read = kwargs.pop("connection_timeout", CONNECT_SECONDS), kwargs.pop("read_timeout", READ_SECONDS)
        if unknown := {name for name, value in kwargs.items() if value is not None}:
            raise TypeError(f"{type(self).__name__} knows no {', '.join(sorted(unknown))}: give it a TLS context")
        async with closing_unfinished() as extensions:
            with _errors():
                outgoing = self._client.build_request(
                    request.method,
                    request.url,
                    headers=dict(request.headers),
                    timeout=httpx.Timeout(read, connect=connect),
                    extensions=extensions,
                    **_content(request),
                )
                if isinstance(request.content, bytes | str):
                    outgoing.stream = OnePiece(outgoing.content)
                answer = _Answer(request, await self._client.send(outgoing, stream=True))
                if not stream:
                    await answer.read()
        return answer

    @asynccontextmanager
    async def websocket(self, url: str) -> AsyncGenerator[trio.abc.Stream]:
        """Give the connection to a WebSocket after its handshake, for the time of the context.

        url: wss://…

        Raises:
            Unavailable: it can't be reached. BadAnswer: it answers with something else.
        """
        nonce = generate_nonce()
        asked = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": nonce.decode(),
        }
        timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        host = httpx.URL(url).host
        async with AsyncExitStack() as stack:
            extensions = await stack.enter_async_context(closing_unfinished())
            address = url.replace("wss", "https", 1)
            call = self._client.stream("GET", address, headers=asked, timeout=timeout, extensions=extensions)
            try:
                response = await stack.enter_async_context(call)
            except httpx.HTTPError as exc:
                raise Unavailable(f"can't open a WebSocket to {host}: {why(exc)}") from exc
            accepted = response.headers.get("Sec-WebSocket-Accept")
            if response.status_code != _SWITCHING or accepted != generate_accept_token(nonce).decode():
                raise BadAnswer(f"{host} answered {response.status_code} where a WebSocket was asked for")
            yield NetworkStream(response, host)


def _secured(tls: ssl.SSLContext) -> dict[str, httpx.AsyncBaseTransport | None]:
    """Return the ways by those proxies that are reached by TLS; httpx itself would only trust browsers' authorities."""
    named = getproxies()
    if "*" in [host.strip() for host in named.get("no", "").split(",")]:
        return {}
    urls = {scheme: named.get(scheme, "") for scheme in ("http", "https", "all")}
    proxies = {scheme: url for scheme, url in urls.items() if url.lower().startswith("https://")}
    return {
        f"{scheme}://": httpx.AsyncHTTPTransport(verify=tls, limits=_LIMITS, proxy=httpx.Proxy(url, ssl_context=tls))
        for scheme, url in proxies.items()
    }


class _Answer(AsyncHttpResponseImpl):
    def __init__(self, request: HttpRequest, response: httpx.Response) -> None:
        cast("Any", super()).__init__(  # the base class is untyped
            request=request,
            internal_response=response,
            block_size=_BLOCK_SIZE,
            status_code=response.status_code,
            reason=response.reason_phrase,
            content_type=response.headers.get("content-type"),
            headers=response.headers,
            stream_download_generator=partial(_pieces, response),
        )

    async def close(self) -> None:
        if not self.is_closed:
            self._is_closed = True
            await cast("Any", self)._internal_response.aclose()


async def _pieces(internal: httpx.Response, *, decompress: bool, **_: object) -> AsyncIterator[bytes]:
    with _errors():
        async for piece in internal.aiter_bytes(_BLOCK_SIZE) if decompress else internal.aiter_raw(_BLOCK_SIZE):
            yield piece


def _content(request: HttpRequest) -> dict[str, Any]:
    body = request.content
    return {"data": body} if isinstance(body, dict) else {"content": body}


@contextmanager
def _errors() -> Generator[None]:
    try:
        yield
    except httpx.ConnectTimeout as exc:
        raise ServiceRequestTimeoutError(f"timed out connecting to {exc.request.url.host}", error=exc) from exc
    except (httpx.ConnectError, httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.ProxyError) as exc:
        raise ServiceRequestError(f"can't connect to {exc.request.url.host}: {why(exc)}", error=exc) from exc
    except httpx.InvalidURL as exc:
        raise ServiceRequestError(str(exc), error=exc) from exc
    except httpx.TimeoutException as exc:
        raise ServiceResponseTimeoutError(f"{exc.request.url.host} did not answer in time", error=exc) from exc
    except httpx.HTTPError as exc:
        raise ServiceResponseError(f"the answer of {exc.request.url.host} broke: {why(exc)}", error=exc) from exc
