"""What is read of a build's context before an engine is chosen for it."""

import gzip
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlib import BytesStream
from swarmlib_backends.balance.contexts import images
from tests.support.builds import context as packed


async def named(sent: bytes, dockerfile: str = "Dockerfile") -> list[str]:
    """The images, after checking that nothing of the context is lost."""
    found, stream = await images(BytesStream(sent), dockerfile)
    assert b"".join([bytes(piece) async for piece in stream]) == sent
    return found


@pytest.mark.parametrize(
    ("dockerfile", "expected"),
    [
        (b"FROM busybox\nRUN true\n", ["busybox"]),
        (b"# FROM x\nfrom  --platform=linux/amd64  a:1  as  Base\nFROM base\nFROM b@sha256:1", ["a:1", "b@sha256:1"]),
        (b"FROM a\nCOPY --chown=1 --from=b:2 /x /y\nCOPY --from=0 /x /y\nADD x y", ["a", "b:2"]),
        (b"ARG BASE\nFROM $BASE\nFROM ${BASE}:1", []),
        (b"FROM", []),
        (b"", []),
        (b"\xff\xfe FROM", []),
    ],
)  # fmt: skip
async def test_the_images_of_a_dockerfile(dockerfile: bytes, expected: list[str]) -> None:
    context = packed({".dockerignore": b"x", "a/b": b"y" * 700, "Dockerfile": dockerfile, "z": b""})
    assert await named(context) == expected
    assert await named(gzip.compress(context)) == expected
    assert await named(context, dockerfile="./Dockerfile") == expected


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
async def test_a_dockerfile_of_another_name_behind_long_and_odd_names(format: int) -> None:
    files = {"d" * 300 + "/x": b"1", "sub/Other": b"FROM busybox"}
    assert await named(packed(files, format=format), dockerfile="sub/Other") == ["busybox"]


async def test_a_dockerfile_that_comes_late_is_not_waited_for() -> None:
    assert await named(packed({"0": bytes(300_000), "Dockerfile": b"FROM busybox"})) == []
    assert await named(gzip.compress(packed({"0": bytes(50_000_000), "Dockerfile": b"FROM busybox"}))) == []


async def test_a_dockerfile_whose_reading_would_take_long_is_the_engines_alone() -> None:
    line = b"FROM busybox\n"
    assert await named(packed({"Dockerfile": line * (32 * 1024 // len(line))})) == ["busybox"]
    assert await named(packed({"Dockerfile": line * (32 * 1024 // len(line) + 1)})) == []


@pytest.mark.parametrize("dockerfile", [b"FROM \\\n  a:1\n", b"# escape=`\nFROM `\n a:1\nRUN echo FROM b\n"])
async def test_a_dockerfile_is_read_as_the_builder_reads_it(dockerfile: bytes) -> None:
    assert await named(packed({"Dockerfile": dockerfile})) == ["a:1"]


@given(st.binary(max_size=2000) | st.builds(lambda tail: b"\x1f\x8b" + tail, st.binary(max_size=200)))
async def test_garbage_names_no_images(context: bytes) -> None:
    assert await named(context) == []


@given(st.data())
async def test_a_damaged_context_is_passed_on_as_it_is(data: st.DataObject) -> None:
    whole = bytearray(packed({"Dockerfile": b"FROM busybox", "x": b"y"}))
    for _ in range(data.draw(st.integers(0, 8))):
        whole[data.draw(st.integers(0, 1500))] = data.draw(st.integers(0, 255))
    assert len(await named(bytes(whole[: data.draw(st.integers(0, len(whole)))]))) <= 1
