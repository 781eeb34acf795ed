"""Microsoft's own examples of container groups, each through the SDK's pipeline and the fake.

What an example takes for granted is planted first. The answer must be as the document has it, and hold what the
example's answer holds, as far as that follows from the request.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from azure.core.rest import HttpRequest

from swarmlib_backends.azure import fakearm
from swarmlib_backends.azure.fakearm import FakeArm
from swarmlib_backends.azure.fakearm.nulls import without_nulls
from swarmlib_backends.azure.fakearm.resource import ResourceId
from swarmlib_backends.azure.fakearm.spec import Described, Spec
from tests.backends.azure.conftest import DOCUMENTS
from tests.backends.azure.test_examples import differences, operations, read, request_body
from tests.support.azure.sdk import opened

EXAMPLES = sorted(DOCUMENTS.rglob("containerinstance/**/examples/*.json"))
VERSION = "2023-05-01"
MADE_UP = {
    "ContainerExec": {"webSocketUri", "password"},
    "ContainerAttach": {"webSocketUri", "password"},
    "ContainerListLogs": {"content"},
    "CachedImagesList": {"value"},
    "CapabilitiesList": {"value"},
    "ContainerGroupUsage": {"value"},
    "OperationsList": {"value"},
    "ContainerGroupsCreateOrUpdate": {"zones"},
}
"""What nobody can know by the request, by the examples' names."""
NEVER_SHOWN = "logAnalytics: 'workspaceKey' is a required property"
"""Of the document, which calls it a secret too: its own example of an answer does not have it."""
TEMPLATES = (
    "[resourceId('Microsoft.Network/virtualNetworks/subnets', parameters('vnetName'), parameters('subnetName'))]"
)
SUBNET = "/subscriptions/s/resourceGroups/demo/providers/Microsoft.Network/virtualNetworks/net/subnets/containers"
"""What a template would have in the place of the id in an example."""
ONLY_AZURE_KNOWS = re.compile(r".*\.(principalId|tenantId|clientId|ip|fqdn|instanceView\.state): .*")


def test_there_are_23_examples_and_the_document_names_each(spec: Spec) -> None:
    assert len(EXAMPLES) == 23
    assert {each.resolve().as_uri() for each in EXAMPLES} <= operations(spec).keys()


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
async def test_an_official_example_passes_through_the_fake(file: Path, spec: Spec) -> None:
    operation, example = read(file, spec)
    example = json.loads(json.dumps(example).replace(TEMPLATES, SUBNET))
    given = example["parameters"]
    subscription = given.get("subscriptionId", fakearm.SUBSCRIPTION)
    expected = without_nulls(example["responses"].get("200", {}).get("body"))
    async with fakearm.serving(spec=spec, subscription=subscription) as arm, opened(arm) as sdk:
        await plant(arm, operation, given, expected)
        answer = await ask(sdk.compute, operation, given)
        assert answer.status_code < 300, answer.text()
        for each in arm.state.operations.values():
            await each.done.wait()
            assert each.status == "Succeeded", each.error
        if answer.status_code == 201:  # what it shows once it is made
            answer = await sdk.compute.send_request(HttpRequest("GET", path(operation, given), params=query(given)))
        assert [each for each in arm.violations if not each.endswith(NEVER_SHOWN)] == []
    unsaid = MADE_UP.get(file.stem, set())
    shown = answer.json() if answer.text() else None
    if expected is not None and answer.status_code == 200:
        found = differences(expected, shown, request_body(given), unsaid)
        assert [each for each in found if not ONLY_AZURE_KNOWS.fullmatch(each)] == []


def path(operation: Described, given: dict[str, Any]) -> str:
    found = operation.template
    for name, value in given.items():
        found = found.replace(f"{{{name}}}", str(value))
    return found


def query(given: dict[str, Any]) -> dict[str, str]:
    return {name: str(given[name]) for name in ("api-version", "tail", "timestamps") if name in given}


async def ask(client: Any, operation: Described, given: dict[str, Any]) -> Any:
    body = request_body(given) or None
    request = HttpRequest(operation.method, path(operation, given), params=query(given), json=body)
    return await client.send_request(request)


async def plant(arm: FakeArm, operation: Described, given: dict[str, Any], expected: Any) -> None:
    """What must be there before an example makes sense."""
    if operation.id == "SubnetServiceAssociationLink_Delete":
        arm.plant({"id": path(operation, given).partition("/providers/Microsoft.ContainerInstance")[0]})
        return
    for each in (request_body(given).get("properties") or {}).get("subnetIds", []):
        services = [{"name": "aci", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}]
        arm.plant({"id": each["id"], "properties": {"addressPrefix": "10.0.0.0/24", "delegations": services}})
    name = f"/subscriptions/{arm.state.subscription}/resourceGroups/{given.get('resourceGroupName', 'demo')}"
    id = f"{name}/providers/Microsoft.ContainerInstance/containerGroups/{given.get('containerGroupName', 'demo1')}"
    if operation.id in ("ContainerGroups_List", "ContainerGroups_ListByResourceGroup"):
        for number, each in enumerate(expected["value"]):
            arm.plant(each | {"id": id.replace("demo1", f"demo{number}")})
    elif operation.id in ("ContainerGroups_Get", "ContainerGroups_Update", "ContainerGroups_Delete"):
        arm.plant({**expected, "id": id})
    elif operation.id == "ContainerGroups_CreateOrUpdate":
        plant_group(arm, id)
    elif operation.id.startswith(("ContainerGroups_", "Containers_")):
        await run_group(arm, id, given.get("containerName", "container1"))


def plant_group(arm: FakeArm, id: str) -> None:
    """The resource group, with nothing in it."""
    arm.plant({"id": id})
    parsed = ResourceId.parse(id)
    assert parsed is not None
    del arm.state.resources[parsed.key]


async def run_group(arm: FakeArm, id: str, container: str) -> None:
    """A group with a container that runs."""
    plant_group(arm, id)
    resources = {"requests": {"cpu": 1, "memoryInGB": 1.5}}
    properties = {"image": "busybox", "command": ["sh", "-c", "echo log content; sleep 1000"], "resources": resources}
    group = {"containers": [{"name": container, "properties": properties}], "osType": "Linux"}
    async with opened(arm) as sdk:
        request = HttpRequest(
            "PUT", id, params={"api-version": VERSION}, json={"location": "westus", "properties": group}
        )
        answer = await sdk.compute.send_request(request)
        assert answer.status_code == 201, answer.text()
    for each in arm.state.operations.values():
        await each.done.wait()
        assert each.status == "Succeeded", each.error
