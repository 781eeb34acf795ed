"""Validation by Microsoft's documents sees what it should."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from swarmlib import Invalid
from swarmlib_backends.azure import fakearm
from swarmlib_backends.azure.fakearm.spec import Spec
from tests.backends.azure.conftest import DOCUMENTS
from tests.support.azure.sdk import opened

MACHINE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm"
QUERY = {"api-version": "2024-07-01"}


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"location": 5}, "location: 5 is not of type 'string'"),
        ({"location": "w", "bogus": 1}, "body: .*'bogus' was unexpected"),
        ({"location": "w", "properties": "x"}, "properties: 'x' is not of type 'object'"),
        ({"location": "w", "properties": {"networkProfile": {"networkInterfaces": [{"idd": 1}]}}},
         r"properties\.networkProfile\.networkInterfaces\.0: .*'idd' was unexpected"),
        ({"location": "w", "properties": {"timeCreated": "never"}},
         r"properties\.timeCreated: 'never' is not a 'date-time'"),
        ({}, "body: 'location' is a required property"),
        (None, "body: parameters is required"),
    ],
)  # fmt: skip
def test_a_request_that_is_wrong_is_told_with_its_place(spec: Spec, body: Any, complaint: str) -> None:
    operation = spec.find("PUT", MACHINE)
    assert operation is not None
    assert operation.id == "VirtualMachines_CreateOrUpdate"
    assert_one(spec.request_errors(operation, MACHINE, QUERY, body), complaint)


def assert_one(found: list[str], complaint: str) -> None:
    assert len(found) == 1
    with pytest.raises(AssertionError, match=complaint):
        raise AssertionError(found[0])


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ({}, "query: api-version is required"),
        (QUERY | {"x": "1"}, "query: x is none of the operation's parameters"),
        (QUERY | {"forceDeletion": "maybe"}, "query: forceDeletion: 'maybe' is no boolean"),
    ],
)
def test_a_query_that_is_wrong_is_told(spec: Spec, query: dict[str, str], complaint: str) -> None:
    operation = spec.find("DELETE", MACHINE)
    assert operation is not None
    assert_one(spec.request_errors(operation, MACHINE, query, None), complaint)


@pytest.mark.parametrize(
    ("status", "body", "complaint"),
    [
        (202, None, "status 202 is none of 200, 201, default"),
        (200, None, "there is no body"),
        (200, {"location": "w", "power": "on"}, "'power' was unexpected"),
        (404, {"error": {"code": 5}}, r"error\.code: 5 is not of type 'string'"),
    ],
)
def test_an_answer_that_is_wrong_is_told(spec: Spec, status: int, body: Any, complaint: str) -> None:
    operation = spec.find("PUT", MACHINE)
    assert operation is not None
    assert_one(spec.answer_errors(operation, status, body), complaint)


def test_an_open_enum_takes_new_values_and_nulls_are_nothing(spec: Spec) -> None:
    operation = spec.find("PUT", MACHINE.upper())
    assert operation is not None
    body = {"location": "w", "zones": None, "properties": {"hardwareProfile": {"vmSize": "Standard_D2s_v99"}}}
    assert spec.request_errors(operation, MACHINE, QUERY, body) == []


def test_the_most_exact_template_is_found(spec: Spec) -> None:
    group = "/subscriptions/s/resourcegroups/g"
    found = {path: operation.id for path in ("", "/resources") if (operation := spec.find("GET", group + path))}
    assert found == {"": "ResourceGroups_Get", "/resources": "Resources_ListByResourceGroup"}
    assert spec.find("GET", f"{MACHINE}/none/of/this/at/all") is None


async def test_an_answer_against_the_documents_is_noted(spec: Spec) -> None:
    async with fakearm.serving(spec=spec) as arm, opened(arm) as sdk:
        id = MACHINE.replace("/s/", f"/{arm.state.subscription}/")
        arm.plant({"id": id, "location": "westeurope", "properties": {"shape": "round"}})
        await sdk.compute.virtual_machines.get("g", "vm")
        assert len(arm.violations) == 1
        assert "answered 200: properties" in arm.violations[0]
        assert "'shape' was unexpected" in arm.violations[0]


def test_folders_without_documents_or_with_too_few_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="there are no OpenAPI documents"):
        Spec(tmp_path)
    source = next(DOCUMENTS.rglob("virtualMachine.json"))
    shutil.copy(source, tmp_path)
    with pytest.raises(Invalid, match=r"common\.json is referred to .* but isn't there"):
        Spec(tmp_path)
