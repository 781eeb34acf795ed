"""Which dialect is used, and what is remembered."""

from typing import Literal

import pytest
import trio

from swarmlib.errors import BadAnswer, Denied, NotFound, SwarmError, Unavailable
from swarmlib_backends.kubernetes.streams.negotiate import Dialect, Dialects
from swarmlib_backends.kubernetes.streams.remote import RemoteCommand, remote_command
from tests.backends.kubernetes.streams.fake_api import SUCCESS, FakeApi

EXEC = RemoteCommand("exec", "main", ("echo", "a b"))
V5 = ("GET", "v5.channel.k8s.io")
SPDY = ("POST", "v4.channel.k8s.io")
V4 = ("GET", "v4.channel.k8s.io")
FORBIDDEN = Denied("pods/exec is forbidden", details={"code": 403, "reason": "Forbidden"})


async def run(api: FakeApi, dialects: Dialects) -> list[tuple[str, str]]:
    """Run a command, and return what was asked for."""
    api.asked.clear()
    async with remote_command(api, "ns", "pod", EXEC, dialects=dialects) as process:
        assert await process.receive() is None
    return [(method, protocol) for method, protocol, _ in api.asked]


@pytest.mark.parametrize(
    ("spoken", "first", "later"),
    [
        (tuple(Dialect), [V5], [V5]),
        ((Dialect.SPDY, Dialect.V4), [V5, SPDY], [SPDY]),
        ((Dialect.V4,), [V5, SPDY, V4], [V4]),
    ],
)
async def test_the_best_dialect_is_found_once(
    nursery: trio.Nursery, spoken: tuple[Dialect, ...], first: list[tuple[str, str]], later: list[tuple[str, str]]
) -> None:
    api, dialects = FakeApi(nursery, lambda served: served.finish(SUCCESS), spoken=spoken), Dialects()
    assert await run(api, dialects) == first
    assert api.asked[0][2] == "container=main&command=echo&command=a b&stdout=true&stderr=true"
    assert await run(api, dialects) == later


async def test_a_missing_right_is_not_a_dialect_that_is_not_spoken(nursery: trio.Nursery) -> None:
    api, dialects = FakeApi(nursery, lambda served: served.finish(SUCCESS)), Dialects()
    api.errors["GET"] = FORBIDDEN
    assert await run(api, dialects) == [V5, SPDY]
    api.errors.clear()
    assert await run(api, dialects) == [V5]


async def test_nothing_is_learnt_from_a_request_that_all_dialects_refuse(nursery: trio.Nursery) -> None:
    api, dialects = FakeApi(nursery, lambda served: served.finish(SUCCESS)), Dialects()
    api.errors |= dict.fromkeys(("GET", "POST"), Denied("no", details={"code": 400, "reason": ""}))
    with pytest.raises(Denied):
        await run(api, dialects)
    assert len(api.asked) == 3
    api.errors.clear()
    assert await run(api, dialects) == [V5]


@pytest.mark.parametrize(
    "error",
    [
        NotFound('pods "pod" not found', details={"code": 404, "reason": "NotFound"}),
        Unavailable("container not found", details={"code": 500, "reason": ""}),
        Unavailable("can't connect to https://k: refused"),
    ],
)
async def test_another_refusal_ends_the_search(nursery: trio.Nursery, error: SwarmError) -> None:
    api = FakeApi(nursery, lambda served: served.finish(SUCCESS), errors={"GET": error})
    with pytest.raises(type(error)) as caught:
        await run(api, Dialects())
    assert caught.value is error
    assert len(api.asked) == 1


@pytest.mark.parametrize("header", ["Sec-WebSocket-Accept", "Sec-WebSocket-Protocol", "X-Stream-Protocol-Version"])
async def test_an_answer_that_does_not_fit_is_refused(
    nursery: trio.Nursery, header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken = (Dialect.SPDY,) if header.startswith("X-") else (Dialect.V5,)
    api = FakeApi(nursery, lambda served: served.finish(SUCCESS), spoken=spoken)
    monkeypatch.setattr(api, "forged", {header: "something else"})
    with pytest.raises(BadAnswer, match=f"wrong header {header}"):
        await run(api, Dialects())


@pytest.mark.parametrize(("kind", "stdin"), [("attach", True), ("exec", False)])
async def test_version_4_asks_for_the_input_of_an_attach_lest_it_be_ended(
    nursery: trio.Nursery, kind: Literal["exec", "attach"], stdin: bool
) -> None:
    api = FakeApi(nursery, lambda served: served.finish(SUCCESS), spoken=(Dialect.V4,))
    command = RemoteCommand(kind, "main")
    async with remote_command(api, "ns", "pod", command, dialects=Dialects()) as process:
        assert await process.receive() is None
    asked = ["stdin=true" in params for _, _, params in api.asked]
    assert asked == [False, False, stdin]
