"""The simulator's classic builder by itself: hostile Dockerfiles and contexts, bounds, and clients that leave."""

import gzip
import io
import json
import tarfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from swarmlib import BytesStream, Client, Internal, Invalid, SwarmError, TooLarge, Unsupported, Verb, connect
from swarmlib_backends.dockerfile.expansion import Expander, expanded
from swarmlib_backends.dockerfile.instructions import stages_of
from swarmlib_backends.dockerfile.lines import read
from swarmlib_backends.enginekit.configs import NO_CONFIG
from swarmlib_backends.simulator.build import patterns
from swarmlib_backends.simulator.build.configuration import Configuration, with_changes
from swarmlib_backends.simulator.build.context import context_of
from tests.support.builds import Content, context

_SECONDS = 2.0
"""What reading a Dockerfile may take."""
_WORDS = (
    *("FROM", "busybox", "ENV", "a=b", "COPY", "--from=x", "ARG", "ONBUILD", "HEALTHCHECK", "--interval=1", "CMD", "["),
    *(
        '"x"',
        "]",
        "\\",
        "\n",
        "\\\n",
        "#",
        "# escape=`\n",
        "`",
        "$",
        "${",
        "}",
        ":-",
        "'",
        '"',
        "EXPOSE",
        "80-90",
        "=",
        " ",
    ),
    *(
        "VOLUME",
        "LABEL",
        "WORKDIR",
        "USER",
        "SHELL",
        "STOPSIGNAL",
        "RUN",
        "--",
        "\t",
        "\0",
        "\r",
        "é",
        "\u2028",
        "\ufeff",
    ),
)


def judged(text: str) -> None:
    """Read a Dockerfile as a build does, up to what needs an engine."""
    dockerfile = read(text)
    _, stages = stages_of(dockerfile.lines)
    for stage in stages:
        config = Configuration(dict(NO_CONFIG))
        for step in stage.steps:
            expander = Expander(config.environment, dockerfile.escape)
            config.change(expanded(step, expander), expander)


@settings(deadline=None)
@given(st.lists(st.sampled_from(_WORDS)).map("".join) | st.text())
@example("FROM x\nENV a=" + "${a:-" * 10_000)
@example("FROM x\nRUN " + "\\\n" * 100_000)
@example("FROM x\n" + "ONBUILD " * 8_000)
@example("FROM x\nCMD " + "[" * 60_000)
@example("# a=x" + " " * 60_000 + "y\nFROM x")
@example("FROM x\nHEALTHCHECK --interval=" + "1a" * 30_000 + "! CMD x")
@example("FROM x\nEXPOSE " + "0-65535 " * 8_000)
def test_a_dockerfile_is_read_or_refused_in_bounded_time(text: str) -> None:
    begun = time.monotonic()
    with suppress(Invalid, Internal):
        judged(text)
    assert time.monotonic() - begun < _SECONDS


@settings(deadline=None)
@given(st.lists(st.sampled_from(_WORDS)).map("".join) | st.text())
def test_changes_of_an_import_are_judged_or_refused(text: str) -> None:
    with suppress(Invalid, Internal):
        with_changes(dict(NO_CONFIG), [text])


@given(st.binary() | st.binary().map(gzip.compress))
def test_a_context_is_read_or_refused(data: bytes) -> None:
    with pytest.raises(SwarmError):
        context_of(data, "Dockerfile", 0.0)


@given(st.binary(min_size=512, max_size=2048), st.integers(0, 1023))
def test_a_broken_context_is_read_or_refused(noise: bytes, at: int) -> None:
    data = bytearray(context({"Dockerfile": "FROM x", "a": "b"}))
    data[at : at + 8] = noise[:8]
    with suppress(SwarmError):
        context_of(bytes(data), "Dockerfile", 0.0)


def test_a_context_that_is_more_than_it_seems_is_refused() -> None:
    packed = gzip.compress(bytes(300 * 1024 * 1024), compresslevel=1)
    with pytest.raises(TooLarge, match="what is compressed is over"):
        context_of(packed, "Dockerfile", 0.0)


@pytest.mark.parametrize(
    ("lines", "path", "left_out"),
    [
        ("Dockerfile", "Dockerfile", True),
        ("*\n!Dockerfile", "Dockerfile", False),
        ("sub", "sub/Dockerfile", True),
        ("**/Dockerfile", "a/b/Dockerfile", True),
        ("**/Dockerfile", "Dockerfile", True),
        ("*/Dockerfile", "a/b/Dockerfile", False),
        ("# Dockerfile\n\n  /Dockerfile  ", "Dockerfile", True),
        ("Docker[a-z]ile", "Dockerfile", True),
        ("Docker?ile.", "Dockerfile", False),
    ],
)
def test_what_a_dockerignore_leaves_out(lines: str, path: str, left_out: bool) -> None:
    assert patterns.ignored(path, lines.splitlines()) is left_out


def test_names_in_a_context_never_lead_out() -> None:
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w") as archive:
        for name in ("../../Dockerfile", "/etc/passwd"):
            info = tarfile.TarInfo(name)
            info.size = 6
            archive.addfile(info, io.BytesIO(b"FROM x"))
    files, _ = context_of(buffer.getvalue(), "Dockerfile", 0.0)
    assert files.below("/") == ["/Dockerfile", "/etc", "/etc/passwd"]


@asynccontextmanager
async def swarm(chain: str = "simulator") -> AsyncGenerator[Client]:
    async with connect(chain) as client:
        yield client


async def build(client: Client, dockerfile: str, files: dict[str, Content] | None = None, **args: Any) -> list[Any]:
    att = BytesStream(context({"Dockerfile": dockerfile, **(files or {})}))
    answer = await client.call(Verb.SPAWN, ("build",), params=args, upload=att)
    return [each.json for each in (*answer.before,)]


async def test_an_image_is_built_of_one_that_is_pulled() -> None:
    async with swarm() as client:
        dockerfile = "FROM alpine:3\nARG what=x\nCOPY f /g\nENV a=$what\nRUN cat /g && echo $a\n"
        told = await build(client, dockerfile, {"f": "content "}, t="made:1", buildargs=json.dumps({"what": "given"}))
        assert {"status": "Status: Downloaded newer image for alpine:3"} in told
        assert {"stream": "given\n"} in told
        assert {"stream": "Successfully tagged made:1\n"} in told
        found = await client.get("images", "made:1")
        assert found["Config"]["Env"][-1] == "a=given"


async def test_it_refuses_what_it_has_not_by_its_name() -> None:
    async with swarm() as client:
        for args, name in (
            ({"version": "2"}, "BuildKit"),
            ({"outputs": '[{"Type": "local"}]'}, "outputs"),
            ({"session": "x"}, "session"),
            ({"platform": "linux/arm64"}, "linux/arm64"),
            ({"remote": "https://example.org/x.git"}, "https://example.org/x.git"),
        ):
            with pytest.raises(Unsupported, match=name):
                await build(client, "FROM busybox\n", **args)
        told = await build(client, "FROM busybox\nADD http://example.org/x /\n")
        assert "downloads nothing" in told[-1]["error"]


async def test_steps_have_a_bound() -> None:
    async with swarm() as client:
        with pytest.raises(Invalid, match="over 1000 steps"):
            await build(client, "FROM busybox\n" + "ENV a=b\n" * 1001)


async def test_who_leaves_ends_the_build() -> None:
    async with swarm() as client:
        with trio.move_on_after(0.2):
            await build(client, "FROM busybox\nRUN echo begun; sleep 1000\n")
        with trio.fail_after(5):
            while await client.ls("containers", all="1"):  # noqa: ASYNC110 - the engine can only be asked
                await trio.sleep(0.01)


async def test_a_failed_step_leaves_its_container_unless_it_is_to_be_removed() -> None:
    async with swarm() as client:
        told = await build(client, "FROM busybox\nRUN exit 3\n", forcerm="1")
        assert told[-1]["errorDetail"]["code"] == 3
        assert await client.ls("containers", all="1") == []
        await build(client, "FROM busybox\nRUN exit 3\n")
        assert len(await client.ls("containers", all="1")) == 1


async def test_a_path_with_two_slashes_is_one() -> None:
    async with swarm() as client:
        with trio.fail_after(5):
            told = await build(client, 'FROM busybox\nVOLUME ["rel", "//two"]\nRUN echo x > //y && cat //y //z\n')
        assert told[-1]["errorDetail"]["code"] == 1
