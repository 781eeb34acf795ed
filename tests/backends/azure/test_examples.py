"""Microsoft's own examples of virtual machines, each through the real SDK and the fake.

What an example takes for granted is planted first: the resources that it names, and what it is asked about. The answer
must be as the documents have it, and hold what the example's answer holds, as far as that follows from the request.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from azure.core.rest import HttpRequest

from swarmlib_backends.azure import fakearm
from swarmlib_backends.azure.fakearm import FakeArm
from swarmlib_backends.azure.fakearm.nulls import without_nulls
from swarmlib_backends.azure.fakearm.resource import ResourceId, dig, references
from swarmlib_backends.azure.fakearm.spec import Described, Spec
from swarmlib_backends.azure.fakearm.world import canonical
from tests.backends.azure.conftest import DOCUMENTS
from tests.support.azure.sdk import opened

EXAMPLES = sorted(DOCUMENTS.rglob("virtualMachineExamples/*.json"))
VERSION = "2024-07-01"
ONLY_AZURE_KNOWS = {"vmId", "provisioningState", "id", "etag", "timeCreated"}
"""What an answer has that no request tells."""
FACTS_OF_A_MACHINE = {
    "VirtualMachines_AssessPatches",
    "VirtualMachines_AttachDetachDataDisks",
    "VirtualMachines_Capture",
    "VirtualMachines_InstallPatches",
    "VirtualMachines_InstanceView",
    "VirtualMachines_ListAvailableSizes",
    "VirtualMachines_RetrieveBootDiagnosticsData",
}
"""Operations whose answers tell of a machine or a region that the example doesn't describe."""
NOT_MADE_UP = {"assignedHost", "error", "extensions", "isVMInStandbyPool", "patchStatus"}
NOT_MADE_UP |= {"platformFaultDomain", "platformUpdateDomain"}
"""What the fake has no idea of."""
AT_ODDS_WITH_ITSELF = {
    "VirtualMachineExtension_CreateOrUpdate_MaximumSet_Gen": {"name"},
    "VirtualMachine_Create_WithSecurityTypeConfidentialVMWithNonPersistedTPM": {
        "properties.osProfile.windowsConfiguration.provisionVMAgent",  # of a "linux-cvm"
        "properties.osProfile.windowsConfiguration.enableAutomaticUpdates",
    },
    "VirtualMachine_Create_CustomImageVmFromAnUnmanagedGeneralizedOsImage": {"name"},
    "VirtualMachine_Create_PlatformImageVmWithUnmanagedOsAndDataDisks": {"name"},
    "VirtualMachine_Create_WithApplicationProfile": {"properties.osProfile.linuxConfiguration"},  # it sends a password
    "VirtualMachine_ListAll_MaximumSet_Gen": {"value", "nextLink"},  # its $filter is no filter
    "VirtualMachine_List_MaximumSet_Gen": {"value", "nextLink"},
}
"""What answers of these examples have that can't follow from their requests."""


def test_there_are_99_examples_and_the_document_names_each(spec: Spec) -> None:
    assert len(EXAMPLES) == 99
    assert {each.resolve().as_uri() for each in EXAMPLES} <= operations(spec).keys()


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
async def test_an_official_example_passes_through_the_sdk_and_the_fake(file: Path, spec: Spec) -> None:
    operation, example = read(file, spec)
    subscription = example["parameters"].pop("subscriptionId")
    assert example["parameters"].pop("api-version") == VERSION
    expected = without_nulls(example["responses"].get("200", {}).get("body"))
    async with fakearm.serving(spec=spec, subscription=subscription) as arm, opened(arm, api_version=VERSION) as sdk:
        Before(arm, operation.id, example["parameters"], expected).plant()
        answer = await call(sdk.compute, operation, example["parameters"])
        assert arm.violations == []
        assert operation.id in {found.id for each in arm.asked if (found := spec.find(*each.split(" ", 1)))}
    if operation.id not in FACTS_OF_A_MACHINE:
        unsaid = AT_ODDS_WITH_ITSELF.get(file.stem, set())
        assert [*differences(expected, answer, request_body(example["parameters"]), unsaid)] == []
    elif expected is not None:
        assert set(expected) <= set(answer) | NOT_MADE_UP


OTHERS = sorted(
    each
    for each in DOCUMENTS.rglob("examples/**/*.json")
    if each not in EXAMPLES and "containerinstance" not in each.parts
)


@pytest.mark.parametrize("file", OTHERS, ids=lambda file: file.stem)
async def test_an_example_that_makes_something_else_makes_it(file: Path, spec: Spec) -> None:
    operation, example = read(file, spec)
    given = example["parameters"]
    path = operation.template
    for name, value in given.items():
        path = path.replace(f"{{{name}}}", quote(str(value)))
    query = {"api-version": given.get("api-version", "2025-01-01")}
    async with fakearm.serving(spec=spec, subscription=given["subscriptionId"]) as arm, opened(arm) as sdk:
        arm.state.basic_addresses = True
        plant_around(arm, path, request_body(given))
        answer = await sdk.compute.send_request(HttpRequest("PUT", path, params=query, json=request_body(given)))
        assert answer.status_code in (200, 201, 202), answer.text()
        assert arm.violations == []
        for each in arm.state.operations.values():
            await each.done.wait()
            assert each.status == "Succeeded"
        shown = (await sdk.compute.send_request(HttpRequest("GET", path, params=query))).json()
        unsaid = AT_ODDS_WITH_ITSELF.get(file.stem, set())
        assert [*differences(without_nulls(request_body(given)), shown, None, unsaid)] == []


def plant_around(arm: FakeArm, path: str, body: dict[str, Any]) -> None:
    """What a request refers to: its group, the resource that it is a part of, and those that its body names."""
    id = ResourceId.parse(path)
    if id is None:
        return
    wanted = [each for each in map(ResourceId.parse, references(body)) if each is not None]
    for each in [*wanted, *filter(None, [id.parent, *(each.parent for each in wanted)])]:
        properties = {"addressSpace": {"addressPrefixes": ["10.0.0.0/8"]}, "addressPrefix": "172.20.0.0/16"}
        arm.plant({"id": str(each), "location": body.get("location", "westus"), "properties": properties})
    arm.plant({"id": str(id), "properties": {}})
    del arm.state.resources[id.key]  # its group stays


def read(file: Path, spec: Spec) -> tuple[Described, dict[str, Any]]:
    return operations(spec)[file.resolve().as_uri()], json.loads(file.read_text("utf-8"))


def operations(spec: Spec) -> dict[str, Described]:
    """The operation of each example."""
    return {uri: each for each in spec.operations for uri in each.examples}


async def call(client: Any, operation: Described, given: dict[str, Any]) -> Any:
    """Have the SDK do it, and wait for its end; gives the answer as JSON."""
    group, _, name = operation.id.partition("_")
    methods = getattr(client, snake(group))
    method = getattr(methods, f"begin_{snake(name)}", None) or getattr(methods, snake(name))
    answer = method(**{snake(name): value for name, value in given.items()})
    if hasattr(answer, "by_page"):
        return {"value": [each.as_dict() async for each in answer]}
    answer = await answer
    if hasattr(answer, "result"):
        answer = await answer.result()
    return answer.as_dict() if hasattr(answer, "as_dict") else answer


def snake(name: str) -> str:
    """A name of the API's as the SDK spells it."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.removeprefix("$")).lower()


def request_body(given: dict[str, Any]) -> dict[str, Any]:
    return next((value for value in given.values() if isinstance(value, dict)), {})


def differences(expected: Any, answer: Any, request: Any, unsaid: set[str]) -> Iterator[str]:
    """Where an answer is not as the example's; the request has the last word where the example contradicts itself."""
    for path, value in leaves(expected):
        text = ".".join(path)
        known = any(text == each or text.startswith(f"{each}.") for each in unsaid)
        if known or (path and path[-1] in ONLY_AZURE_KNOWS):
            continue
        wanted = value if (asked := at(request, path)) is None else asked
        found = at(answer, path)
        if path[-1:] == ("location",):
            wanted, found = canonical(wanted), canonical(str(found))
        if found != wanted:
            yield f"{text}: {found!r}, not {wanted!r}"


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(each, (*path, str(key)))
    elif value is not None:
        yield path, value


def at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = {str(number): each for number, each in enumerate(value)} if isinstance(value, list) else value
        value = dig(value, key)
    return value


class Before:
    """What must be there before an example makes sense."""

    def __init__(self, arm: FakeArm, operation: str, given: dict[str, Any], expected: Any) -> None:
        arm.state.basic_addresses = True  # the examples are older than their end
        self._arm = arm
        self._operation = operation
        self._given = given
        self._body = request_body(given)
        self._expected = expected
        self._location = given.get("location") or self._body.get("location", "westus")
        self._group = f"/subscriptions/{arm.state.subscription}/resourceGroups/{given.get('resourceGroupName', 'g')}"
        self._machine = self._id("Microsoft.Compute/virtualMachines", given.get("vmName", "vm"))
        self._interface = self._id("Microsoft.Network/networkInterfaces", "{existing-nic-name}")

    def _id(self, type: str, name: str) -> str:
        return f"{self._group}/providers/{type}/{name}"

    def plant(self) -> None:
        """Put it there."""
        self._plant_interface(self._interface)
        for id in references(self._body):
            if "/networkInterfaces/" in id:
                self._plant_interface(id)
            elif "/disks/" in id:
                self._plant_disk(id)
            elif "/images/" in id:
                self._arm.plant({"id": id, "location": self._location, "properties": {}})
        for each in self._body.get("dataDisksToAttach", []) + self._body.get("dataDisksToDetach", []):
            self._plant_disk(each["diskId"])
        if self._operation in ("VirtualMachines_List", "VirtualMachines_ListAll", "VirtualMachines_ListByLocation"):
            for number, each in enumerate(self._expected["value"]):
                id = self._id("Microsoft.Compute/virtualMachines", f"vm{number}")
                self._arm.plant({"location": self._location, **each, "id": id}, power="running")
        elif self._operation != "VirtualMachines_CreateOrUpdate":
            self._plant_machine()
        if self._operation.startswith("VirtualMachineExtensions_") and not self._operation.endswith("CreateOrUpdate"):
            self._plant_extensions()

    def _plant_interface(self, id: str) -> None:
        properties = {"provisioningState": "Succeeded", "resourceGuid": "0" * 12, "ipConfigurations": []}
        self._arm.plant({"id": id, "location": self._location, "properties": properties})

    def _plant_disk(self, id: str) -> None:
        properties = {"provisioningState": "Succeeded", "diskSizeGB": 1023, "diskState": "Unattached"}
        self._arm.plant({"id": id, "location": "westus", "sku": {"name": "Standard_LRS"}, "properties": properties})

    def _plant_extensions(self) -> None:
        listed = self._operation == "VirtualMachineExtensions_List"
        for each in self._expected.get("value", []) if listed else [self._expected or {}]:
            name = self._given.get("vmExtensionName") or each["name"]
            self._arm.plant({"properties": {}, **each, "id": f"{self._machine}/extensions/{name}"})

    def _plant_machine(self) -> None:
        body = self._body_of_machine()
        if self._operation == "VirtualMachines_Get":
            body |= self._expected | {"properties": body["properties"] | self._expected["properties"]}
        body["id"] = self._machine
        power = "stopped" if self._operation == "VirtualMachines_Generalize" else "running"
        user_data = dig(self._expected, "properties", "userData")
        self._arm.plant(body, power=power, **({"userData": user_data} if user_data else {}))

    def _body_of_machine(self) -> dict[str, Any]:
        image = {"publisher": "MicrosoftWindowsServer", "offer": "WindowsServer", "sku": "2016-Datacenter"}
        managed = {"id": self._id("Microsoft.Compute/disks", "myVMosdisk")}
        os_disk = {"name": "myVMosdisk", "createOption": "FromImage", "osType": "Windows", "managedDisk": managed}
        attached = [
            {"lun": 60 + number, "createOption": "Attach", "managedDisk": {"id": each["diskId"]}}
            for number, each in enumerate(self._body.get("dataDisksToDetach", []))
        ]
        properties = {
            "provisioningState": "Succeeded",
            "vmId": "e4f9c1ab-9a3f-4b0e-8f0c-0e8ad3c1a0d7",
            "timeCreated": "2025-01-01T00:00:00Z",
            "hardwareProfile": {"vmSize": "Standard_D2_v2"},
            "storageProfile": {
                "imageReference": image | {"version": "latest"},
                "osDisk": os_disk,
                "dataDisks": attached,
            },
            "osProfile": {"computerName": "myVM", "adminUsername": "{your-username}"},
            "networkProfile": {"networkInterfaces": [{"id": self._interface, "properties": {"primary": True}}]},
            "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
            "priority": "Spot" if self._operation == "VirtualMachines_SimulateEviction" else "Regular",
        }
        return {"name": self._machine.rpartition("/")[2], "location": "westus", "properties": properties}
