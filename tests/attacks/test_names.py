"""Names that lead elsewhere (`../canary`), or that are another spelling of a name (`./ID`): no stage ever sees one.

They come from Python callers, from clients of dockerserver and from peers of listen; the core refuses them all.
"""

import timeit
from pathlib import Path
from typing import Any

import pytest

from swarmlib import Chain, Error, Invalid, Json, Request, SwarmError, TooLarge, Verb, connect
from swarmlib.asking import answer, ask
from swarmlib.names import MAX_LENGTH, MAX_PARTS, check_path
from swarmlib.wire.codec import encode
from swarmlib.wire.reply_codec import decode_reply
from swarmlib_backends import DockerServer, Exec, Simulator
from swarmlib_backends.dockerapi.canonical import canonical
from tests.support.wire_peers import Leaf, http

NO_NAMES = [
    "",
    ".",
    "..",
    "../canary",
    "./web",
    "web/",
    "web/.",
    "web/..",
    "/web",
    "//web",
    "a//b",
    "a/./b",
    "a/../b",
    "line\nend",
    "nul\0",
    "esc\x1b[2J",
    "del\x7f",
    "next\x85line",
    "\ud800",
]
NAMES = [
    "web",
    "a/b",
    "registry:5000/a/b:tag@sha256:0",
    "..web",
    "web..",
    "...",
    ".web",
    "two words",
    "a%2f..%2fb",
    "日本語",
]


@pytest.mark.parametrize("name", NO_NAMES, ids=repr)
def test_no_request_can_be_made_with_what_is_no_name(name: str) -> None:
    for verb in Verb:
        for path in ((name,), ("containers", name), ("containers", name, "json"), (name, "x")):
            with pytest.raises(Invalid) as refused:
                Request(verb, path)
            assert repr(name) in refused.value.message
    with pytest.raises(Invalid):
        Request(Verb.GET).replace(path=(name,))


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_are_names(name: str) -> None:
    assert Request(Verb.GET, ("containers", name)).path == ("containers", name)


@pytest.mark.parametrize(
    "path", ["web", ["containers", "web"], ("containers", 5), (None,), (b"web",), ("a", ("b",)), 5]
)
def test_what_is_no_tuple_of_text_is_refused_in_words(path: Any) -> None:
    with pytest.raises(Invalid, match="invalid path: expected"):
        Request(Verb.GET, path)


def test_paths_have_bounds() -> None:
    check_path(("a",) * MAX_PARTS)
    check_path(("a" * MAX_LENGTH,))
    for path in (("a",) * (MAX_PARTS + 1), ("a" * (MAX_LENGTH + 1),), ("a" * MAX_LENGTH, "b")):
        with pytest.raises(TooLarge):
            check_path(path)


def test_a_path_that_was_right_once_says_nothing_of_others() -> None:
    check_path(("containers", "1"))
    with pytest.raises(Invalid):
        Request(Verb.GET, ("containers", 1))  # type: ignore[arg-type]
    for number in range(5000):  # more than are remembered
        check_path(("containers", str(number)))
        with pytest.raises(Invalid):
            check_path(("containers", f"../{number}"))


def test_an_error_may_speak_of_any_path() -> None:
    error = Invalid("no", path=("..", "\n"))
    came, _ = decode_reply(encode(Error(error), now=0.0))
    assert isinstance(came, Error)
    assert came.error.path == error.path


def test_the_check_costs_a_request_little() -> None:
    path = ("containers", "a" * 64, "json")
    cost = min(timeit.repeat(lambda: check_path(path), number=2000, repeat=20)) / 2000
    assert cost < 2e-6  # measured: 0.1 µs; the bound is for a machine that is busy


@pytest.mark.parametrize("name", [name for name in NO_NAMES if name], ids=repr)
async def test_a_python_caller_is_refused_and_no_stage_sees_it(name: str) -> None:
    leaf = Leaf()
    async with connect(leaf) as swarm:
        for ask in (swarm.get, swarm.rm, swarm.ls, swarm.set):
            with pytest.raises(Invalid):
                await ask("containers", name)
        with pytest.raises(Invalid):
            await swarm.workload(name).start()
    assert leaf.seen == []


TARGETS = [
    b"/containers/../images/x/json",
    b"/containers/..%2fcanary/json",
    b"/containers/%2e%2e/json",
    b"/containers/%2e/json",
    b"/containers/.%2fweb/json",
    b"/containers/web%2f/json",
    b"/containers//web/json",
    b"/containers/a%0ab/json",
    b"/containers/a%00b/json",
    b"/containers/a%7fb/json",
    b"/containers/a%c2%85b/json",
    b"/images/a/../b/json",
    b"/volumes/..%2f..%2fetc",
]


async def test_a_client_of_dockerserver_is_refused_and_no_stage_sees_it(tmp_path: Path) -> None:
    leaf, path = Leaf(), f"{tmp_path}/d.sock"
    async with Chain(DockerServer([f"unix://{path}"]), leaf).open():
        for target in TARGETS:
            for method in (b"GET", b"DELETE"):
                answer = await http(path, b"%s %s HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n" % (method, target))
                assert answer.split()[1] in (b"301", b"400", b"404"), (target, answer)
        assert leaf.seen == []
        assert b" 200 " in await http(path, b"GET /containers/a%2fb/json HTTP/1.1\r\nHost: d\r\n\r\n")
    assert [asked.path for asked in leaf.seen] == [("containers", "a/b")]


@pytest.mark.parametrize("text", ["simulator", "exec"])
async def test_the_built_in_leaves_refuse_what_reaches_them_all_the_same(text: str) -> None:
    async with Chain(text).open() as sender:
        for name in NO_NAMES:
            asked = Request(Verb.GET)
            asked.path = ("containers", name)  # past the core's check
            with pytest.raises(SwarmError) as refused:
                async with await ask(sender, asked) as replies:
                    await answer(replies)
            assert refused.value.code in ("not_found", "invalid", "not_implemented")


@pytest.mark.parametrize("name", ["a" * 65_536, "a" * MAX_LENGTH, "..", "../canary", "a//b", "a\n"])
def test_nothing_is_made_with_a_name_that_no_path_could_hold(name: str) -> None:
    body = Json.from_data({"Image": "busybox"})
    for path, params, value in (
        (("containers",), {"name": name}, body),
        (("networks",), {}, Json.from_data({"Name": name})),
        (("volumes",), {}, Json.from_data({"name": name})),
        (("services",), {}, Json.from_data({"Name": name})),
        (("secrets",), {}, Json.from_data({"Name": name})),
        (("configs",), {}, Json.from_data({"Name": name})),
    ):
        with pytest.raises((Invalid, TooLarge)):
            canonical(Request(Verb.SPAWN, path, params, value))
    with pytest.raises((Invalid, TooLarge)):
        canonical(Request(Verb.SET, ("containers", "web", "rename"), {"name": name}))


def test_what_has_a_proper_name_or_none_is_made() -> None:
    for name in ("web", "/web", "a" * 255):
        made = canonical(Request(Verb.SPAWN, ("containers",), {"name": name}, Json.from_data({"Image": "busybox"})))
        assert made.params == {"name": name}
    assert canonical(Request(Verb.SPAWN, ("volumes",), body=Json.from_data({"Name": ""}))).json == {"Name": ""}
    assert canonical(Request(Verb.SPAWN, ("containers",), {"name": ""}, Json.from_data({"Image": "a"}))).params == {
        "name": ""
    }


@pytest.mark.parametrize("stage", [Exec(), Simulator()], ids=lambda stage: stage.name)
async def test_no_workload_has_a_name_by_which_it_could_not_be_removed(stage: Exec | Simulator) -> None:
    async with connect(stage) as swarm:
        for path, params, value in (
            (("containers",), {"name": "a" * 65_536}, {"Image": "busybox", "Cmd": ["true"]}),
            (("networks",), {}, {"Name": "a" * 65_536}),
        ):
            with pytest.raises(SwarmError) as refused:
                await swarm.call(Verb.SPAWN, path, params=params, body=Json.from_data(value))
            assert refused.value.code in ("too_large", "invalid", "not_implemented")
        assert await swarm.ls("containers") == []
