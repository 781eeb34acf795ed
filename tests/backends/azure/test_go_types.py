"""What the azure backend answers can be read by compiled Go clients, but for the machine as Azure describes it."""

from pathlib import Path

import pytest

from swarmlib_backends.azure.fakearm import FakeArm
from tests.support.azure.backend import azure, lead
from tests.support.gotypes import unreadable

pytestmark = pytest.mark.engine  # it needs Go, as the tests on real engines do


async def test_its_answers_are_read(
    go_reader: Path, arm: FakeArm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead(arm, tmp_path, monkeypatch)
    async with azure() as swarm:
        web = await swarm.spawn({"Image": "ubuntu", "Labels": {"tier": "web"}}, name="web")
        events = swarm.watch(since=0)
        listed, details = dict((await swarm.ls(all=True))[0]), dict(await web.get())
        assert listed.pop("Azure")
        assert details.pop("Azure")
        answers = [
            ("ContainerList", [listed]),
            ("ContainerInspect", details),
            ("SystemInfo", await swarm.get()),
            ("SystemVersion", await swarm.get("version")),
        ]
        async with events:
            await web.stop()
            answers.append(("SystemEvents", await anext(events)))
        await web.rm()
    assert unreadable(go_reader, answers) == []
