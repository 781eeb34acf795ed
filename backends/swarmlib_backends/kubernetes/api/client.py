"""A cluster's apiserver: JSON requests, streams, and connections that are upgraded.

    async with Api.open(access) as api:
        pod = await api.get(PODS.path("ci", "web-1"))

Objects are the apiserver's own JSON, and its errors are raised as a `SwarmError` (see `errors`). A call is repeated if
it certainly had no effect: it was never sent, the cluster refused it as too many (429), or it is a GET. One that
upgrades a connection may have started a command, and so is not repeated once it was sent.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

import httpx
import orjson
import trio

from swarmlib import UNSENT, BadAnswer, Invalid, SwarmError, TimedOut, Unavailable

from ...http.handshakes import closing_unfinished
from ...http.one_piece import OnePiece
from ...http.received import Body, why
from ...http.upgraded import NetworkStream
from .access import Access
from .connections import Connections
from .credentials import Headers, Shown
from .errors import error_of

Params: TypeAlias = Mapping[str, str] | Sequence[tuple[str, str]]
T = TypeVar("T")

CONNECT_SECONDS: Final = 10.0
DEADLINE_SECONDS: Final = 75.0
"""How long a call may take, with its repetitions; and how long a stream may take to begin. The apiserver itself gives
up on a request after 60 s."""
MAX_BODY: Final = 256 * 1024 * 1024
"""The most bytes of an answer. Lists are asked for in pages, of which none is as large; see `watch`."""
_MAX_ERROR: Final = 1024 * 1024
_TRIES: Final = 5
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 30.0
"""If the cluster asks to wait for longer than that, its refusal is raised at once."""
_SWITCHING: Final = 101
_OUTDATED: Final = "outdated"
"""The detail of a refusal (401) after which other credentials are shown."""
_JSON: Final = "application/json"


@dataclass(frozen=True)
class _Call:
    """A request, before it is sent."""

    method: str
    path: str
    params: Params = ()
    content: bytes = b""
    headers: Headers = ()
    repeatable: bool = False
    """Whether it may be repeated after it was sent, as it has no effect."""

    @property
    def name(self) -> str:
        """What errors call it. Parameters are left out: they may hold a user's words."""
        return f"{self.method} {self.path}"


class Upgraded:
    """A connection that was upgraded: the status 101, the answer's headers, and the stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.stream: trio.abc.Stream = NetworkStream(response, "the cluster")


class Api:
    """The calls to an apiserver. Any number of them may be made side by side."""

    def __init__(self, access: Access, connections: Connections) -> None:
        self.access = access
        self._connections = connections

    @classmethod
    @asynccontextmanager
    async def open(cls, access: Access) -> AsyncGenerator[Api]:
        """Open the access; nothing is sent yet. All connections are closed at the end of the context."""
        connections = Connections(access)
        try:
            yield cls(access, connections)
        finally:
            await connections.aclose()

    async def get(self, path: str, params: Params = ()) -> Any:
        """Return an object, or a list.

        Raises:
            SwarmError: the apiserver's error; Unavailable if it can't be reached, TimedOut after `DEADLINE_SECONDS`.
        """
        return await self._json(_Call("GET", path, params, repeatable=True))

    async def get_text(self, path: str, params: Params = ()) -> bytes:
        """Return the JSON text of an object, or a list, as it came. Raises what `get` does."""
        return await self._text(_Call("GET", path, params, repeatable=True))

    async def post(self, path: str, body: Any, params: Params = ()) -> Any:
        """Create an object, and return it as it was created. Raises what `get` does."""
        return await self._json(_with_body("POST", path, params, body, _JSON))

    async def put(self, path: str, body: Any, params: Params = ()) -> Any:
        """Replace an object, and return the new one. Raises what `get` does."""
        return await self._json(_with_body("PUT", path, params, body, _JSON))

    async def patch(self, path: str, body: Any, params: Params = ()) -> Any:
        """Change an object, and return the new one. Raises what `get` does.

        body: a list is a JSON Patch (RFC 6902), which may test what it replaces; an object is a merge patch (RFC 7386).
        """
        form = "json-patch" if isinstance(body, list) else "merge-patch"
        return await self._json(_with_body("PATCH", path, params, body, f"application/{form}+json"))

    async def delete(self, path: str, body: Any = None, params: Params = ()) -> Any:
        """Delete an object, or all objects of a list, and return the apiserver's answer. Raises what `get` does.

        body: DeleteOptions, such as a propagation policy or preconditions.
        """
        return await self._json(_with_body("DELETE", path, params, {} if body is None else body, _JSON))

    @asynccontextmanager
    async def stream(self, path: str, params: Params = ()) -> AsyncGenerator[trio.abc.ReceiveStream]:
        """Open the body of a GET as a stream, such as that of logs. It has no deadline once it has begun.

        Raises:
            SwarmError: as for `get`. The stream raises trio.BrokenResourceError if it breaks off.
        """
        async with self._opened(_Call("GET", path, params, repeatable=True)) as (_, body):
            yield body

    @asynccontextmanager
    async def upgrade(
        self, method: str, path: str, params: Params = (), headers: Headers = (), *, repeatable: bool = False
    ) -> AsyncGenerator[Upgraded]:
        """Upgrade a connection; it is closed at the end of the context.

        headers: those of the wanted protocol, `Connection` and `Upgrade` among them.
        repeatable: whether the upgrade itself has no effect, and may be tried again if its answer does not come.

        Raises:
            SwarmError: as for `get`; the apiserver's error, with its `code`, if it refuses.
            BadAnswer: it answers with another success than 101.
        """
        async with self._opened(_Call(method, path, params, headers=headers, repeatable=repeatable)) as (response, _):
            if response.status_code != _SWITCHING:
                raise BadAnswer(f"the cluster answered {response.status_code} where 101 was expected: {method} {path}")
            yield Upgraded(response)

    async def _text(self, call: _Call) -> bytes:
        with _deadline(call):
            return await self._repeated(call, lambda: self._whole(call))

    async def _json(self, call: _Call) -> Any:
        raw = await self._text(call)
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError as exc:
            raise BadAnswer(f"the cluster's answer is not JSON: {call.name}") from exc

    async def _whole(self, call: _Call) -> bytes:
        async with self._answered(call) as (_, body):
            return await _whole(body, MAX_BODY)

    @asynccontextmanager
    async def _opened(self, call: _Call) -> AsyncGenerator[tuple[httpx.Response, Body]]:
        """Give the answer to a call, whose body has not been read."""
        async with AsyncExitStack() as stack:
            with _deadline(call):
                answer = await self._repeated(call, lambda: stack.enter_async_context(self._answered(call)))
            yield answer

    async def _repeated(self, call: _Call, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return the result of an attempt, and repeat those that certainly had no effect."""
        refused = False
        for number in range(_TRIES):
            try:
                return await attempt()
            except SwarmError as exc:
                pause = _pause(call, exc, number)
                if exc.details.get(_OUTDATED) and not refused:
                    refused, pause = True, 0.0
                if pause is None or number == _TRIES - 1:
                    raise
            await trio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    @asynccontextmanager
    async def _answered(self, call: _Call) -> AsyncGenerator[tuple[httpx.Response, Body]]:
        """Make one attempt, and give its answer. Raises the apiserver's error."""
        credentials = self.access.credentials
        shown = await credentials.shown()
        async with self._connections.transport(shown) as transport:
            async with closing_unfinished() as extensions:
                request = self._request(call, shown, extensions)
                with _unreached(call, self.access.server):
                    response = await transport.handle_async_request(request)
            async with Body(response, "the cluster") as body:
                if response.status_code != _SWITCHING and not 200 <= response.status_code < 300:
                    said = await _whole(body, _MAX_ERROR)
                    error = error_of(response.status_code, said, response.headers.get("Retry-After", ""))
                    if response.status_code == 401 and credentials.refused(shown):
                        error.details = {**error.details, _OUTDATED: True}
                    raise error
                yield response, body

    def _request(self, call: _Call, shown: Shown, extensions: Mapping[str, Any]) -> httpx.Request:
        headers = [
            ("User-Agent", "swarmlib"),
            ("Accept", f"{_JSON}, */*"),
            *self.access.impersonation,
            *shown.headers,
            *call.headers,
        ]
        made = httpx.Request(
            call.method,
            self.access.server + call.path,
            params=httpx.QueryParams([*(call.params.items() if isinstance(call.params, Mapping) else call.params)]),
            headers=headers,
            content=call.content,
            extensions={**extensions, "timeout": {"connect": CONNECT_SECONDS}},
        )
        made.stream = OnePiece(call.content)
        return made


def _with_body(method: str, path: str, params: Params, body: Any, form: str) -> _Call:
    return _Call(method, path, params, orjson.dumps(body), (("Content-Type", form),))


def _pause(call: _Call, exc: SwarmError, number: int) -> float | None:
    """Return the seconds to wait before a failed call is repeated, or None if it must not be."""
    usual = _FIRST_PAUSE * 2.0**number
    if exc.details.get("code") == 429:
        pause = max(usual, float(exc.details.get("retry_after", 0)))
        return pause if pause <= _LONGEST_PAUSE else None
    if exc.details.get(UNSENT):
        return usual
    may_pass = isinstance(exc, Unavailable | TimedOut) and not isinstance(exc, BadAnswer)
    return usual if call.repeatable and may_pass else None


async def _whole(body: Body, limit: int) -> bytes:
    try:
        return await body.whole(limit)
    except trio.BrokenResourceError as exc:
        raise Unavailable(str(exc)) from exc


@contextmanager
def _deadline(call: _Call) -> Generator[None]:
    with trio.move_on_after(DEADLINE_SECONDS) as scope:
        yield
    if scope.cancelled_caught:
        raise TimedOut(f"timed out: the cluster did not answer within {DEADLINE_SECONDS:g} s: {call.name}")


@contextmanager
def _unreached(call: _Call, server: str) -> Generator[None]:
    """Raise httpx's errors as swarmlib's: those of connecting say that nothing was sent."""
    try:
        yield
    except (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL) as exc:
        # httpx's own message may quote a header, and so a token.
        raise Invalid(f"the request to {server} can't be sent: a header or the address is not valid") from exc
    except httpx.ConnectTimeout as exc:
        text = f"can't connect to {server}: it did not answer within {CONNECT_SECONDS:g} s"
        raise Unavailable(text, details={UNSENT: True}) from exc
    except (httpx.ConnectError, httpx.ProxyError) as exc:
        raise Unavailable(f"can't connect to {server}: {why(exc)}", details={UNSENT: True}) from exc
    except httpx.HTTPError as exc:
        raise Unavailable(f"the connection to {server} broke: {why(exc)}: {call.name}") from exc
