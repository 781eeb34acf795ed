"""The control socket: what stages offer reaches their operator, and nobody else."""

import os
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from swarmlib import Ambiguous, Chain, Invalid, NotFound, Request, Server, Unavailable, Verb
from swarmlib.errors import ungrouped
from swarmlib_backends import control


@dataclass
class Held(Server):
    """Offers the calls that wait in a stage."""

    ids: list[str]

    async def ls(self, request: Request) -> list[str]:
        return self.ids

    async def start(self, request: Request) -> None:
        if request.path[1] not in self.ids:
            raise NotFound(f"no held call {request.path[1]}")
        self.ids.remove(request.path[1])


@dataclass
class Holding(Server):
    """A stage that holds calls."""

    ids: list[str] = field(default_factory=list[str])

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        async with control.offering("held", Held(self.ids)):
            yield


@asynccontextmanager
async def controlled(path: Path | None, *stages: Holding) -> AsyncGenerator[Path]:
    with control.desk() as desk:
        async with Chain(*stages).open(), control.serving(desk, path) as served:
            assert served is not None
            yield served


def approve(id: str) -> Request:
    return Request(Verb.START, ("held", id))


async def test_an_operator_reaches_what_a_stage_offers(tmp_path: Path) -> None:
    async with controlled(tmp_path / "c.sock", Holding(["a", "b"])) as path:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        await control.ask(path, approve("a"))
        assert await control.ask(path, Request(Verb.LS, ("held",))) == ["b"]
        with pytest.raises(NotFound, match="no held call a"):
            await control.ask(path, approve("a"))
        with pytest.raises(NotFound, match="no stage of this chain has leases; there are: held"):
            await control.ask(path, Request(Verb.LS, ("leases",)))
    assert not path.exists()
    with pytest.raises(Unavailable):
        await control.ask(path, approve("b"))


async def test_what_several_stages_offer_is_one_list(tmp_path: Path) -> None:
    async with controlled(tmp_path / "c.sock", Holding(["a"]), Holding(["b"])) as path:
        assert sorted(await control.ask(path, Request(Verb.LS, ("held",)))) == ["a", "b"]
        await control.ask(path, approve("a"))
        await control.ask(path, approve("b"))
        assert await control.ask(path, Request(Verb.LS, ("held",))) == []
        with pytest.raises(Ambiguous, match="2 stages"):
            await control.ask(path, Request(Verb.SPAWN, ("held",)))


async def test_a_chain_without_offers_makes_no_socket() -> None:
    with control.desk() as desk:
        async with Chain("simulator").open(), control.serving(desk, None) as path:
            assert path is None


async def test_a_stage_offers_nothing_where_nobody_could_ask() -> None:
    async with Chain(Holding(["a"])).open():
        with control.desk() as desk:
            assert not desk.offers


async def test_the_only_running_swarmd_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    async with controlled(None, Holding(["a"])) as path:
        assert await control.found("held") == path == tmp_path / "swarmd" / f"{os.getpid()}.sock"


async def test_of_several_swarmd_the_one_is_found_that_offers_what_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = tmp_path / "swarmd"
    folder.mkdir()
    with control.desk() as other:
        async with (
            control.offering("status", Held([])),
            control.serving(other, folder / "1.sock"),
            controlled(folder / "2.sock", Holding(["a"])) as path,
        ):
            assert await control.found("held") == path
            assert await control.found("status") == folder / "1.sock"
            with pytest.raises(Invalid, match=r"choose one with --control: .*1\.sock, .*2\.sock"):
                await control.found("tenants")


async def test_without_a_private_folder_only_what_is_needed_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with control.desk() as desk:
        async with control.offering("status", Held([]), needed=False):
            async with control.serving(desk, None) as path:
                assert path is None
            assert "there is no control socket" in caplog.text
            with pytest.raises(Invalid, match="--control"), ungrouped():
                async with control.offering("held", Held([])), control.serving(desk, None):
                    pass


async def test_sockets_that_nobody_serves_are_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "swarmd").mkdir()
    (tmp_path / "swarmd" / "1.sock").touch()
    with pytest.raises(Invalid, match="no swarmd to control is running"):
        await control.found("held")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    with pytest.raises(Invalid, match="give the path of the control socket with --control"):
        control.folder()


async def test_a_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="path too long"):
        async with controlled(tmp_path / ("x" * 108), Holding()):
            pass
