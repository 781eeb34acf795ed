"""Tars that are read strictly and written anew: whatever they hold, the result says the same to every reader."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from swarmlib import BytesStream, SwarmError, TooLarge
from swarmlib_backends.tars import Change, Rewritten, Tar, with_content

LONG = "folder/" * 40 + "name"


def entry(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


ENTRIES = [
    entry("./a", b"x" * 700, mode=0o640, uid=1000, gid=7, mtime=1234567890),
    entry(LONG, b"long"),
    entry("link", type=tarfile.SYMTYPE, linkname=LONG),
    entry("hard", type=tarfile.LNKTYPE, linkname="a"),
    entry("folder", type=tarfile.DIRTYPE, mode=0o755),
    entry("device", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    entry("pipe", type=tarfile.FIFOTYPE),
    entry("grüße", b"", uid=1 << 40),
]


def packed(format: int, **headers: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format, pax_headers=headers) as archive:
        for info, data in ENTRIES:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


async def unchanged(_tar: Tar, _info: tarfile.TarInfo) -> bytes | None:
    return None


async def rewritten(data: bytes, change: Change = unchanged) -> bytes:
    stream = Rewritten(BytesStream(data), change)
    found = b""
    try:
        while piece := await stream.receive_some(100):
            found += piece
    except trio.BrokenResourceError:
        assert stream.failure is not None
        raise stream.failure from None
    return found


def said(data: bytes) -> list[tuple[object, ...]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        return [
            (
                each.name,
                each.type,
                each.linkname,
                each.mode,
                each.uid,
                each.mtime,
                each.devminor,
                content(archive, each),
            )
            for each in archive
        ]


def content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    found = archive.extractfile(info) if info.isreg() else None
    return found.read() if found is not None else b""


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, bz2.compress, lzma.compress, lambda data: gzip.compress(b"") + gzip.compress(data)]
)
@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
async def test_every_entry_passes(format: int, pack: Callable[[bytes], bytes]) -> None:
    data = packed(format, comment="of all")
    assert said(await rewritten(pack(data))) == said(data)


async def test_attributes_pass_and_other_extensions_do_not() -> None:
    info, _ = entry("a", b"x", pax_headers={"SCHILY.xattr.security.capability": "\x01\0\udcff", "comment": "no"})
    made = await rewritten(with_content(info, b"x") + bytes(1024))
    with tarfile.open(fileobj=io.BytesIO(made)) as archive:
        (found,) = archive
        assert dict(found.pax_headers) == {
            "hdrcharset": "BINARY",  # as its value is not UTF-8
            "SCHILY.xattr.security.capability": "\x01\0\udcff",
        }


async def test_what_is_replaced_and_left_out() -> None:
    async def change(tar: Tar, info: tarfile.TarInfo) -> bytes | None:
        if info.name == "./a":
            return with_content(info, (await tar.content(1000))[:3])
        return b"" if info.isreg() else None

    found = said(await rewritten(packed(tarfile.PAX_FORMAT), change))
    assert [(each[0], each[-1]) for each in found[:2]] == [("./a", b"xxx"), ("link", b"")]
    assert "grüße" not in [each[0] for each in found]


async def test_what_is_too_long_is_refused() -> None:
    async def change(tar: Tar, info: tarfile.TarInfo) -> bytes | None:
        return await tar.content(100) and None

    with pytest.raises(TooLarge, match="has 700 bytes: the maximum is 100"):
        await rewritten(packed(tarfile.PAX_FORMAT), change)


def extended(type: bytes, data: bytes, size: int | None = None) -> bytes:
    info, _ = entry("x", type=type)
    info.size = len(data) if size is None else size
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512)


FILE = with_content(tarfile.TarInfo("a"), b"content")
WRONG = {
    "not a tar": b"x" * 1024,
    "too short": FILE[:700],
    "nothing after an extension": extended(b"x", b"9 path=b\n") + bytes(1024),
    "an extension that is too long": extended(b"x", b"", 1 << 30),
    "a record that is too long": extended(b"x", b"99 path=b\n") + FILE,
    "a record without a name": extended(b"x", b"4 b\n") + FILE,
    "a sparse file": extended(b"x", b"22 GNU.sparse.major=1\n") + FILE,
    "a sparse file of GNU": extended(b"S", b"") + bytes(1024),
    "a negative size": extended(b"x", b"10 size=-1\n") + FILE,
    "a size that is no number": extended(b"x", b"9 size=x\n") + FILE,
    "a type that nobody knows": extended(b"Z", b"") + bytes(1024),
    "a name with a NUL": extended(b"x", b"11 path=b\0c\n") + FILE,
    "a checksum that is wrong": FILE[:100] + b"9" + FILE[101:],
    "broken compression": gzip.compress(FILE)[:-9],
    "compression that has no end": gzip.compress(FILE)[:-1],
}


@pytest.mark.parametrize("what", WRONG)
async def test_what_readers_could_disagree_on_is_refused(what: str) -> None:
    with pytest.raises(SwarmError, match="Error processing tar file"):
        await rewritten(WRONG[what])


@given(st.data())
async def test_damage_is_an_error_or_says_one_thing(data: st.DataObject) -> None:
    damaged = bytearray(packed(tarfile.PAX_FORMAT))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    seen = list[str]()

    async def note(_tar: Tar, info: tarfile.TarInfo) -> bytes | None:
        seen.append(info.name)
        return None

    try:
        made = await rewritten(bytes(damaged), note)
    except SwarmError:
        return
    with tarfile.open(fileobj=io.BytesIO(made), mode="r:") as archive:
        assert [each.name for each in archive] == [name.rstrip("/") for name in seen]
