"""The script of failures, as the real SDK meets it; and how fast a call that hangs can be given up."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio
import trio.testing
from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError
from azure.core.rest import HttpRequest

from swarmlib import Invalid
from swarmlib_backends.azure import fakearm
from swarmlib_backends.azure.fakearm import FakeArm, Fault
from swarmlib_backends.azure.fakearm.faults import Faults
from swarmlib_backends.azure.fakearm.spec import Spec
from swarmlib_backends.azure.transport import HttpxTransport
from tests.support.azure.sdk import LOCATION, Sdk, machine_body, opened
from tests.support.cancelled_calls import cancelled_once_connected


async def test_an_error_comes_with_its_own_code_and_nothing_was_done(sdk: Sdk, arm: FakeArm) -> None:
    arm.faults.add(Fault("fail", "PUT", "*/resourcegroups/prod", "AuthorizationFailed", message="not for you", after=1))
    await sdk.group()
    with pytest.raises(HttpResponseError, match=r"AuthorizationFailed.*not for you"):
        await sdk.group()
    await sdk.group()


async def test_transient_errors_are_tried_again_by_the_sdk(sdk: Sdk, arm: FakeArm) -> None:
    arm.faults.add(Fault("fail", "GET", "*", "ServiceUnavailable", times=2, retry_after=0.01))
    arm.faults.add(Fault("fail", "PUT", "*", "TooManyRequests", times=1, retry_after=0.01))
    await sdk.group()
    assert (await sdk.resources.resource_groups.get("prod")).location == LOCATION
    assert len(arm.asked) == 5


async def test_an_operation_fails_after_it_was_accepted(sdk: Sdk, arm: FakeArm) -> None:
    interface = await sdk.network_for("vm")
    arm.faults.add(Fault("fail-later", "PUT", "*/virtualMachines/vm", "AllocationFailed"))
    poller = await sdk.compute.virtual_machines.begin_create_or_update("prod", "vm", machine_body(interface))
    with pytest.raises(HttpResponseError, match="AllocationFailed"):
        await poller.result()
    view = await sdk.compute.virtual_machines.instance_view("prod", "vm")
    assert view.statuses[0].code == "ProvisioningState/failed/AllocationFailed"


async def test_a_slow_operation_is_asked_for_again_and_again(sdk: Sdk, arm: FakeArm) -> None:
    interface = await sdk.network_for("vm")
    arm.faults.add(Fault("slow", "PUT", "*/virtualMachines/vm", seconds=0.5))
    arm.asked.clear()
    await sdk.machine("vm", interface)
    assert sum("/operations/" in each for each in arm.asked) > 2


@pytest.mark.parametrize("halfway", [False, True])
async def test_a_broken_connection_is_an_error_of_the_sdks(spec: Spec, halfway: bool) -> None:
    async with fakearm.serving(spec=spec) as arm, opened(arm, retry_total=0) as sdk:
        arm.faults.add(Fault("cut-halfway" if halfway else "cut", "PUT", "*/resourcegroups/prod"))
        with pytest.raises(ServiceResponseError):
            await sdk.group()
        assert ("prod" in arm.state.groups) == halfway


@pytest.mark.parametrize("halfway", [False, True])
async def test_a_call_that_hangs_is_given_up_at_once_when_it_is_cancelled(
    sdk: Sdk, arm: FakeArm, halfway: bool
) -> None:
    fault = arm.faults.add(Fault("hang-halfway" if halfway else "hang", "PUT", "*/resourcegroups/prod"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sdk.group)
        await fault.hit.wait()
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began < 0.5
    await sdk.group("other")  # the transport goes on
    assert ("prod" in arm.state.groups) == halfway


async def test_an_answer_that_does_not_come_in_time_is_an_error_of_the_sdks(sdk: Sdk, arm: FakeArm) -> None:
    arm.faults.add(Fault("hang", "GET", "*"))
    with pytest.raises(ServiceResponseError, match="did not answer in time"):
        await sdk.resources.resource_groups.get("prod", read_timeout=0.1, retry_total=0)


async def test_a_server_that_is_not_there_or_not_trusted_is_an_error_of_the_sdks(arm: FakeArm) -> None:
    async with opened(arm, retry_total=0, base_url="https://127.0.0.1:1") as nowhere:
        with pytest.raises(ServiceRequestError, match=r"can't connect to 127\.0\.0\.1: ."):
            await nowhere.group()
    async with HttpxTransport() as stranger, opened(arm, retry_total=0, transport=stranger) as untrusting:
        with pytest.raises(ServiceRequestError, match="CERTIFICATE_VERIFY_FAILED"):
            await untrusting.group()


async def test_calls_that_are_cancelled_once_they_are_connected_hold_up_no_later_one(sdk: Sdk) -> None:
    for _ in range(101):  # httpx's own maximum is 100
        with cancelled_once_connected():
            await sdk.group()
    with trio.fail_after(5):
        await sdk.group()


async def test_options_that_the_transport_has_not_are_named(sdk: Sdk) -> None:
    with pytest.raises(TypeError, match="knows no connection_verify"):
        await sdk.resources.resource_groups.get("prod", connection_verify=False)


async def test_a_body_can_be_read_piece_by_piece(sdk: Sdk, arm: FakeArm) -> None:
    await sdk.group()
    request = HttpRequest("GET", f"/subscriptions/{arm.state.subscription}/resourcegroups/prod?api-version=2024-11-01")
    async with await sdk.compute.send_request(request, stream=True) as answer:
        assert b'"name":"prod"' in b"".join([piece async for piece in answer.iter_bytes()])


async def test_the_same_seed_makes_the_same_failures_and_names(spec: Spec) -> None:
    async def run() -> list[Any]:
        async with fakearm.serving(spec=spec, seed=5) as arm, opened(arm, retry_total=0) as sdk:
            arm.faults.add(Fault("fail", "PUT", "*", rate=0.5, times=0))
            outcomes: list[Any] = []
            for number in range(20):
                try:
                    await sdk.group(f"group{number}")
                    outcomes.append("made")
                except HttpResponseError as exc:
                    outcomes.append(exc.status_code)
            return [*outcomes, arm.state.uuid()]

    first = await run()
    assert first == await run()
    assert {"made", 500} <= set(first)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "can't read the faults"),
        ("{}", "must contain a list of faults"),
        ('[{"do": "explode"}]', "fault 1: expected an object with do"),
        ('[{"do": "fail"}, {"do": "fail", "when": 3}]', "fault 2"),
        ("[3]", "fault 1"),
    ],
)
def test_a_script_that_is_none_is_refused_with_the_place(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "faults.json").write_text(text)
    with pytest.raises(Invalid, match=complaint):
        Faults(Random(0)).read(tmp_path / "faults.json")


def test_a_script_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "faults.json").write_text('[{"do": "slow", "method": "PUT", "path": "*/vm", "seconds": 3, "after": 1}]')
    faults = Faults(Random(0))
    faults.read(tmp_path / "faults.json")
    assert faults.striking("GET", "/a/vm") == []
    assert faults.striking("PUT", "/a/vm") == []
    assert [each.seconds for each in faults.striking("PUT", "/a/VM")] == [3]
    assert faults.striking("PUT", "/a/vm") == []
    assert Fault("fail", code="SkuNotAvailable").error.status == 409
