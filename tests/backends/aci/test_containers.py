"""Containers on a fake Azure, whose containers really run."""

import logging
from pathlib import Path

import pytest
import trio

from swarmlib import Conflict, Denied, NotFound, SwarmError, Unavailable, Unsupported
from swarmlib_backends.azure.fakearm import FakeArm, Fault
from swarmlib_backends.azure.fakearm.faults import What
from tests.support.azure.aci import IMAGE, aci, body_of, groups, running, until_gone

TICKS = ("sh", "-c", "while true; do echo tick; sleep 0.05; done")


async def test_a_container_is_run_and_leaves_nothing(arm: FakeArm) -> None:
    async with aci() as client:
        done = await client.run(IMAGE, ["sh", "-c", "echo out; echo err >&2; exit 7"], env={"A": "b"})
        assert (done.exit_code, sorted(done.stdout.split())) == (7, [b"err", b"out"])  # one stream, as Azure has it
        assert await client.ls(all=True) == []
    assert groups(arm) == []


async def test_nothing_is_made_before_the_start_and_what_is_created_outlives_swarmd(arm: FakeArm) -> None:
    async with aci() as client:
        made = await client.spawn({"Image": IMAGE, "Cmd": ["sleep", "9"], "Env": ["KEY=secret"]}, name="later")
        assert groups(arm) == []
    async with aci() as client:
        (found,) = await client.ls(all=True)
        assert (found["Id"], found["Names"], found["State"]) == (made.id, ["/later"], "created")
        assert (await client.workload("later").get())["Config"]["Env"] == ["KEY=secret"]
        await client.workload("later").start()
        assert len(groups(arm)) == 1
    async with aci() as client:  # the group remembers it from now on
        shown = await client.workload("later").get()
        assert (shown["Id"], shown["State"]["Status"]) == (made.id, "running")
        assert (shown["Config"]["Cmd"], shown["Config"]["Env"]) == (["sleep", "9"], ["KEY=secret"])


async def test_what_is_held_here_is_readable_by_its_user_alone(arm: FakeArm, tmp_path: Path) -> None:
    async with aci() as client:
        await client.spawn({"Image": IMAGE, "Env": ["KEY=secret"]}, name="later")
        (file,) = await trio.to_thread.run_sync(lambda: [*tmp_path.rglob("aci/**/*.json")])
        assert file.stat().st_mode & 0o777 == 0o600
        await client.workload("later").rm()
        assert not file.exists()


async def test_labels_of_all_kinds_come_back(arm: FakeArm) -> None:
    labels = {"tier": "web", "a/b": "slashed", "long": "x" * 300, "Tier": "other", "swarmlib.mine": "1", "empty": ""}
    async with aci(tag=["cost=42"]) as client:
        await running(client, Labels=labels)
        assert body_of(arm)["tags"].items() >= {"tier": "web", "cost": "42", "swarmlib": "aci"}.items()
    async with aci() as client:
        (found,) = await client.ls(filters={"label": ["tier=web"]})
        assert found["Labels"] == labels | {"cost": "42"}


async def test_logs_are_read_followed_and_limited(arm: FakeArm) -> None:
    async with aci() as client:
        ended = await running(client, "sh", "-c", "echo one; echo two; echo three", name="ended")
        await ended.wait()
        assert [line.data for line in await ended.logs(tail=2)] == [b"two", b"three"]
        stamped = await ended.logs(timestamps=True)
        assert all(line.data.split(b" ")[0].endswith(b"Z") for line in stamped)
        web = await running(client, *TICKS)
        async with web.follow() as lines:
            for _ in range(5):
                assert (await anext(lines)).data == b"tick"


async def test_a_follower_gets_each_line_once_to_the_end(arm: FakeArm) -> None:
    script = "sleep 0.1; for i in 1 2 3 4 5 6 7 8 9; do echo line $i; sleep 0.03; done"
    async with aci() as client:
        web = await running(client, "sh", "-c", script)
        async with web.follow() as lines:
            found = [line.data async for line in lines]
    assert found == [f"line {i}".encode() for i in range(1, 10)]


async def test_a_broken_live_connection_is_made_again(arm: FakeArm) -> None:
    arm.faults.add(Fault("cut", method="GET", path="/fakearm/containers/*"))
    async with aci() as client:
        web = await running(client, "sh", "-c", "sleep 0.3; echo late; sleep 0.2")
        async with web.follow() as lines:
            assert [line.data async for line in lines] == [b"late"]


async def test_exec_has_output_and_exit_code(arm: FakeArm) -> None:
    async with aci() as client:
        web = await running(client)
        done = await web.exec(["sh", "-c", "echo $X; pwd; exit 9"], env={"X": "it's"}, WorkingDir="/tmp")
        assert (done.exit_code, done.stdout) == (9, b"it's\n/tmp\n")
        assert (await web.exec(["nosuch"])).exit_code == 127
        with pytest.raises(Unsupported, match="exec with input needs a terminal on Azure: use -it"):
            await web.exec(["cat"], stdin=b"x")
        with pytest.raises(Unsupported, match="exec with User"):
            await web.exec(["id"], User="1000")


async def test_an_image_without_a_shell_says_so(arm: FakeArm) -> None:
    async with aci() as client:
        web = await running(client)
        await web.exec(["rm", "/bin/sh"])
        with pytest.raises(SwarmError, match="exec on Azure needs /bin/sh in the container"):
            await web.exec(["true"])


async def test_a_terminal_takes_input(arm: FakeArm) -> None:
    async with aci() as client:
        web = await running(client)
        body = {"Cmd": ["sh"], "AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Tty": True}
        made = await web.spawn(body, "exec")
        async with await client.connect("exec", made.id, body={"Tty": True}) as stream:
            shown = b""
            await stream.send_all(b"echo a'b'c\r")
            with trio.fail_after(5):
                while b"\nabc\r\n" not in shown:
                    shown += await stream.receive_some()
            await stream.send_all(b"exit 3\r")
            with trio.fail_after(5):
                while await stream.receive_some():
                    pass
        assert b"swarmlib-" not in shown
        assert (await client.get("exec", made.id))["ExitCode"] == 3


async def test_stop_start_restart_and_the_exit_code(arm: FakeArm) -> None:
    async with aci() as client:
        web = await running(client, *TICKS)
        await web.stop(t=1)
        details = await web.get()
        assert (details["State"]["Status"], details["State"]["ExitCode"]) == ("exited", 137)
        await web.start()
        assert (await web.get())["State"]["Running"]
        await web.set("restart")
        assert (await web.get())["State"]["Running"]
        with pytest.raises(Unsupported, match="Azure sends no signals"):
            await web.kill("HUP")
        with pytest.raises(Unsupported, match="Azure pauses no containers"):
            await web.set("pause")
        await web.kill()
        with pytest.raises(Conflict, match="is not running"):
            await web.kill()


async def test_policies_restart(arm: FakeArm) -> None:
    async with aci() as client:
        web = await running(client, "false", HostConfig={"RestartPolicy": {"Name": "on-failure"}})
        with trio.fail_after(10):
            while (await web.get())["RestartCount"] < 2:  # noqa: ASYNC110 - the fake is another program
                await trio.sleep(0.02)
        assert (await web.get())["State"]["Status"] in ("running", "restarting")
        await web.rm(force=True)
    assert groups(arm) == []


async def test_one_that_removes_itself_is_gone_at_its_end(arm: FakeArm) -> None:
    async with aci() as client:
        web = await client.spawn(
            {"Image": IMAGE, "Cmd": ["sh", "-c", "exit 4"], "HostConfig": {"AutoRemove": True}}, name="web"
        )
        async with web.watch("wait", condition="removed") as ends:
            await web.start()
            assert [each["StatusCode"] async for each in ends] == [4]
        assert groups(arm) == []


async def test_a_new_name_is_a_tag(arm: FakeArm) -> None:
    async with aci() as one, aci() as other:
        web = await running(one, Labels={"a": "b"})
        (group,) = groups(arm)
        await web.set("rename", name="www")
        assert groups(arm) == [group]
        (found,) = await other.ls()
        assert (found["Names"], found["Labels"]) == (["/www"], {"a": "b"})
        with pytest.raises(Conflict, match="already in use"):
            await other.spawn({"Image": IMAGE}, name="www")


async def test_two_gateways_see_and_end_the_same_containers(arm: FakeArm) -> None:
    async with aci() as one, aci() as other:
        await running(one)
        web = other.workload("web")
        async with one.workload("web").watch("wait") as ends:
            await web.rm(force=True)
            assert [each["StatusCode"] async for each in ends] == [137]
        assert await one.ls(all=True) == []
        with pytest.raises(NotFound):
            await one.workload("web").get()


async def test_others_groups_are_not_touched_nor_shown(arm: FakeArm) -> None:
    id = f"/subscriptions/{arm.state.subscription}/resourceGroups/burst/providers/Microsoft.ContainerInstance"
    arm.plant(
        {
            "id": f"{id}/containerGroups/theirs",
            "location": "westeurope",
            "properties": {"containers": [], "osType": "Linux"},
        }
    )
    async with aci() as client:
        await (await running(client)).rm(force=True)
        assert await client.ls(all=True) == []
        await client.rm("containers")
    assert groups(arm) == ["theirs"]


async def test_malformed_tags_are_left_alone_and_logged(arm: FakeArm, caplog: pytest.LogCaptureFixture) -> None:
    async with aci() as client:
        await running(client)
        body_of(arm)["tags"] |= {"swarmlib.record.00": "{"}
    async with aci() as client:
        with caplog.at_level(logging.WARNING):
            assert await client.ls(all=True) == []
    assert "malformed tags swarmlib.record" in caplog.text
    assert len(groups(arm)) == 1


@pytest.mark.parametrize(("do", "code"), [("fail", "ContainerGroupQuotaReached"), ("fail-later", "ServiceUnavailable")])
async def test_a_failed_start_leaves_nothing_and_can_be_repeated(arm: FakeArm, do: What, code: str) -> None:
    async with aci() as client:
        made = await client.spawn({"Image": IMAGE, "Cmd": ["sleep", "9"]}, name="web")
        arm.faults.add(Fault(do, method="PUT", path="*/containerGroups/*", code=code, status=409, after=1))
        with pytest.raises(SwarmError, match=code):
            await made.start()
        assert groups(arm) == []
        assert (await made.get())["State"]["Status"] == "created"
        assert code in (await made.get())["State"]["Error"]
        await made.start()
        assert len(groups(arm)) == 1


async def test_what_could_not_be_undone_is_named(arm: FakeArm) -> None:
    async with aci() as client:
        made = await client.spawn({"Image": IMAGE}, name="web")
        arm.faults.add(Fault("fail-later", method="PUT", path="*/containerGroups/*", code="Broken", after=1))
        arm.faults.add(Fault("fail", method="DELETE", path="*/containerGroups/*", code="AuthorizationFailed"))
        with pytest.raises(
            Unavailable, match=r"containerGroups/web-.* was not removed: Azure says AuthorizationFailed"
        ):
            await made.start()


async def test_a_cancelled_start_is_undone(arm: FakeArm) -> None:
    arm.faults.add(Fault("hang-later", method="PUT", path="*/containerGroups/*", after=1))
    async with aci() as client:
        made = await client.spawn({"Image": IMAGE}, name="web")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.start)
            while not groups(arm):  # noqa: ASYNC110 - the fake is another program
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        await until_gone(arm)


async def test_no_more_than_the_maximum_is_made(arm: FakeArm) -> None:
    async with aci(max=1) as client:
        await running(client)
        with pytest.raises(Unavailable, match="all 1 containers that --max allows are there") as raised:
            await client.spawn({"Image": IMAGE}, name="more")
        assert raised.value.details["unsent"]
        assert "containerslots=1" in (await client.get())["Labels"]


async def test_an_image_that_azure_can_not_pull_fails_the_start(arm: FakeArm) -> None:
    arm.state.registries["127.0.0.1:1"] = ("me", "password")
    async with aci() as client:
        made = await client.spawn({"Image": IMAGE}, name="web")
        with pytest.raises(SwarmError, match="InaccessibleImage"):
            await made.start()


async def test_ports_are_published_under_their_numbers(arm: FakeArm) -> None:
    host = {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "80"}], "53/udp": [{"HostPort": ""}]}}
    async with aci() as client:
        web = await running(client, HostConfig=host)
        (found,) = await client.ls()
        address = body_of(arm)["properties"]["ipAddress"]["ip"]
        assert {(each["IP"], each["PublicPort"], each["Type"]) for each in found["Ports"]} == {
            (address, 80, "tcp"),
            (address, 53, "udp"),
        }
        shown = (await web.get())["NetworkSettings"]
        assert shown["Ports"]["80/tcp"] == [{"HostIp": address, "HostPort": "80"}]


async def test_volumes_are_shares_that_outlive_their_containers(arm: FakeArm, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("c2VjcmV0\n")
    host = {"Binds": ["data:/data"], "Tmpfs": {"/scratch": ""}}
    async with aci(storage_account="mine", storage_key=str(key)) as client:
        writes = ["sh", "-c", "echo kept > /data/file; cd /scratch; pwd"]
        assert (await client.run(IMAGE, writes, HostConfig=host)).text == "/scratch\n"
        assert (await client.run(IMAGE, ["cat", "/data/file"], HostConfig=host)).text == "kept\n"
        await running(client, HostConfig=host)
        assert "c2VjcmV0" not in str(body_of(arm))
    async with aci() as client:
        with pytest.raises(Unsupported, match=r"the volume 'data' .*give --storage-account and --storage-key"):
            await client.spawn({"Image": IMAGE, "HostConfig": host})


async def test_a_subnet_is_a_network(arm: FakeArm) -> None:
    delegation = {"name": "aci", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}
    network = f"/subscriptions/{arm.state.subscription}/resourceGroups/burst/providers/Microsoft.Network"
    subnet = f"{network}/virtualNetworks/net/subnets/containers"
    arm.plant({"id": subnet, "properties": {"addressPrefix": "10.0.0.0/24", "delegations": [delegation]}})
    host = {"NetworkMode": "net/containers", "PortBindings": {"80/tcp": []}}
    async with aci() as client:
        web = await running(client, HostConfig=host)
        assert (await web.get())["NetworkSettings"]["IPAddress"].startswith("10.0.0.")
        assert body_of(arm)["properties"]["subnetIds"] == [{"id": subnet}]
        with pytest.raises(Unsupported, match=r"HostConfig.NetworkMode 'front' .*VNET/SUBNET"):
            await client.spawn({"Image": IMAGE, "HostConfig": {"NetworkMode": "front"}})


async def test_spot_and_confidential(arm: FakeArm) -> None:
    async with aci(spot=True) as client:
        await running(client)
        assert body_of(arm)["properties"]["priority"] == "Spot"
        with pytest.raises(Unsupported, match="a spot container has no way in"):
            await client.spawn({"Image": IMAGE, "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}})
        await client.workload("web").rm(force=True)
    async with aci() as client:
        await running(client, Labels={"swarmlib.isolation": "confidential"})
        assert body_of(arm)["properties"]["sku"] == "Confidential"
        with pytest.raises(Unsupported, match="the isolation 'gvisor'"):
            await client.spawn({"Image": IMAGE, "Labels": {"swarmlib.isolation": "gvisor"}})


async def test_events_tell_what_others_do(arm: FakeArm) -> None:
    async with aci() as one, aci() as other:
        seen: list[str] = []
        async with one.watch() as events:
            await other.run(IMAGE, ["sh", "-c", "sleep 0.3; exit 5"])
            with trio.fail_after(5):
                async for event in events:
                    seen.append(event["Action"])
                    if event["Action"] == "destroy":
                        break
    assert seen in (["create", "start", "die", "destroy"], ["create", "start", "destroy"])


async def test_a_token_is_refused_with_the_reason(arm: FakeArm) -> None:
    arm.faults.add(Fault("fail", path="*/containerGroups", code="AuthorizationFailed", times=0))
    async with aci() as client:
        with pytest.raises(Denied, match="get a role such as Contributor for the resource group"):
            await client.ls()


async def test_calls_to_arm_are_few(arm: FakeArm) -> None:
    async with aci(poll=60) as client:
        await client.ls()  # the token
        asked = len(arm.asked)
        web = await running(client)
        assert len(arm.asked) - asked <= 9, [*arm.asked][asked:]
        for _ in range(3):
            await web.get()
        asked = len(arm.asked)
        await client.ls()
        assert len(arm.asked) - asked == 2  # a list, and a look at each
