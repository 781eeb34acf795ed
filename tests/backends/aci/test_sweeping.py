"""`swarmd aci sweep`: it removes what a crashed run has left, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result

from swarmd.cli import cli
from swarmlib_backends.azure.fakearm import FakeArm, Fault
from tests.support.azure.aci import IMAGE, aci, groups, running


async def sweep(*words: str) -> Result:
    """The command, in a thread: it has an event loop of its own."""
    command = ["aci", "sweep", "--group", "burst", *words]
    return await trio.to_thread.run_sync(lambda: CliRunner().invoke(cli, command))


async def left_behind() -> None:
    """A container that a swarmd was to remove at its end, which it did not live to see; and one that is to stay."""
    async with aci(poll=60) as client:
        host = {"AutoRemove": True}
        await running(client, "sh", "-c", "sleep 0.2", name="gone", HostConfig=host)
        await running(client, "sleep", "1000", name="runs", HostConfig=host)
        await running(client, "true", name="stays")
    await trio.sleep(0.5)


async def test_what_a_crashed_run_left_is_removed(arm: FakeArm) -> None:
    await left_behind()
    young = await sweep()
    assert (young.exit_code, young.output, len(groups(arm))) == (0, "", 3)
    dry = await sweep("--older-than", "0s", "--dry-run")
    assert dry.output.startswith("remove   /subscriptions/")
    assert len(groups(arm)) == 3
    done = await sweep("--older-than", "0s", "--json")
    told: dict[str, Any] = json.loads(done.output)
    assert [*told["removed"].values()] == ["it has ended, and was to be removed then"]
    assert sorted(name.partition("-")[0] for name in groups(arm)) == ["runs", "stays"]


async def test_what_can_not_be_removed_is_named_and_the_command_fails(arm: FakeArm) -> None:
    await left_behind()
    arm.faults.add(Fault("fail", method="DELETE", code="AuthorizationFailed"))
    done = await sweep("--older-than", "0s")
    assert done.exit_code == 1
    assert "not removed: /subscriptions/" in done.output
    assert "AuthorizationFailed" in done.output


async def test_a_start_that_failed_halfway_is_removed(arm: FakeArm) -> None:
    async with aci() as client:
        made = await client.spawn({"Image": IMAGE}, name="half")
        arm.faults.add(Fault("fail-later", method="PUT", path="*/containerGroups/*", code="Broken", after=1))
        arm.faults.add(Fault("fail", method="DELETE", path="*/containerGroups/*", code="Broken"))
        with pytest.raises(Exception, match="was not removed"):
            await made.start()
    done = await sweep("--older-than", "0s")
    assert "its start has failed" in done.output
    assert groups(arm) == []


def test_wrong_options_are_usage_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    done = CliRunner().invoke(cli, ["aci", "sweep", "--max", "-1"])
    assert (done.exit_code, "--max must be 0 or more, not -1" in done.output) == (2, True)
